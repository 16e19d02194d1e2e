"""Read a strict subset of YAML 1.2 (core schema), with the place of every value, without recursion.

PyYAML gives only events here, never values: its own resolution of plain texts is YAML 1.1's, where
``no`` is false and ``1:20`` is eighty.
"""

import re
from collections.abc import Generator
from contextlib import closing
from typing import Final, Protocol

import yaml

from mftgit.model.documents.compose import Composer
from mftgit.model.documents.json_value import Json, Place, read_float, read_integer

# libyaml is seven times as fast as the parser in Python; both give the same events.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# YAML 1.2.2, 10.3.2: the core schema's tag resolution.
_WORDS: Final[dict[str, bool | None]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_NUMBER_START = frozenset("+-.0123456789")

_STAR_HINT = (
    'anchors and aliases are not known here; put a text that starts with * or & in quotes: "*.csv"'
)


def read_yaml(text: str, composer: Composer) -> None:
    """Hand every piece of ``text`` to ``composer``.

    Raises:
        GivenUpError: it is no YAML, or beyond the bounds; the reason is among the composer's problems.
    """
    try:
        with closing(_events(text)) as events:
            for event in events:
                _take(event, composer)
    except yaml.MarkedYAMLError as error:
        _not_yaml(error, composer)


def _events(text: str) -> Generator[yaml.Event]:
    # A generator, so that the parser is let go of whatever happens.
    yield from yaml.parse(text, Loader=_LOADER)


class _Mark(Protocol):
    """PyYAML has two mark types, one of them private."""

    @property
    def line(self) -> int: ...

    @property
    def column(self) -> int: ...


def _place(mark: _Mark | None) -> Place:
    return Place(1, 1) if mark is None else Place(mark.line + 1, mark.column + 1)


def _not_yaml(error: yaml.MarkedYAMLError, composer: Composer) -> None:
    place = _place(error.problem_mark)
    context = error.context or ""
    if "alias" in context or "anchor" in context:
        composer.give_up(place, "yaml-alias", "an alias or anchor is not allowed", _STAR_HINT)
    said = ", ".join(part for part in (context, error.problem) if part)
    composer.give_up(
        place, "syntax", f"not YAML: {said}", "look at indentation, quotes and colons here"
    )


def _take(event: yaml.Event, composer: Composer) -> None:
    place = _place(event.start_mark)
    if isinstance(event, yaml.DocumentStartEvent):
        _start_document(event, composer, place)
    elif isinstance(event, yaml.AliasEvent):
        composer.report(place, "yaml-alias", "an alias is not allowed", _STAR_HINT)
        composer.skip(place)
    elif isinstance(event, yaml.ScalarEvent):
        _refuse_properties(event, composer, place)
        _take_scalar(event, composer, place)
    elif isinstance(event, yaml.MappingStartEvent):
        _refuse_properties(event, composer, place)
        composer.open_mapping(place)
    elif isinstance(event, yaml.SequenceStartEvent):
        _refuse_properties(event, composer, place)
        composer.open_sequence(place)
    elif isinstance(event, yaml.CollectionEndEvent):
        composer.close()


def _start_document(event: yaml.DocumentStartEvent, composer: Composer, place: Place) -> None:
    if composer.roots:
        composer.give_up(
            place, "yaml-documents", "a second document in one file", "write one document per file"
        )
    if event.version or event.tags:
        composer.report(
            place,
            "yaml-directive",
            "a directive (a line that starts with %) is not allowed",
            "remove it",
        )


def _refuse_properties(
    event: yaml.ScalarEvent | yaml.CollectionStartEvent, composer: Composer, place: Place
) -> None:
    if event.anchor is not None:
        composer.report(place, "yaml-alias", "an anchor is not allowed", _STAR_HINT)
    if event.tag is not None:
        composer.report(
            place, "yaml-tag", "a tag (!) is not allowed", "put a text that starts with ! in quotes"
        )


def _take_scalar(event: yaml.ScalarEvent, composer: Composer, place: Place) -> None:
    plain = event.implicit[0]
    if plain and event.value == "<<" and composer.expects_key:
        composer.report(
            place, "yaml-merge-key", "a merge key is not allowed", "write the fields out"
        )
        composer.skip(place)
        return
    problem, value = _resolve(event.value) if plain else (None, event.value)
    if problem is None:
        composer.scalar(value, place)
    else:
        composer.report(place, "number", problem, "use a smaller number, or quotes for a text")
        composer.skip(place)


def _resolve(text: str) -> tuple[str | None, Json]:
    """Return a problem, or the value of a plain text under the core schema."""
    if text in _WORDS:
        return None, _WORDS[text]
    if text[0] not in _NUMBER_START:
        return None, text
    number: float | None
    if _INTEGER.fullmatch(text):
        number = read_integer(text)
    elif _OCTAL.fullmatch(text):
        number = read_integer(text[2:], 8)
    elif _HEX.fullmatch(text):
        number = read_integer(text[2:], 16)
    elif _FLOAT.fullmatch(text):
        number = read_float(text)
    elif _NOT_FINITE.fullmatch(text):
        return "infinity and not-a-number are not allowed", None
    else:
        return None, text
    return ("the number is too large", None) if number is None else (None, number)
