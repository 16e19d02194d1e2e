"""What one account sees of files in one session: the `Home` of its protocol server."""

import os
import stat
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from mftgit.adapters.clock import Clock
from mftgit.adapters.confined import sync_folder
from mftgit.adapters.home import (
    Attributes,
    Finished,
    HomeError,
    OpenFile,
    Opening,
    Refusal,
    Space,
    Traits,
)
from mftgit.adapters.home_access import Access
from mftgit.adapters.home_errors import meaning, telling
from mftgit.adapters.home_reading import ReadFile
from mftgit.adapters.home_spots import Spot, Spots
from mftgit.adapters.home_temporary import Partial, begin, copied, go_on, size_of
from mftgit.adapters.home_upload import Terms, Upload
from mftgit.adapters.home_usage import Usage
from mftgit.adapters.home_walk import (
    FOLDER,
    READ,
    attributes_of,
    below,
    open_regular,
    require_regular,
    status,
)
from mftgit.adapters.local_rename import rename_to_free_name
from mftgit.model.account_path import is_reserved, parts_of, temporary_name, text_of
from mftgit.model.permission import Act, gained, kept_below
from mftgit.model.service import Uploads
from mftgit.model.serving import Served

MAX_OPEN: Final = 100
_MAX_SENT: Final = 1000
_SENDS: Final = (Act.WRITE, Act.OVERWRITE, Act.APPEND)
_MADE_UP: Final = Attributes(size_bytes=0, mode=stat.S_IFDIR | 0o755, atime_s=0, mtime_s=0)


def open_home(
    served: Served, *, uploads: Uploads, finished: Callable[[Finished], None], clock: Clock
) -> "AccountHome":
    """Return what the account of ``served`` sees, for one session; its home's last folder is made where missing.

    ``finished`` is called for each upload that has got its visible name, before it is acknowledged; what it raises
    reaches the caller of `OpenFile.close`.

    Raises:
        HomeError: the folder of the home cannot be reached.
    """
    home = AccountHome(served, uploads=uploads, finished=finished, clock=clock)
    home.make()
    return home


