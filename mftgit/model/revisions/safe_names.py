"""Which names a file or a folder of the repository may have, so that it can be cloned anywhere and told on one line."""

import re
from typing import Final

# What most names are; none of the rules below has anything against these.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
# NTFS drops dots and spaces at the end, takes what follows a colon for a stream, and has short names.
_NTFS_GIT: Final = re.compile(r"(?:\.git|git~1)[. ]*(?::.*)?", re.ASCII | re.IGNORECASE | re.DOTALL)
# HFS+ passes over these: joiners, marks of direction, shaping (git's utf8.c).
_HFS_IGNORED: Final = dict.fromkeys(
    (*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF)
)
_HFS_UNSAFE: Final = frozenset({"", ".", "..", ".git", "git~1"})
_NOT_UTF8: Final = re.compile("[\ud800-\udfff]")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")


def unsafe_for_git(name: str) -> str | None:
    """Return what git's own fsck has against ``name`` in a tree, None when nothing.

    What any file system takes for ``.git``, ``.`` or ``..`` counts as that, on every system.
    """
    if _PLAIN.fullmatch(name):
        return None
    # As in git, a name that is not UTF-8 ends for HFS+ where it stops being UTF-8.
    on_hfs = _NOT_UTF8.split(name)[0].translate(_HFS_IGNORED).lower()
    if (
        on_hfs in _HFS_UNSAFE
        or not name.rstrip(". ")
        or any(_NTFS_GIT.fullmatch(part) for part in name.split("\\"))
    ):
        return "some file systems take it for .git, . or .."
    return None


def unsafe_name(name: str) -> str | None:
    """Return what is wrong with ``name`` for a file or folder of a revision, None when nothing."""
    if wrong := unsafe_for_git(name):
        return wrong
    if _NOT_UTF8.search(name):
        return "it is not UTF-8"
    if _CONTROL.search(name):
        return "it holds a control character"
    return None
