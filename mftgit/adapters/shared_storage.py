"""See whether storage can be shared safely: what leases and the fence stand on is tried, and not believed.

Each step tries one property, in a folder of its own below ``probes``, and is refused with what it found. Nothing
looks at a time, neither of a file nor of a clock. One client alone cannot see what another one sees; how far
members see each other is told by their sessions.
"""

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from mftgit.adapters.coordinator import CoordinatorUnavailableError
from mftgit.adapters.durable import names_in, sync_folder
from mftgit.model.mounts import Mount, find_mount
from mftgit.model.names import MemberName

_PROBES: Final = "probes"
_LINKED: Final = 2
_LONGEST_NAME: Final = 255
_FOR_NOW: Final = {
    errno.EIO,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.ENOTCONN,
    errno.ECONNABORTED,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.EREMOTEIO,
    errno.ENODEV,
    errno.ENXIO,
    errno.EAGAIN,
    errno.EINTR,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.ENOENT,  # the mount has come or gone meanwhile
    errno.ENOTDIR,
}
"""What may be gone the next time. Whatever else is said of a step that has to work, the storage does not have it."""


class StorageUnfitError(CoordinatorUnavailableError):
    """Ownership cannot be safe on the storage that is there: own nothing on it, until there is another."""


class _Finding(Exception):  # noqa: N818  no error of anybody's, but what a step found
    """A step found something else than it has to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """One property. ``stands``: what stands on it, and would not hold without it."""

    name: str
    needs: str
    stands: str
    run: Callable[[Path], None]


class StorageProbe:
    """Tries the storage that ``folder`` is on, for one member; any number of members may try at once."""

    def __init__(self, folder: Path, member: MemberName) -> None:
        """Try nothing yet; ``folder`` is the members' ``.mftgit``."""
        self._folder = folder
        self._member = member
        self._under_way: set[str] = set()

    def __call__(self) -> None:
        """See that the folder, made when missing, is storage that members can share safely. It may hang.

        It leaves an empty folder ``probes`` behind, and removes what a process of this member has left that was killed.

        Raises:
            StorageUnfitError: it is not, however often it is tried; the message names the property.
            CoordinatorUnavailableError: it does not answer, or takes no writes now.
        """
        probes = self._folder / _PROBES
        name = f"{self._member}.{os.getpid()}.{secrets.token_hex(8)}"
        self._under_way.add(name)
        try:
            probes.mkdir(parents=True, exist_ok=True)
            self._sweep(probes)
            try:
                (probes / name).mkdir()
                for number, step in enumerate(_STEPS):
                    _try(self._folder, probes / name / str(number), step)
            finally:
                shutil.rmtree(probes / name, ignore_errors=True)
        except OSError as error:
            raise CoordinatorUnavailableError(
                f"{self._folder}: the members' storage ({_type_of(self._folder)}) does not answer: "
                f"{error.strerror or error}; see that it is mounted here, is writable, and has room"
            ) from error
        finally:
            self._under_way.discard(name)

    def _sweep(self, probes: Path) -> None:
        """Remove what this member has left; no name has a dot, and a member is on one machine."""
        for path in names_in(probes):
            member, _, rest = path.name.partition(".")
            number = rest.partition(".")[0]
            runs = number != str(os.getpid()) and Path("/proc", number).exists()
            if member == self._member and path.name not in self._under_way and not runs:
                shutil.rmtree(path, ignore_errors=True)


def _try(folder: Path, own: Path, step: _Step) -> None:
    own.mkdir()
    try:
        step.run(own)
    except _Finding as finding:
        raise _unfit(folder, step, str(finding)) from None
    except OSError as error:
        if error.errno in _FOR_NOW:
            raise
        raise _unfit(folder, step, f"it says: {error.strerror}") from error


def _unfit(folder: Path, step: _Step, found: str) -> StorageUnfitError:
    return StorageUnfitError(
        f"{folder}: this storage ({_type_of(folder)}) cannot be shared safely. {step.name}: {step.needs}, but {found}. "
        f"Without it {step.stands}. Nothing is owned on it: mount other storage there, such as NFS or, "
        "for one machine, a local disk (docs/how-to/operate.md: Shared storage)"
    )