class AccountHome:
    """See `Home`."""

    def __init__(
        self,
        served: Served,
        *,
        uploads: Uploads,
        finished: Callable[[Finished], None],
        clock: Clock,
    ) -> None:
        self._account = served.account
        self._home = served.home
        self._uploads = uploads
        self._tell = finished
        self._clock = clock
        self._spots = Spots(served.home, served.folders)
        self._access = Access(served.account)
        self._usage = Usage(served.account.quota)
        self._elsewhere = Usage(type(served.account.quota)())
        self._open: dict[int, OpenFile] = {}
        self._sending: dict[str, Upload] = {}
        self._sent: OrderedDict[str, None] = OrderedDict()
        self._told: OrderedDict[str, int] = OrderedDict()

    def make(self) -> None:
        """Make the folder of the home, in one that is there."""
        try:
            os.mkdir(self._home)  # noqa: PTH102  paths are text here
        except FileExistsError:
            pass
        except OSError as error:
            raise HomeError(Refusal.FAILED, "the home cannot be made: ask the operator") from error

    def resolve(self, path: str) -> str:
        """See `Home.resolve`."""
        try:
            return text_of(parts_of(path))
        except ValueError as error:
            raise HomeError(Refusal.BAD_NAME, str(error)) from None

    def stat(self, path: str) -> Attributes:
        """See `Home.stat`."""
        spot = self._seen(path)
        if self._spots.leads_to_folder(spot.parts):
            return self._stat_root(spot)
        acts = self._access.acts(spot)
        with self._above(spot) as folder:
            found = status(folder, spot.name)
            if found is not None and (stat.S_ISDIR(found.st_mode) or self._may_see(spot, acts)):
                return attributes_of(found)
            if found is None and not acts.isdisjoint(_SENDS):
                return self._stat_unfinished(spot, folder)
        raise _missing(spot)

    def list(self, path: str) -> Iterator[tuple[str, Attributes]]:
        """See `Home.list`."""
        spot = self._seen(path)
        if Act.LIST not in self._access.acts(spot):
            told = self._access.names_told(spot) | self._spots.names_in(spot.parts)
            self._require_folder(spot)
            return self._named(spot, sorted(told))
        return self._scan(spot)

    def open_read(self, path: str) -> OpenFile:
        """See `Home.open_read`."""
        spot = self._spots.find(path)
        acts = self._access.require(spot, Act.READ)
        self._require_few_open()
        with self._above(spot) as folder:
            descriptor = open_regular(folder, spot.name, READ)
        file = ReadFile(
            descriptor,
            spot.path,
            lambda fd, traits: _change(fd, traits, acts, spot),
            lambda: self._forget(file),
        )
        self._open[id(file)] = file
        return file

    def open_write(self, path: str, opening: Opening, traits: Traits) -> OpenFile:
        """See `Home.open_write`."""
        spot = self._spots.find(path)
        acts = self._access.require(spot, *_SENDS)
        self._require_few_open()
        mode = 0o666 if traits.mode is None or Act.SET_MODE not in acts else traits.mode & 0o777
        with self._above(spot) as folder:
            there = status(folder, spot.name)
            begun = self._begin_new if there is None else self._begin_over
            partial, terms = begun(folder, spot, acts, opening, mode | 0o600)
        upload = Upload(
            partial,
            terms,
            change=lambda fd, wanted: _change(fd, wanted, acts, spot),
            finished=self._note_sent,
            let_go=lambda: self._forget(upload),
        )
        self._open[id(upload)] = upload
        self._sending[spot.path] = upload
        return upload

    def set(self, path: str, traits: Traits) -> None:
        """See `Home.set`."""
        spot = self._seen(path)
        sending = self._sending.get(spot.path)
        if sending is not None:
            sending.set(traits)
            return
        if traits.size_bytes is not None:
            with closing_upload(self.open_write(path, Opening(), Traits())) as file:
                file.set(Traits(size_bytes=traits.size_bytes))
        with self._at(spot) as descriptor:
            _change(descriptor, traits, self._access.acts(spot), spot)

    def make_folder(self, path: str, traits: Traits) -> None:
        """See `Home.make_folder`."""
        spot = self._spots.find(path)
        acts = self._access.require(spot, Act.MAKE_FOLDER)
        if self._spots.leads_to_folder(spot.parts):
            raise HomeError(Refusal.EXISTS, f"{spot.path!r} is there")
        mode = 0o777 if traits.mode is None or Act.SET_MODE not in acts else traits.mode & 0o777
        with self._above(spot) as folder:
            usage = self._usage_of(spot)
            usage.take(files=1)
            try:
                os.mkdir(spot.name, mode | 0o700, dir_fd=folder)
            except OSError:
                usage.give_back(files=1)
                raise
            self._sync(folder)

    def remove_folder(self, path: str) -> None:
        """See `Home.remove_folder`."""
        spot = self._changeable(path, Act.REMOVE_FOLDER)
        with self._above(spot) as folder:
            os.rmdir(spot.name, dir_fd=folder)
            self._usage_of(spot).give_back(files=1)
            self._sync(folder)

    def remove(self, path: str) -> None:
        """See `Home.remove`."""
        spot = self._changeable(path, Act.DELETE)
        with self._above(spot) as folder:
            found = status(folder, spot.name)
            if found is None:
                raise _missing(spot)
            if stat.S_ISDIR(found.st_mode):
                raise HomeError(Refusal.IS_FOLDER, f"{spot.path!r} is a folder")
            os.unlink(spot.name, dir_fd=folder)
            self._usage_of(spot).give_back(size_bytes=found.st_size, files=1)
            self._sync(folder)

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        """See `Home.rename`."""
        source = self._changeable(old, Act.RENAME)
        target = self._changeable(new, Act.RENAME)
        if source.root != target.root:
            raise HomeError(Refusal.ACROSS, f"{old!r} and {new!r} lie in different storage")
        rules = self._access.rules
        more = gained(rules, source.path, target.path)
        if more:
            words = ", ".join(sorted(each.value for each in more))
            raise HomeError(Refusal.DENIED, f"more would be allowed at {target.path!r}: {words}")
        if kept_below(rules, source.path, Act.RENAME):
            raise HomeError(Refusal.DENIED, f"not all below {source.path!r} may be renamed")
        replace = replace and Act.OVERWRITE in self._access.acts(target)
        with self._above(source) as here, self._above(target) as there:
            self._rename(here, source, there, target, replace=replace)

    def space(self, path: str) -> Space:
        """See `Home.space`."""
        spot = self._seen(path)
        with telling(spot.path), below(spot.root, ()) as folder:
            room = os.fstatvfs(folder)
        return Space(
            block_bytes=room.f_frsize,
            blocks=room.f_blocks,
            blocks_free=room.f_bavail,
            files=room.f_files,
            files_free=room.f_favail,
        )

    def close(self) -> None:
        """See `Home.close`."""
        for file in list(self._open.values()):
            with telling("/"):
                file.abandon()

    def _seen(self, path: str) -> Spot:
        spot = self._spots.find(path)
        if not self._access.is_seen(spot.path):
            raise _missing(spot)
        return spot

    def _changeable(self, path: str, act: Act) -> Spot:
        spot = self._spots.find(path)
        self._access.require(spot, act)
        if self._spots.leads_to_folder(spot.parts):
            raise HomeError(Refusal.DENIED, f"{spot.path!r} is a folder that stays as it is")
        return spot

    @contextmanager
    def _above(self, spot: Spot) -> Iterator[int]:
        """Give a descriptor of the folder that ``spot`` lies in."""
        with telling(spot.path), below(spot.root, spot.above) as folder:
            yield folder

    @contextmanager
    def _at(self, spot: Spot) -> Iterator[int]:
        """Give a descriptor of the file or folder at ``spot``."""
        if not spot.inner:
            with telling(spot.path), below(spot.root, ()) as folder:
                yield folder
            return
        with self._above(spot) as folder:
            found = status(folder, spot.name)
            if found is None:
                raise _missing(spot)
            if stat.S_ISDIR(found.st_mode):
                descriptor = os.open(spot.name, FOLDER, dir_fd=folder)
            else:
                descriptor = open_regular(folder, spot.name, READ)
            try:
                yield descriptor
            finally:
                os.close(descriptor)

    def _may_see(self, spot: Spot, acts: frozenset[Act]) -> bool:
        return not acts.isdisjoint({Act.LIST, Act.READ}) or spot.path in self._sent

    def _stat_root(self, spot: Spot) -> Attributes:
        try:
            with below(spot.root, spot.inner) as folder:
                return attributes_of(os.fstat(folder))
        except OSError:
            return _MADE_UP

    def _stat_unfinished(self, spot: Spot, folder: int) -> Attributes:
        sending = self._sending.get(spot.path)
        if sending is not None:
            return sending.attributes()
        found = size_of(folder, temporary_name(self._account.name, spot.name))
        if found is None:
            raise _missing(spot)
        self._told[spot.path] = found.size_bytes
        while len(self._told) > _MAX_SENT:
            self._told.popitem(last=False)
        return found

    def _require_folder(self, spot: Spot) -> None:
        if not self._spots.leads_to_folder(spot.parts):
            with telling(spot.path), below(spot.root, spot.inner):
                pass

    def _named(self, spot: Spot, names: Iterable[str]) -> Iterator[tuple[str, Attributes]]:
        for name in names:
            try:
                yield name, self.stat(text_of((*spot.parts, name)))
            except HomeError:
                continue

    def _scan(self, spot: Spot) -> Iterator[tuple[str, Attributes]]:
        over = self._spots.names_in(spot.parts)
        try:
            with below(spot.root, spot.inner) as folder:
                descriptor = os.dup(folder)
        except OSError as error:
            if not self._spots.leads_to_folder(spot.parts) or not over:
                raise meaning(error, spot.path) from error
            return self._named(spot, sorted(over))
        return self._entries(spot, descriptor, over)

    def _entries(
        self, spot: Spot, descriptor: int, over: Collection[str]
    ) -> Iterator[tuple[str, Attributes]]:
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    if is_reserved(entry.name) or entry.name in over:
                        continue
                    if not self._access.is_seen(text_of((*spot.parts, entry.name))):
                        continue
                    try:
                        found = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    yield entry.name, attributes_of(found)
        except OSError as error:
            raise meaning(error, spot.path) from error
        finally:
            os.close(descriptor)
        yield from self._named(spot, sorted(over))

    def _begin_new(
        self, folder: int, spot: Spot, acts: frozenset[Act], opening: Opening, mode: int
    ) -> tuple[Partial, Terms]:
        self._access.require(spot, Act.WRITE)
        temporary = temporary_name(self._account.name, spot.name)
        partial = None
        if not opening.truncate and not opening.exclusive:
            partial = go_on(folder, temporary, mode)
        resumed = partial is not None
        if partial is None:
            if not opening.create:
                raise _missing(spot)
            self._usage_of(spot).take(files=1)
            partial = begin(folder, temporary, mode)
        replace = Act.OVERWRITE in acts and not opening.exclusive
        return partial, self._terms(
            spot, temporary, opening, replace=replace, read=True, resumed=resumed
        )

    def _begin_over(
        self, folder: int, spot: Spot, acts: frozenset[Act], opening: Opening, _mode: int
    ) -> tuple[Partial, Terms]:
        temporary = temporary_name(self._account.name, spot.name)
        there = os.stat(spot.name, dir_fd=folder, follow_symlinks=False)
        if opening.exclusive:
            raise HomeError(Refusal.EXISTS, f"{spot.path!r} is there")
        require_regular(there)
        mode = stat.S_IMODE(there.st_mode) & 0o777 | 0o600
        if opening.truncate:
            self._access.require(spot, Act.OVERWRITE)
            self._usage_of(spot).take(files=1)
            partial = begin(folder, temporary, mode)
            terms = self._terms(spot, temporary, opening, replace=True, read=True)
        else:
            self._access.require(spot, Act.OVERWRITE, Act.APPEND)
            source = open_regular(folder, spot.name, READ)
            try:
                there = os.fstat(source)
                self._usage_of(spot).take(size_bytes=there.st_size, files=1)
                partial = copied(folder, temporary, source, mode)
            finally:
                os.close(source)
            floor_bytes = 0 if Act.OVERWRITE in acts else there.st_size
            terms = self._terms(
                spot,
                temporary,
                opening,
                replace=True,
                read=Act.READ in acts,
                basis=there,
                floor_bytes=floor_bytes,
            )
        os.fchmod(partial.descriptor, mode)
        return partial, terms

    def _terms(
        self,
        spot: Spot,
        temporary: str,
        opening: Opening,
        *,
        replace: bool,
        read: bool,
        resumed: bool = False,
        basis: os.stat_result | None = None,
        floor_bytes: int = 0,
    ) -> Terms:
        return Terms(
            account=self._account.name,
            spot=spot,
            temporary=temporary,
            usage=self._usage_of(spot),
            clock=self._clock,
            flush=self._uploads.flush,
            replace=replace,
            append=opening.append,
            read=read and opening.read,
            resumed=resumed,
            basis=basis,
            floor_bytes=floor_bytes,
            max_file_bytes=self._account.max_file_bytes,
        )

    def _rename(self, here: int, source: Spot, there: int, target: Spot, *, replace: bool) -> None:
        moved = status(here, source.name)
        if moved is None:
            raise _missing(source)
        if replace and not stat.S_ISDIR(moved.st_mode):
            replaced = status(there, target.name)
            os.rename(source.name, target.name, src_dir_fd=here, dst_dir_fd=there)
            if replaced is not None:
                self._usage_of(target).give_back(size_bytes=replaced.st_size, files=1)
        else:
            rename_to_free_name(here, source.name, there, target.name)
        self._sync(there)
        self._sync(here)

    def _usage_of(self, spot: Spot) -> Usage:
        return self._usage if spot.root == self._home else self._elsewhere

    def _sync(self, folder: int) -> None:
        if self._uploads.flush:
            sync_folder(folder)

    def _require_few_open(self) -> None:
        if len(self._open) >= MAX_OPEN:
            raise HomeError(Refusal.BUSY, f"{MAX_OPEN} files are open already: close some first")

    def _note_sent(self, done: Finished) -> None:
        self._sent[done.path] = None
        while len(self._sent) > _MAX_SENT:
            self._sent.popitem(last=False)
        self._tell(done)

    def _forget(self, file: OpenFile) -> None:
        self._open.pop(id(file), None)
        for path, upload in list(self._sending.items()):
            if upload is file:
                del self._sending[path]


