"""Write another value into a document so that comments, order and style stay as far as possible.

Whatever is written is read again: where it does not say what was meant, the whole document is written anew.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mftgit.model.documents.document import Document, read_document
from mftgit.model.documents.json_value import Json, Place, Position, join_pointer
from mftgit.model.documents.sample_text import write_inline, write_yaml

_COMMENT: Final = "#"
_FLOW: Final = {"{": "}", "[": "]"}
_Path = tuple[str, ...]


class _UnsupportedError(Exception):
    """This cannot be written into what is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """A document's text; ``lost`` tells that a comment of it may be gone."""

    text: str
    lost: bool = False


def edit_document(text: str, value: Mapping[str, Json], *, json_syntax: bool = False) -> Edited:
    """Return ``text``, a document that can be read, so that it says ``value``."""
    if json_syntax:
        return Edited(text=json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    document = _read(text)
    if document is not None:
        edits = _Edits(text, document)
        try:
            edits.change((), dict(document.value), dict(value))
            changed = edits.applied()
        except (_UnsupportedError, IndexError, KeyError):
            changed = None
        if changed is not None and _says(changed, value):
            return Edited(text=changed, lost=edits.lost)
    return Edited(text=write_yaml(dict(value)), lost=_COMMENT in text)


def _read(text: str) -> Document | None:
    return read_document(text.encode("utf-8", "replace"), json=False).document


def _says(text: str, value: Mapping[str, Json]) -> bool:
    document = _read(text)
    return document is not None and _same(document.value, value)


def _same(one: Any, other: Any) -> bool:
    """Tell whether two values are the same to the letter: ``true`` is not 1, and 1 is not 1.0."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@dataclass(slots=True)
class _Edits:
    """Pieces of the text that become others."""

    text: str
    document: Document
    lost: bool = False
    _pieces: list[tuple[int, int, str]] = field(default_factory=list)
    _positions: dict[str, Position] = field(default_factory=dict)
    _lines: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._positions = self.document.positions()
        self._lines = [0]
        for line in self.text.split("\n"):
            self._lines.append(self._lines[-1] + len(line) + 1)

    def change(self, path: _Path, old: Json, new: Json) -> None:
        """Let what is at ``path`` become ``new``."""
        if _same(old, new):
            return
        if not isinstance(old, dict) or not isinstance(new, dict) or not self._is_open(path, old):
            self._replace(path, old, new)
            return
        if not old.keys() & new.keys():
            self._replace(path, old, new)
            return
        for key, value in old.items():
            if key in new:
                self.change((*path, key), value, new[key])
            else:
                self._remove((*path, key), value)
        for key in new:
            if key not in old:
                self._insert(path, key, old, new)

    def applied(self) -> str:
        """Return the text with every piece in its place."""
        text = self.text
        for start, end, words in sorted(self._pieces, key=lambda each: each[0], reverse=True):
            text = text[:start] + words + text[end:]
        return text

    # What is done

    def _replace(self, path: _Path, old: Json, new: Json) -> None:
        start, end = self._start(path), self._end(path, old, in_flow=self._in_flow(path))
        self.lost |= isinstance(old, dict | list) and _COMMENT in self.text[start:end]
        if isinstance(new, dict | list) and new and self._is_open(path, old):
            words = _indented(write_yaml(new), self._place(path).column - 1).strip()
        else:
            words = write_inline(new)
        self._pieces.append((start, end, words))

    def _remove(self, path: _Path, old: Json) -> None:
        begins, _ = self._own_line(path)
        end = self.text.find("\n", self._end(path, old, in_flow=False))
        end = len(self.text) if end < 0 else end + 1
        self.lost |= _COMMENT in self.text[begins:end]
        self._pieces.append((begins, end, ""))

    def _insert(
        self, path: _Path, key: str, old: Mapping[str, Json], new: Mapping[str, Json]
    ) -> None:
        """Put a key in its place among those that stay: before the next of them, or after the last."""
        names = list(new)
        later = next((each for each in names[names.index(key) :] if each in old), None)
        column = self._position((*path, next(iter(old)))).key.column
        words = _indented(write_yaml({key: new[key]}), column - 1)
        if later is not None:
            at, _ = self._own_line((*path, later))
            self._pieces.append((at, at, words))
            return
        last = next(each for each in reversed(list(old)) if each in new)
        end = self.text.find("\n", self._end((*path, last), old[last], in_flow=False))
        at = len(self.text) if end < 0 else end + 1
        self._pieces.append((at, at, words if end >= 0 else f"\n{words}"))

    # Where things are

    def _position(self, path: _Path) -> Position:
        return self._positions[join_pointer(path)]

    def _place(self, path: _Path) -> Place:
        return self._position(path).value

    def _offset(self, place: Place) -> int:
        return self._lines[place.line - 1] + place.column - 1

    def _start(self, path: _Path) -> int:
        return self._offset(self._place(path))

    def _own_line(self, path: _Path) -> tuple[int, int]:
        """Return where the line of a key begins, which holds nothing before it, and where the key does."""
        key = self._position(path).key
        line, at = self._lines[key.line - 1], self._offset(key)
        if self.text[line:at].strip(" "):
            raise _UnsupportedError
        return line, at

    def _is_open(self, path: _Path, value: Json) -> bool:
        """Tell whether a value is a mapping or list that goes over lines of its own, without brackets."""
        return isinstance(value, dict | list) and self.text[self._start(path)] not in _FLOW

    def _in_flow(self, path: _Path) -> bool:
        above = (path[:length] for length in range(len(path)))
        return any(self.text[self._start(each)] in _FLOW for each in above)

    def _end(self, path: _Path, value: Json, *, in_flow: bool) -> int:
        """Return where a value ends."""
        start = self._start(path)
        if isinstance(value, dict) and self._is_open(path, value):
            last = next(reversed(value))
            return self._end((*path, last), value[last], in_flow=in_flow)
        if isinstance(value, list) and self._is_open(path, value):
            at = len(value) - 1
            return self._end((*path, str(at)), value[at], in_flow=in_flow)
        return _token_end(self.text, start, in_flow=in_flow)


def _token_end(text: str, start: int, *, in_flow: bool) -> int:
    """Return where the scalar or the value in brackets ends that begins at ``start``."""
    first = text[start]
    if first in "|>":
        raise _UnsupportedError  # a text of several lines
    if first in _FLOW:
        return _closed(text, start)
    if first in "\"'":
        return _quoted(text, start)
    end = start
    while end < len(text) and text[end] != "\n":
        if (in_flow and text[end] in ",[]{}") or text.startswith(" #", end):
            break
        end += 1
    return start + len(text[start:end].rstrip())


def _quoted(text: str, start: int) -> int:
    quote, at = text[start], start + 1
    while True:
        if (text[at] == "\\" and quote == '"') or (
            text[at] == quote and quote == "'" and text.startswith("''", at)
        ):
            at += 2
        elif text[at] == quote:
            return at + 1
        else:
            at += 1


def _closed(text: str, start: int) -> int:
    depth, at = 0, start
    while True:
        if text[at] in "\"'" and text[at - 1] in " ,[{:":
            at = _quoted(text, at)
            continue
        if text.startswith(" #", at):
            raise _UnsupportedError  # a comment, in which anything may stand
        depth += (text[at] in _FLOW) - (text[at] in _FLOW.values())
        at += 1
        if depth == 0:
            return at


def _indented(words: str, spaces: int) -> str:
    return "".join(
        f"{' ' * spaces}{line}" if line.strip() else line
        for line in words.splitlines(keepends=True)
    )