def _type_of(folder: Path) -> str:
    """Return the type of file system, for people."""
    mount = mount_of(folder)
    return "of an unknown type" if mount is None else mount.type


def mount_of(folder: Path) -> Mount | None:
    """Return what ``folder`` is on, None where that cannot be told. It may hang."""
    try:
        told = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
        return find_mount(PurePosixPath(folder.resolve()), told)
    except OSError:
        return None


# Steps


def _new(path: Path | str, *, into: int | None = None) -> None:
    """Make a file that must not be there, with its own path as content."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o644, dir_fd=into)
    try:
        os.write(descriptor, os.fsencode(path))
    finally:
        os.close(descriptor)


def _expect(holds: object, otherwise: str) -> None:
    if not holds:
        raise _Finding(otherwise)


@contextmanager
def _refused(otherwise: str) -> Iterator[None]:
    """The body has to fail, whatever it is told; a storage that does not answer at all shows elsewhere."""
    try:
        yield
    except OSError:
        return
    raise _Finding(otherwise)


def _names(folder: Path) -> set[bytes]:
    return {os.fsencode(path.name) for path in folder.iterdir()}


def _create_exclusively(own: Path) -> None:
    _new(own / "taken")
    with _refused("a file that was there was made once more"):
        _new(own / "taken")


def _link_once(own: Path) -> None:
    first, second, name = own / "first", own / "second", own / "name"
    _new(first)
    _new(second)
    os.link(first, name)
    _expect(first.stat().st_nlink == _LINKED, "a file with two names has another number of links")
    with _refused("a name that was taken was given once more"):
        os.link(second, name)
    _expect(second.stat().st_nlink == 1, "a link that was refused is counted all the same")
    _expect(name.read_bytes() == os.fsencode(first), "the name tells of the second file")
    (own / "deeper").mkdir()
    os.link(second, own / "deeper" / "name")
    first.unlink()
    _expect(name.stat().st_nlink == 1, "a link that was removed is counted still")


def _rename_whole(own: Path) -> None:
    old, new = own / "old", own / "new"
    _new(old)
    _new(new)
    new.rename(old)
    _expect(old.read_bytes() == os.fsencode(new), "the file under the name is the former one")
    _expect(_names(own) == {b"old"}, "the file has two names, or none, after it")


def _rename_once(own: Path) -> None:
    first, second = own / "first", own / "second"
    _new(own / "a")
    (own / "a").rename(first)
    with _refused("a file that was gone from its place was renamed once more"):
        (own / "a").rename(second)
    _expect(_names(own) == {b"first"}, "the file has another name after it")


def _rename_across(own: Path) -> None:
    """As records and claims go from the folder of one epoch to that of the next."""
    lower, higher = own / "1", own / "2"
    lower.mkdir()
    higher.mkdir()
    _new(lower / "a")
    (lower / "a").rename(higher / "a")
    _expect(
        (_names(lower), _names(higher)) == (set(), {b"a"}), "it is listed in the first one still"
    )
    lower.rmdir()
    with _refused("a file was renamed into a folder that was removed"):
        (higher / "a").rename(lower / "a")
    _expect(_names(higher) == {b"a"}, "the file was gone after a rename that was refused")


def _remove_only_empty(own: Path) -> None:
    full = own / "full"
    full.mkdir()
    _new(full / "a")
    with _refused("a folder with a file in it was removed"):
        full.rmdir()
    _expect(_names(full) == {b"a"}, "the file was gone after it")


def _keep_out(own: Path) -> None:
    """Act as an owner that has its folder open, and sleeps while a successor removes it."""
    gone = own / "gone"
    gone.mkdir()
    _new(own / "a")
    opened = os.open(gone, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        gone.rmdir()
        with _refused("a file was renamed into it all the same"):
            os.rename(own / "a", "a", dst_dir_fd=opened)
        _expect(_names(own) == {b"a"}, "the file was gone after a rename that was refused")
        with _refused("a file was made in it all the same"):
            _new("b", into=opened)
    finally:
        os.close(opened)


def _list_at_once(own: Path) -> None:
    wanted = {f"{number}".encode() for number in range(8)}
    for name in sorted(wanted):
        _new(own / os.fsdecode(name))
        _expect(name in _names(own), "a file was not listed that was just made")
    for name in sorted(wanted):
        (own / os.fsdecode(name)).unlink()
        _expect(name not in _names(own), "a file was listed that was just removed")


def _keep_names(own: Path) -> None:
    """No name may become another one; one that is refused cannot."""
    _new(own / ("n" * _LONGEST_NAME))
    (own / ("n" * _LONGEST_NAME)).unlink()
    for name in ("ä".encode(), "a\u0308".encode(), "名前 😀".encode(), b"\xff\xfe"):
        try:
            _new(own / os.fsdecode(name))
        except FileExistsError:
            raise _Finding(f"the name {name!r} was taken for another one") from None
        except OSError:
            continue
        _expect(name in _names(own), f"the name {name!r} was kept as another one")


def _tell_case(own: Path) -> None:
    _new(own / "a")
    try:
        _new(own / "A")
    except FileExistsError:
        raise _Finding("A was taken for a") from None
    _expect(_names(own) == {b"a", b"A"}, "only one of a and A is listed")


def _keep_content(own: Path) -> None:
    content = secrets.token_bytes(4096)
    path = own / "a"
    path.write_bytes(content)
    _expect(path.read_bytes() == content, "another content was read than was written")


def _make_last(own: Path) -> None:
    with (own / "a").open("xb") as stream:
        stream.write(b"a")
        stream.flush()
        os.fsync(stream.fileno())
    sync_folder(own)


_STEPS: Final = (
    _Step(
        name="Content",
        needs="what was written is read again",
        stands="a record of a delivery would tell of another file",
        run=_keep_content,
    ),
    _Step(
        name="Listing",
        needs="it tells at once what was made and removed",
        stands="an owner could miss its successor",
        run=_list_at_once,
    ),
    _Step(
        name="Exclusive create (O_EXCL)",
        needs="of those who make one file one succeeds",
        stands="two members could each believe that a name is theirs",
        run=_create_exclusively,
    ),
    _Step(
        name="Exclusive link (link(2))",
        needs="of those who give one name one succeeds, and the number of links tells which",
        stands="two members could own one transfer",
        run=_link_once,
    ),
    _Step(
        name="Rename onto a file (rename(2))",
        needs="the new file takes the name of the old one",
        stands="a record would be torn or missing after a crash",
        run=_rename_whole,
    ),
    _Step(
        name="Rename of what is gone",
        needs="a file is taken from its place once",
        stands="two owners could claim one file, and send it twice",
        run=_rename_once,
    ),
    _Step(
        name="Rename from folder to folder",
        needs="a file goes from one folder to the next, and to none that was removed",
        stands="a successor could not take over what is under way, or a late owner could go on with it",
        run=_rename_across,
    ),
    _Step(
        name="Removal of a folder (rmdir(2))",
        needs="a folder that holds a file is kept",
        stands="a file that is under way could be lost at a takeover",
        run=_remove_only_empty,
    ),
    _Step(
        name="Removal of a folder that is open",
        needs="nothing goes into it any more",
        stands="an owner that wakes late could send a file that its successor sends too",
        run=_keep_out,
    ),
    _Step(
        name="Names",
        needs=f"{_LONGEST_NAME} bytes are kept, and none becomes another name",
        stands="one file could be taken for another one",
        run=_keep_names,
    ),
    _Step(
        name="Case of names",
        needs="a and A are two files",
        stands="one file could take the place of another one",
        run=_tell_case,
    ),
    _Step(
        name="Making last (fsync(2))",
        needs="files and folders are brought to the disk",
        stands="a record that a delivery goes by could be gone after a power cut",
        run=_make_last,
    ),
)
