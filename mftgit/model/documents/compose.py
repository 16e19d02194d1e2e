"""Put the pieces that a parser reads together to one value, within bounds, and remember where each piece stood.

Both syntaxes feed the same `Composer`, so that keys, bounds and characters are judged alike.
"""

import re
from array import array
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NoReturn

from mftgit.model.documents.json_value import Json, Place, join_pointer
from mftgit.model.documents.problem import Problem

MAX_DEPTH: Final = 32
MAX_NODES: Final = 100_000
MAX_KEY_LENGTH: Final = 256
MAX_PROBLEMS_PER_FILE: Final = 100
"""More than that in one file is one mistake seen many times."""
UNWELCOME: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)
"""Control characters, line breaks that only some readers see, and marks that turn the direction of text.

The last ones show a reviewer something else than what is read (CVE-2021-42574).
"""


_WORD_LENGTH: Final = 32
_WORDS: Final = 4096
_NOWHERE: Final = Place(0, 0)


class GivenUpError(Exception):
    """Nothing further can be read; the reason is among the problems already."""


@dataclass(slots=True)
class _Frame:
    """A mapping or list that is still open."""

    container: dict[str, Json] | list[Json]
    key: str | None = None
    key_place: Place = _NOWHERE
    dropped: bool = False
    """The key was reported: its value is read and belongs to nothing."""


@dataclass(slots=True)
class Composer:
    """Takes pieces in the order of the text.

    ``problems`` carry no file name: the same content may lie under many names.
    ``marks`` holds four numbers for each value in the order of the text: line and column of the
    value, line and column of its key. That is a twentieth of what a mapping of pointers takes.
    """

    problems: list[Problem] = field(default_factory=list)
    marks: "array[int]" = field(default_factory=lambda: array("I"))
    roots: list[Json] = field(default_factory=list)
    _stack: list[_Frame] = field(default_factory=list)
    _nodes: int = 0

    @property
    def expects_key(self) -> bool:
        """Whether the next piece is a key of a mapping."""
        return bool(self._stack) and _wants_key(self._stack[-1])

    def report(
        self, place: Place, rule: str, message: str, hint: str = "", *, key: str | None = None
    ) -> None:
        """Note a problem, of ``key`` in the innermost mapping where that is given.

        Raises:
            GivenUpError: there are too many already.
        """
        if len(self.problems) == MAX_PROBLEMS_PER_FILE:
            self.give_up(
                place,
                "limit",
                "more problems follow; they are not listed",
                "mend those above first",
            )
        self._note(place, rule, message, hint, self._parts() + ([] if key is None else [key]))

    def give_up(self, place: Place, rule: str, message: str, hint: str = "") -> NoReturn:
        """Note a problem after which nothing can be read.

        Raises:
            GivenUpError: always.
        """
        self._note(place, rule, message, hint, self._parts())
        raise GivenUpError

    def _note(self, place: Place, rule: str, message: str, hint: str, parts: list[str]) -> None:
        self.problems.append(
            Problem(
                file="",
                line=place.line,
                column=place.column,
                pointer=join_pointer(parts),
                rule=rule,
                message=message,
                hint=hint,
            )
        )

    def _parts(self) -> list[str]:
        parts = []
        for depth, frame in enumerate(self._stack, start=1):
            if isinstance(frame.container, list):
                # Every list but the innermost holds the value that is being read already.
                parts.append(str(len(frame.container) - (depth < len(self._stack))))
            elif frame.key is not None:
                parts.append(frame.key)
        return parts

    def open_mapping(self, place: Place) -> None:
        """Begin a mapping."""
        self._open({}, place)

    def open_sequence(self, place: Place) -> None:
        """Begin a list."""
        self._open([], place)

    def _open(self, container: dict[str, Json] | list[Json], place: Place) -> None:
        if self.expects_key:
            self.give_up(
                place,
                "key",
                "a key is a text, not a mapping or list",
                'a template needs quotes: "{{ name }}"',
            )
        if len(self._stack) == MAX_DEPTH:
            self.give_up(
                place, "limit", f"nested more than {MAX_DEPTH} deep", "no document needs that"
            )
        self._add(container, place)
        self._stack.append(_Frame(container))

    def close(self) -> None:
        """End the innermost mapping or list."""
        self._stack.pop()
        self._value_done()

    def scalar(self, value: Json, place: Place) -> None:
        """Take a key, or a value that is neither mapping nor list."""
        if isinstance(value, str):
            if not value.isprintable():
                self._check_characters(value, place)
            value = _once(value) if len(value) <= _WORD_LENGTH else value
        if self.expects_key:
            self._take_key(value, place)
        else:
            self._add(value, place)
            self._value_done()

    def skip(self, place: Place) -> None:
        """Take something that was reported already, so that reading goes on."""
        if self.expects_key:
            self._stack[-1].dropped = True
        else:
            self._add(None, place)
            self._value_done()

    def _check_characters(self, value: str, place: Place) -> None:
        if found := UNWELCOME.search(value):
            self.report(
                place, "character", f"the text holds {name_character(found.group())}", "remove it"
            )

    def _take_key(self, key: Json, place: Place) -> None:
        frame = self._stack[-1]
        if not isinstance(key, str):
            self.report(place, "key", f"the key {key!r} is not a text", "put it in quotes")
            frame.dropped = True
        elif len(key) > MAX_KEY_LENGTH:
            self.report(
                place,
                "limit",
                f"a key of more than {MAX_KEY_LENGTH} characters",
                "use a shorter one",
            )
            frame.dropped = True
        elif key in frame.container:
            self.report(
                place,
                "duplicate-key",
                f"the key {key!r} is here twice",
                "keep one of them",
                key=key,
            )
            frame.dropped = True
        else:
            frame.key, frame.key_place = key, place

    def _add(self, value: Json, place: Place) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self.give_up(
                place, "limit", f"more than {MAX_NODES:,} values", "no document needs that"
            )
        if not self._stack:
            self.roots.append(value)
            self.marks.extend((*place, *place))
            return
        frame = self._stack[-1]
        if isinstance(frame.container, list):
            frame.container.append(value)
            self.marks.extend((*place, *place))
        elif frame.key is not None:
            frame.container[frame.key] = value
            self.marks.extend((*place, *frame.key_place))

    def _value_done(self) -> None:
        if self._stack:
            self._stack[-1].key, self._stack[-1].dropped = None, False


@lru_cache(_WORDS)
def _once(word: str) -> str:
    """Return ``word`` as it was seen before: ten thousand documents say the same few words, each in its own copy."""
    return word


def _wants_key(frame: _Frame) -> bool:
    return frame.key is None and not frame.dropped and isinstance(frame.container, dict)


def name_character(character: str) -> str:
    """Return how ``character`` is told to a person: by its number, for it may not be printed."""
    return f"the character U+{ord(character):04X}"
