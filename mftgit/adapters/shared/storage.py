"""See whether storage can be shared safely: what leases and the fence stand on is tried, and not believed.

Each property (`shared.storage_properties`) is tried in a folder of its own below ``probes``. Nothing looks
at a time, neither of a file nor of a clock. One client alone cannot see what another one sees; how far
members see each other is told by their sessions.
"""

import errno
import os
import secrets
import shutil
from pathlib import Path
from typing import Final

from mftgit.adapters.coordinator import CoordinatorUnavailableError
from mftgit.adapters.durable import names_in
from mftgit.adapters.mounted import mount_of
from mftgit.adapters.shared.storage_properties import PROPERTIES, NotSoError, Property
from mftgit.model.names import MemberName

_PROBES: Final = "probes"
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
"""What may be gone the next time. Whatever else is said of what has to work, the storage does not have it."""


class StorageUnfitError(CoordinatorUnavailableError):
    """Ownership cannot be safe on the storage that is there: own nothing on it, until there is another."""


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
                for number, each in enumerate(PROPERTIES):
                    _try(self._folder, probes / name / str(number), each)
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


def _try(folder: Path, own: Path, tried: Property) -> None:
    own.mkdir()
    try:
        tried.run(own)
    except NotSoError as finding:
        raise _unfit(folder, tried, str(finding)) from None
    except OSError as error:
        if error.errno in _FOR_NOW:
            raise
        raise _unfit(folder, tried, f"it says: {error.strerror}") from error


def _unfit(folder: Path, tried: Property, found: str) -> StorageUnfitError:
    return StorageUnfitError(
        f"{folder}: this storage ({_type_of(folder)}) cannot be shared safely. {tried.name}: {tried.needs}, but "
        f"{found}. Without it {tried.stands}. Nothing is owned on it: mount other storage there, such as NFS or, "
        "for one machine, a local disk (docs/how-to/operate.md: Shared storage)"
    )


def _type_of(folder: Path) -> str:
    """Return the type of file system, for people."""
    mount = mount_of(folder)
    return "of an unknown type" if mount is None else mount.type
