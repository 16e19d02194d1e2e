"""The text of an event that a search looks through, and what a search for words comes to."""

import json
import re
from collections.abc import Iterator, Sequence

from mftgit.model.events.event import Event

_AS_WRITTEN = re.compile(r"[ !#-\[\]-~]+")
"""Characters that JSON writes down as they are (RFC 8259, section 7), as ``json.dumps`` does."""


def fold(text: str) -> str:
    """Return ``text`` with small letters for capital ones; an ASCII letter stands for no other letter but itself."""
    return text.lower() if text.isascii() else "".join(map(_small, text))


def words(text: str) -> tuple[str, ...]:
    """Return what a search for ``text`` looks for: each of its words, in small letters."""
    return tuple(fold(text).split())


def as_written(word: str) -> tuple[str, ...]:
    """Return pieces that a log line in JSON holds, in letters of either case, if its event has ``word``."""
    return tuple(_AS_WRITTEN.findall("".join(each if each.isascii() else "\0" for each in word)))


def has_words(event: Event, wanted: Sequence[str]) -> bool:
    """Tell whether each of ``wanted``, from `words`, is in a field or a fact of ``event``."""
    text = fold("\n".join(_texts(event.as_json())))
    return all(each in text for each in wanted)


def _small(letter: str) -> str:
    small = letter.lower()
    return small if len(small) == 1 and small.isascii() == letter.isascii() else letter


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    else:
        yield value if isinstance(value, str) else json.dumps(value)
