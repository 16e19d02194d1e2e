"""Times and modes that clients set."""

import os
import stat
from typing import Final

from mftgit.adapters.home.contract import HomeError, Refusal, Traits
from mftgit.adapters.home.errors import telling
from mftgit.model.inbound.permission import Act

_MAX_TIME_S: Final = 2**40
_FILE_MODE: Final = 0o600
_FOLDER_MODE: Final = 0o700


def set_traits(descriptor: int, traits: Traits, acts: frozenset[Act], path: str) -> None:
    """Set times and mode, and not the size, of what is open.

    Its owner, which is the member, always keeps the right to read and write: transfers need it. A file with several
    names (hard links) stays as it is: one of them may lie outside the home.

    Raises:
        HomeError: ``acts`` do not allow it, or it cannot be done.
    """
    times = traits.atime_s is not None or traits.mtime_s is not None
    if traits.mode is not None and Act.SET_MODE not in acts:
        raise HomeError(Refusal.DENIED, f"{path!r}: this account may not set the mode")
    if times and Act.SET_TIMES not in acts:
        raise HomeError(Refusal.DENIED, f"{path!r}: this account may not set times")
    if not times and traits.mode is None:
        return
    with telling(path):
        found = os.fstat(descriptor)
        if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
            raise HomeError(Refusal.DENIED, f"{path!r} has several names (hard links)")
        if traits.mode is not None:
            os.fchmod(descriptor, kept_mode(traits.mode, folder=stat.S_ISDIR(found.st_mode)))
        if times:
            atime_s = found.st_atime if traits.atime_s is None else traits.atime_s
            mtime_s = found.st_mtime if traits.mtime_s is None else traits.mtime_s
            if not (abs(atime_s) < _MAX_TIME_S and abs(mtime_s) < _MAX_TIME_S):
                raise HomeError(Refusal.UNSUPPORTED, f"{path!r}: no such time can be kept")
            os.utime(descriptor, (atime_s, mtime_s))


def kept_mode(mode: int, *, folder: bool) -> int:
    """Return what of ``mode`` is set: the nine bits of permissions, the owner's always."""
    return (mode & 0o777) | (_FOLDER_MODE if folder else _FILE_MODE)


def new_mode(traits: Traits, acts: frozenset[Act], *, folder: bool) -> int:
    """Return with which mode something is made, before the process's mask; what may not be set is passed over."""
    if traits.mode is None or Act.SET_MODE not in acts:
        return 0o777 if folder else 0o666
    return kept_mode(traits.mode, folder=folder)
