"""Tell what two revisions differ in, file by file and line by line, within bounds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import Enum, unique
from typing import Any, Final

from mftgit.model.rules.tree import Entry, Tree

CONTEXT: Final = 3
"""Lines that are shown around what changed."""

MAX_FILES: Final = 300
MAX_LINES: Final = 4_000
"""Lines shown in all; what is beyond is counted as not shown."""

MAX_FILE_BYTES: Final = 1 << 20
MAX_LINE: Final = 2_000
"""Characters of one line that are shown."""

_MAX_COMPARED: Final = 3_000
_EQUAL: Final = "equal"

_Code = tuple[str, int, int, int, int]
"""As difflib has it: what became of lines from, to, before; and from, to, after."""


@unique
class FileAction(Enum):
    """What became of a file."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@unique
class Side(Enum):
    """Where a line is: on both sides, only before, or only after; the value is the mark before it."""

    BOTH = " "
    BEFORE = "-"
    AFTER = "+"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line with its numbers on the sides that have it, from 1."""

    side: Side
    before: int | None
    after: int | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDifference:
    """What changed in one file: runs of lines with what is around them.

    ``hidden`` says why lines are not shown, or is empty.
    """

    path: str
    action: FileAction
    hunks: tuple[tuple[Line, ...], ...] = ()
    hidden: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDifference:
    """The files that differ, by path; ``more`` are so many that are not told."""

    files: tuple[FileDifference, ...]
    more: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the shape that the HTTP API documents."""
        return {"files": [_file_json(each) for each in self.files], "more_files": self.more}


def text_difference(before: Tree, after: Tree) -> TextDifference:
    """Return how ``after`` differs from ``before``."""
    paths = sorted(
        path for path in before.keys() | after.keys() if _id(before, path) != _id(after, path)
    )
    files: list[FileDifference] = []
    left = MAX_LINES
    for path in paths[:MAX_FILES]:
        found = _file(path, before.get(path), after.get(path), left)
        left -= sum(map(len, found.hunks))
        files.append(found)
    return TextDifference(files=tuple(files), more=max(0, len(paths) - MAX_FILES))


def _id(tree: Tree, path: str) -> tuple[str, int] | None:
    entry = tree.get(path)
    return (entry.oid, entry.mode) if entry else None


def _file(path: str, before: Entry | None, after: Entry | None, left: int) -> FileDifference:
    action = FileAction.CHANGED
    if before is None or after is None:
        action = FileAction.ADDED if before is None else FileAction.REMOVED
    if max(entry.size_bytes for entry in (before, after) if entry) > MAX_FILE_BYTES:
        return FileDifference(
            path=path, action=action, hidden=f"larger than {MAX_FILE_BYTES:,} bytes"
        )
    if left <= 0:
        return FileDifference(
            path=path, action=action, hidden=f"more than {MAX_LINES:,} lines in all"
        )
    old, new = _lines(before), _lines(after)
    if old is None or new is None:
        return FileDifference(path=path, action=action, hidden="not text")
    if before and after and before.oid == after.oid:
        return FileDifference(path=path, action=action, hidden=f"the mode is {after.mode:o} now")
    return _within(path, action, _hunks(old, new), left)


def _within(
    path: str, action: FileAction, hunks: Iterator[tuple[Line, ...]], left: int
) -> FileDifference:
    shown: list[tuple[Line, ...]] = []
    for hunk in hunks:
        if len(hunk) > left:
            cut = tuple(hunk[:left])
            return FileDifference(
                path=path,
                action=action,
                hunks=(*shown, *([cut] if cut else [])),
                hidden=f"the rest: more than {MAX_LINES:,} lines in all",
            )
        shown.append(hunk)
        left -= len(hunk)
    return FileDifference(path=path, action=action, hunks=tuple(shown))


def _lines(entry: Entry | None) -> list[str] | None:
    """Return the lines of a file, none where there is none; None where it is no text."""
    content = entry.load() if entry else b""
    if b"\0" in content:
        return None
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    else:
        lines[-1] += "\n\\ no newline at the end of the file"
    return lines


def _hunks(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[Line, ...]]:
    """Give runs of lines; what lies between two that are near each other belongs to both."""
    for run in _runs(list(_opcodes(old, new))):
        yield tuple(line for code in run for line in _told(code, old, new))


def _runs(codes: list[_Code]) -> Iterator[list[_Code]]:
    if codes and codes[0][0] == _EQUAL:
        _, i1, i2, j1, j2 = codes[0]
        codes[0] = (_EQUAL, max(i1, i2 - CONTEXT), i2, max(j1, j2 - CONTEXT), j2)
    if codes and codes[-1][0] == _EQUAL:
        _, i1, i2, j1, j2 = codes[-1]
        codes[-1] = (_EQUAL, i1, min(i2, i1 + CONTEXT), j1, min(j2, j1 + CONTEXT))
    run: list[_Code] = []
    for code in codes:
        tag, i1, i2, j1, j2 = code
        if tag == _EQUAL and i2 - i1 > 2 * CONTEXT:
            yield [*run, (_EQUAL, i1, i1 + CONTEXT, j1, j1 + CONTEXT)]
            run = [(_EQUAL, i2 - CONTEXT, i2, j2 - CONTEXT, j2)]
        else:
            run.append(code)
    if any(tag != _EQUAL for tag, *_ in run):
        yield run


def _told(code: _Code, old: Sequence[str], new: Sequence[str]) -> Iterator[Line]:
    tag, i1, i2, j1, j2 = code
    if tag == _EQUAL:
        for at in range(i2 - i1):
            yield _line(Side.BOTH, old[i1 + at], i1 + at + 1, j1 + at + 1)
        return
    for at in range(i1, i2):
        yield _line(Side.BEFORE, old[at], at + 1, None)
    for at in range(j1, j2):
        yield _line(Side.AFTER, new[at], None, at + 1)


def _opcodes(old: Sequence[str], new: Sequence[str]) -> Iterator[_Code]:
    """Give what is equal and what is not; what is too long to compare is all different."""
    most = min(len(old), len(new))
    start = next((at for at in range(most) if old[at] != new[at]), most)
    most -= start
    end = next((at for at in range(most) if old[-1 - at] != new[-1 - at]), most)
    i, j = len(old) - end, len(new) - end
    if start:
        yield _EQUAL, 0, start, 0, start
    if max(i, j) - start > _MAX_COMPARED:
        yield "replace", start, i, start, j
    else:
        matcher = SequenceMatcher(None, old[start:i], new[start:j])
        for tag, i1, i2, j1, j2 in matcher.get_opcodes():
            yield tag, start + i1, start + i2, start + j1, start + j2
    if end:
        yield _EQUAL, i, len(old), j, len(new)


def _line(side: Side, text: str, before: int | None, after: int | None) -> Line:
    return Line(side=side, before=before, after=after, text=text[:MAX_LINE])


def _file_json(file: FileDifference) -> dict[str, Any]:
    return {
        "path": file.path,
        "action": file.action.value,
        "hidden": file.hidden or None,
        "hunks": [
            [
                {
                    "mark": line.side.value,
                    "before": line.before,
                    "after": line.after,
                    "text": line.text,
                }
                for line in hunk
            ]
            for hunk in file.hunks
        ],
    }
