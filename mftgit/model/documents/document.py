"""Read one document: YAML in a strict subset, or strict JSON; every problem that can be found, never an exception."""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, unique
from typing import Final

from mftgit.model.documents.compose import UNWELCOME, Composer, GivenUpError, name_character
from mftgit.model.documents.json_text import read_json
from mftgit.model.documents.json_value import Json, Place, Position, join_pointer, walk
from mftgit.model.documents.problem import Problem
from mftgit.model.documents.yaml_text import read_yaml

MAX_SIZE_BYTES: Final = 1024 * 1024
ENDINGS: Final = (".yaml", ".yml", ".json")


@unique
class Kind(Enum):
    """What a document configures; the value is also the name of its schema."""

    CLUSTER = "cluster"
    MEMBER = "member"
    LOCATION = "location"
    TRANSFER = "transfer"
    ACCOUNT = "account"
    GROUP = "group"
    SERVICE = "service"
    EVENT_HANDLER = "event-handler"
    SECRET = "secret"  # noqa: S105  the name of a kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What a file says. ``value`` is shared between revisions: never change it.

    ``marks`` are the places of the values in the order of the text, four numbers each (`Composer`).
    """

    value: Mapping[str, Json]
    marks: "array[int]"

    def positions(self) -> dict[str, Position]:
        """Return where every value and its key stand, by JSON pointer."""
        marks = iter(self.marks)
        places = zip(marks, marks, marks, marks, strict=True)
        return {
            join_pointer(parts): Position(Place(line, column), Place(key_line, key_column))
            for (parts, _), (line, column, key_line, key_column) in zip(
                walk(dict(self.value)), places, strict=True
            )
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What came of reading a file, whatever its name: a document, or the problems that keep it from being one.

    The problems carry no file name, because the same content may lie under many names.
    """

    document: Document | None
    problems: tuple[Problem, ...] = ()


def problem_at(
    position: Position,
    pointer: str,
    *,
    rule: str,
    message: str,
    hint: str,
    at_key: bool = False,
) -> Problem:
    """Return a problem of the value at ``position``, or of its key, without a file name."""
    place = position.key if at_key else position.value
    return Problem(
        file="",
        line=place.line,
        column=place.column,
        pointer=pointer,
        rule=rule,
        message=message,
        hint=hint,
    )


def parse_document(path: str, data: bytes) -> Document | tuple[Problem, ...]:
    """Return the document in ``data``, or every problem that keeps it from being one.

    ``path`` is told in the problems, and its ending says what the syntax is: ``.json`` or else YAML.
    """
    reading = read_document(data, json=path.endswith(".json"))
    if reading.document is not None:
        return reading.document
    return tuple(replace(problem, file=path) for problem in reading.problems)


def read_document(data: bytes, *, json: bool) -> Reading:
    """Return what ``data`` says as JSON or as YAML."""
    composer = Composer()
    try:
        text = _decode(data, composer)
        _check_characters(text, composer)
        (read_json if json else read_yaml)(text, composer)
        return _finish(composer)
    except GivenUpError:
        return Reading(document=None, problems=tuple(composer.problems))


def too_large(size_bytes: int) -> Problem:
    """Return the problem of a file that is not read at all, because it is larger than `MAX_SIZE_BYTES`."""
    return Problem(
        file="",
        rule="limit",
        message=f"the file has {size_bytes:,} bytes; a document has at most {MAX_SIZE_BYTES:,}",
        hint="configuration only: files to transfer do not belong into the repository",
    )


def _decode(data: bytes, composer: Composer) -> str:
    if len(data) > MAX_SIZE_BYTES:
        composer.problems.append(too_large(len(data)))
        raise GivenUpError
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        composer.give_up(
            _place_at(before, len(before)),
            "encoding",
            f"the byte 0x{data[error.start]:02x} is not UTF-8",
            "save the file as UTF-8",
        )
    if text.startswith("\ufeff"):
        composer.give_up(
            Place(1, 1),
            "encoding",
            "the file starts with a byte order mark",
            "save it as UTF-8 without BOM",
        )
    return text.replace("\r\n", "\n")


def _check_characters(text: str, composer: Composer) -> None:
    if text.isascii() and text.replace("\n", "").isprintable():
        return
    for found in UNWELCOME.finditer(text):
        composer.report(
            _place_at(text, found.start()),
            "character",
            f"the file holds {name_character(found.group())}, which is a control character or not to be seen",
            "remove it",
        )
    if composer.problems:
        raise GivenUpError


def _place_at(text: str, offset: int) -> Place:
    return Place(text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))


def _finish(composer: Composer) -> Reading:
    if composer.problems:
        raise GivenUpError
    if not composer.roots:
        composer.give_up(
            Place(1, 1), "empty", "the file is empty", "write the document, or delete the file"
        )
    value = composer.roots[0]
    if not isinstance(value, dict):
        composer.give_up(
            Place(1, 1), "type", "a document is a mapping of fields", "write fields as key: value"
        )
    return Reading(document=Document(value=value, marks=composer.marks))
