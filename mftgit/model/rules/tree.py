"""The files of one revision, as they are handed to the rules."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of a tree. ``oid`` names the content; ``load`` gives it, and is only called when needed.

    ``mode`` is git's: 0o100644 for a plain file.
    """

    mode: int
    oid: str
    size_bytes: int
    load: Callable[[], bytes]


Tree = Mapping[str, Entry]
"""Files by path from the root, with ``/``; a name that is not UTF-8 is given with surrogate escapes."""
