"""Looking at what is in a home: no link is followed, and nothing is told that the account may not see."""

import os
import stat
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from mftgit.adapters.clock import Clock
from mftgit.adapters.home.contract import Attributes, HomeError, Space
from mftgit.adapters.home.errors import meaning, telling
from mftgit.adapters.home.mark import is_marked
from mftgit.adapters.home.reach import Reach, missing
from mftgit.adapters.home.session import Session
from mftgit.adapters.home.spots import Spot
from mftgit.adapters.home.temporary import size_of
from mftgit.adapters.home.walk import READ, attributes_of, below, open_regular, status
from mftgit.model.inbound.account_path import is_reserved, temporary_name, text_of
from mftgit.model.inbound.permission import Act, names_told

SENDS: Final = (Act.WRITE, Act.OVERWRITE, Act.APPEND)
MADE_UP: Final = Attributes(size_bytes=0, mode=stat.S_IFDIR | 0o755, atime_s=0, mtime_s=0)


class Looking:
    """See `Home` for its methods."""

    def __init__(self, reach: Reach, session: Session, clock: Clock) -> None:
        self._reach = reach
        self._clock = clock
        self._session = session

    def stat(self, path: str) -> Attributes:
        """See `Home.stat`."""
        spot = self._reach.seen(path)
        if self._reach.spots.leads_to_folder(spot.parts):
            return _stat_folder(spot)
        acts = self._reach.acts(spot)
        with self._reach.above(spot) as folder:
            found = status(folder, spot.name)
            if found is None and not acts.isdisjoint(SENDS):
                return self._stat_unfinished(spot, folder)
            if found is None or not self.shows(folder, spot, found):
                raise missing(spot)
            self._session.forget_told(spot.path)
            return attributes_of(found)

    def unfinished(self, path: str) -> int | None:
        """See `Home.unfinished`."""
        spot = self._reach.seen(path)
        if self._reach.acts(spot).isdisjoint(SENDS) or self._reach.spots.leads_to_folder(
            spot.parts
        ):
            return None
        with self._reach.above(spot) as folder:
            if status(folder, spot.name) is not None:
                return None
            try:
                return self._stat_unfinished(spot, folder).size_bytes
            except HomeError:
                return None

    def shows(self, folder: int, spot: Spot, found: os.stat_result) -> bool:
        """Tell whether the account may know of ``found``: in a drop box, of folders and of what it has just sent."""
        if stat.S_ISDIR(found.st_mode) or not hides_files(self._reach.acts(spot)):
            return True
        return self._session.has_sent(spot.path) or self._is_own(folder, spot, found)

    def list(self, path: str) -> Iterator[tuple[str, Attributes]]:
        """See `Home.list`."""
        spot = self._reach.seen(path)
        over = self._reach.spots.names_in(spot.parts)
        if Act.LIST not in self._reach.acts(spot):
            self._require_folder(spot)
            return self._named(spot, over | names_told(self._reach.rules, spot.path))
        try:
            with below(spot.root, spot.inner) as folder:
                descriptor = os.dup(folder)
        except OSError as error:
            if not over:
                raise meaning(error, spot.path) from error
            return self._named(spot, over)
        entries = self._entries(spot, descriptor, over)
        next(entries)  # begun, so that the folder is closed also where nobody takes anything
        return entries

    def space(self, path: str) -> Space:
        """See `Home.space`."""
        spot = self._reach.seen(path)
        with telling(spot.path), below(spot.root, ()) as folder:
            room = os.fstatvfs(folder)
        usage = self._reach.usage_of(spot)
        blocks, blocks_free = room.f_blocks, room.f_bavail
        files, files_free = room.f_files, room.f_favail
        if usage.quota.size_bytes is not None:
            left_bytes = max(0, usage.quota.size_bytes - usage.size_bytes)
            blocks = min(blocks, usage.quota.size_bytes // room.f_frsize)
            blocks_free = min(blocks_free, left_bytes // room.f_frsize)
        if usage.quota.files is not None:
            # Storage that tells no number of files says 0.
            files = min(files or usage.quota.files, usage.quota.files)
            files_free = min(files_free or files, max(0, usage.quota.files - usage.files))
        return Space(
            block_bytes=room.f_frsize,
            blocks=blocks,
            blocks_free=blocks_free,
            files=files,
            files_free=files_free,
        )

    def _is_own(self, folder: int, spot: Spot, found: os.stat_result) -> bool:
        if not stat.S_ISREG(found.st_mode):
            return False
        try:
            descriptor = open_regular(folder, spot.name, READ)
        except (OSError, HomeError):
            return False
        try:
            return is_marked(descriptor, self._reach.account.name, self._clock)
        finally:
            os.close(descriptor)

    def _stat_unfinished(self, spot: Spot, folder: int) -> Attributes:
        sending = self._session.sending(spot.path)
        if sending is not None:
            return sending.attributes()
        found = size_of(folder, temporary_name(self._reach.account.name, spot.name))
        if found is None:
            raise missing(spot)
        self._session.note_told(spot.path, found.size_bytes)
        return found

    def _require_folder(self, spot: Spot) -> None:
        if not self._reach.spots.leads_to_folder(spot.parts):
            with telling(spot.path), below(spot.root, spot.inner):
                pass

    def _named(self, spot: Spot, names: Iterable[str]) -> Iterator[tuple[str, Attributes]]:
        for name in sorted(names):
            try:
                yield name, self.stat(text_of((*spot.parts, name)))
            except HomeError:
                continue  # it is not there, or nothing that may be seen

    def _entries(
        self, spot: Spot, descriptor: int, over: Collection[str]
    ) -> Iterator[tuple[str, Attributes]]:
        """Give what is in the open folder ``descriptor``, which is closed in the end, and the names ``over`` it.

        The first is the folder itself.
        """
        try:
            yield ".", MADE_UP
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    if entry.name in over or not self._is_listed(spot, entry.name):
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
        yield from self._named(spot, over)

    def _is_listed(self, spot: Spot, name: str) -> bool:
        return not is_reserved(name) and self._reach.sees(text_of((*spot.parts, name)))


def hides_files(acts: frozenset[Act]) -> bool:
    """Tell whether an account with ``acts`` sees no files, as in a drop box."""
    return acts.isdisjoint({Act.LIST, Act.READ})


def _stat_folder(spot: Spot) -> Attributes:
    """Return how a folder is that is there in any case, on disk or not; no server is asked."""
    if spot.far is not None:
        return MADE_UP
    try:
        with below(spot.root, spot.inner) as folder:
            return attributes_of(os.fstat(folder))
    except OSError:
        return MADE_UP
