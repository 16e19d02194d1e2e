"""Bring what one revision changed to another one, for a revert or for a change whose base has moved on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from mftgit.model.rules.tree import Entry, Tree

MAX_LINES: Final = 3_000
"""Of the part of a file that differs: comparing costs the product of both sides' lines, some seconds at this bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What ``ours`` has to become: content by path, None for a file that goes.

    ``conflicts`` are the paths that both sides changed in the same place; nothing is said about these in ``files``.
    """

    files: Mapping[str, bytes | None]
    conflicts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hunk:
    """Lines ``start`` to ``end`` of what was before are ``lines`` now."""

    start: int
    end: int
    lines: tuple[bytes, ...]


def merge_trees(before: Tree, ours: Tree, theirs: Tree) -> Merged:
    """Return what has to change in ``ours`` so that it has, besides, what ``theirs`` changed since ``before``."""
    files: dict[str, bytes | None] = {}
    conflicts: list[str] = []
    for path in sorted(before.keys() | theirs.keys()):
        was, mine, other = before.get(path), ours.get(path), theirs.get(path)
        if _oid(was) == _oid(other) or _oid(mine) == _oid(other):
            continue
        if _oid(mine) == _oid(was):
            files[path] = other.load() if other else None
        elif (text := _merge_all(was, mine, other)) is not None:
            files[path] = text
        else:
            conflicts.append(path)
    return Merged(files=files, conflicts=tuple(conflicts))


def merge_text(before: bytes, ours: bytes, theirs: bytes) -> bytes | None:
    """Return ``ours`` with what ``theirs`` changed since ``before``; None where both changed lines that touch."""
    lines = before.splitlines(keepends=True)
    mine, others = _hunks(lines, ours), _hunks(lines, theirs)
    if mine is None or others is None:
        return None
    found: list[_Hunk] = []
    for hunk in sorted({*mine, *others}, key=lambda each: (each.start, each.end)):
        if found and hunk.start <= found[-1].end:
            return None
        found.append(hunk)
    merged: list[bytes] = []
    at = 0
    for hunk in found:
        merged += [*lines[at : hunk.start], *hunk.lines]
        at = hunk.end
    return b"".join([*merged, *lines[at:]])


def _merge_all(was: Entry | None, mine: Entry | None, other: Entry | None) -> bytes | None:
    if was is None or mine is None or other is None:
        return None
    return merge_text(was.load(), mine.load(), other.load())


def _hunks(before: Sequence[bytes], after_text: bytes) -> list[_Hunk] | None:
    """Return how to come from ``before`` to the other, None where that is too long to compare."""
    after = after_text.splitlines(keepends=True)
    most = min(len(before), len(after))
    start = next((at for at in range(most) if before[at] != after[at]), most)
    end = next(
        (at for at in range(most - start) if before[-1 - at] != after[-1 - at]), most - start
    )
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    if max(len(old), len(new)) > MAX_LINES:
        return None
    return [
        _Hunk(start=start + i1, end=start + i2, lines=tuple(new[j1:j2]))
        for tag, i1, i2, j1, j2 in SequenceMatcher(None, old, new).get_opcodes()
        if tag != "equal"
    ]


def _oid(entry: Entry | None) -> str | None:
    return entry.oid if entry else None