@contextmanager
def closing_upload(file: OpenFile) -> Iterator[OpenFile]:
    """Close ``file`` in the end, or abandon it where the body fails."""
    try:
        yield file
    except BaseException:
        file.abandon()
        raise
    file.close()


def _missing(spot: Spot) -> HomeError:
    return HomeError(Refusal.MISSING, f"{spot.path!r} is not there")


def _change(descriptor: int, traits: Traits, acts: frozenset[Act], spot: Spot) -> None:
    """Set times and mode of what is open."""
    times = traits.atime_s is not None or traits.mtime_s is not None
    if traits.mode is not None and Act.SET_MODE not in acts:
        raise HomeError(Refusal.DENIED, f"{spot.path!r}: this account may not set the mode")
    if times and Act.SET_TIMES not in acts:
        raise HomeError(Refusal.DENIED, f"{spot.path!r}: this account may not set times")
    if not times and traits.mode is None:
        return
    with telling(spot.path):
        found = os.fstat(descriptor)
        is_folder = stat.S_ISDIR(found.st_mode)
        if found.st_nlink > 1 and not is_folder:
            raise HomeError(Refusal.DENIED, f"{spot.path!r} has other names (hard links)")
        if traits.mode is not None:
            os.fchmod(descriptor, traits.mode & 0o777 | (0o700 if is_folder else 0o600))
        if times:
            atime_s = found.st_atime if traits.atime_s is None else traits.atime_s
            mtime_s = found.st_mtime if traits.mtime_s is None else traits.mtime_s
            os.utime(descriptor, (atime_s, mtime_s))
