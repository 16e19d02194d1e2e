"""Renaming a local file to a name that must be free, so that no other file is ever replaced."""

import ctypes
import errno
import os
from functools import cache
from typing import Any

_RENAME_NOREPLACE = 1  # linux/fs.h


def rename_to_free_name(source: int, old: str, target: int, new: str) -> None:
    """Rename ``old`` in the folder ``source`` to ``new`` in ``target``, both open descriptors.

    One step where storage can, else the two steps of `_link_and_unlink`.

    Raises:
        OSError: as rename(2) says it; EEXIST when ``new`` is there.
    """
    try:
        _renameat2(source, old, target, new)
    except OSError as error:
        # NFS and some others take no flags (EINVAL), old kernels and C libraries lack the call (ENOSYS).
        if error.errno not in {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
            raise
        _link_and_unlink(source, old, target, new)


def _renameat2(source: int, old: str, target: int, new: str) -> None:
    """Call renameat2(2) with RENAME_NOREPLACE; Python has no name for it."""
    call = _in_library()
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    arguments = source, os.fsencode(old), target, os.fsencode(new), _RENAME_NOREPLACE
    if call(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@cache
def _in_library() -> Any:
    """Return the C library's renameat2; None where it has none."""
    return getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)


def _link_and_unlink(source: int, old: str, target: int, new: str) -> None:
    """Rename a file in two steps of which the first, link(2), never replaces anything.

    A crash between the two leaves both names on one file; the same call again then ends the work. Of two callers
    that rename one file to two names, the one whose unlink comes second has lost and takes its name back. Of two that
    rename it to one name, one may end what the other began: then the new name is the only one left, and stays.
    """
    try:
        os.link(old, new, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    except FileExistsError:
        if not _are_two_names_of_one_file(source, old, target, new):
            raise
        os.unlink(old, dir_fd=source)
        return
    try:
        os.unlink(old, dir_fd=source)
    except FileNotFoundError:
        if os.stat(new, dir_fd=target, follow_symlinks=False).st_nlink > 1:
            os.unlink(new, dir_fd=target)
            raise
    except OSError:
        os.unlink(new, dir_fd=target)
        raise


def _are_two_names_of_one_file(source: int, old: str, target: int, new: str) -> bool:
    if old == new and os.path.samestat(os.fstat(source), os.fstat(target)):
        return False
    had = os.stat(old, dir_fd=source, follow_symlinks=False)
    has = os.stat(new, dir_fd=target, follow_symlinks=False)
    # One link only: a file system without case gave the same name back for another spelling.
    return os.path.samestat(had, has) and had.st_nlink > 1
