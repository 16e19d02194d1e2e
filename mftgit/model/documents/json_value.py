"""Values as JSON has them, where they stand, and what leads to them."""

import math
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, Union

Json = Union["dict[str, Json]", "list[Json]", str, int, float, bool, None]
"""A value as JSON has it."""

MAX_INTEGER: Final = 2**53 - 1
"""The largest whole number that every JSON reader takes exactly (RFC 7493, 2.2)."""
_MAX_DIGITS: Final = 64


class Place(NamedTuple):
    """Line and column, both from 1."""

    line: int
    column: int


class Position(NamedTuple):
    """Where a value stands, and where its key does; an item of a list is its own key."""

    value: Place
    key: Place


def join_pointer(parts: Iterable[str]) -> str:
    """Return the JSON pointer of ``parts`` (RFC 6901, 3)."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def walk(value: Json, parts: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Json]]:
    """Give every value in the order of the text, with the keys and indices that lead to it."""
    yield parts, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from walk(item, (*parts, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from walk(item, (*parts, str(index)))


def read_integer(digits: str, base: int = 10) -> int | None:
    """Return the whole number, or None when it is beyond `MAX_INTEGER`; never slow, however long ``digits`` is."""
    body = digits.lstrip("+-0") or "0"
    if len(body) > _MAX_DIGITS:
        return None
    number = int(body, base)
    return None if number > MAX_INTEGER else -number if digits.startswith("-") else number


def read_float(text: str) -> float | None:
    """Return the number, or None when it is too large, or longer than any number that is meant."""
    if len(text) > _MAX_DIGITS:
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def whole_number(value: Json) -> int | None:
    """Return what a schema takes for a whole number that is not negative, or None; ``3.0`` is one, ``true`` is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value >= 0 and value == int(value) else None
