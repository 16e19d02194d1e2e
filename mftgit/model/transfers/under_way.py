"""A file that is on its way just now, as it is told to people and programs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, unique
from typing import Any, Final

from mftgit.model.amounts import format_bytes, format_rate, format_span
from mftgit.model.told_number import count_of, measure_of

MAX_TOLD: Final = 8
"""So many files of one transfer are told at a time."""

_MAX_PATH: Final = 1000
_MAX_TOLD_PATH: Final = 200
_BAR: Final = 20


@unique
class Side(Enum):
    """Which side the bytes are counted at: read from the source, or taken by the destination."""

    SOURCE = "source"
    DESTINATION = "destination"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
    """One file: ``done_bytes`` of ``size_bytes`` after ``elapsed_s`` seconds; what cannot be told yet is None."""

    path: str
    side: Side
    size_bytes: int
    done_bytes: int
    elapsed_s: float
    bytes_per_s: float | None
    remaining_s: float | None

    def as_json(self) -> dict[str, Any]:
        """Return the shape that ``status --json`` documents."""
        rate, remaining_s = self.bytes_per_s, self.remaining_s
        return {
            "path": self.path[:_MAX_PATH],
            "side": self.side.value,
            "bytes": self.size_bytes,
            "done_bytes": self.done_bytes,
            "elapsed_s": round(self.elapsed_s, 1),
            "bytes_per_s": None if rate is None else round(rate),
            "remaining_s": None if remaining_s is None else round(remaining_s, 1),
        }


def parse_under_way(value: Iterable[Mapping[str, Any]]) -> tuple[UnderWay, ...]:
    """Return what ``as_json`` gave each of ``value`` for.

    Raises:
        ValueError, KeyError, TypeError, OverflowError: it is not of that shape, or they are too many.
    """
    found = tuple(_parse(each) for each in value)
    if len(found) > MAX_TOLD:
        raise ValueError(f"{len(found)} files under way are told of one transfer")
    return found


def describe_under_way(each: UnderWay) -> str:
    """Return a line for people: a bar, how much is done, how fast, and how long it still takes."""
    share = min(1.0, each.done_bytes / each.size_bytes) if each.size_bytes else 1.0
    filled = int(share * _BAR)
    bar = "#" * filled + "." * (_BAR - filled)
    left = "" if each.remaining_s is None else f", {format_span(each.remaining_s)} left"
    done = f"{format_bytes(each.done_bytes)} of {format_bytes(each.size_bytes)}"
    return f"[{bar}] {int(share * 100):3} %  {done}, {format_rate(each.bytes_per_s)}{left}  {each.path}"


def describe_rest(each: UnderWay) -> str:
    """Return how much of a file is still to come, for people."""
    left = "" if each.remaining_s is None else f", some {format_span(each.remaining_s)} left"
    done = f"{format_bytes(each.done_bytes)} of {format_bytes(each.size_bytes)}"
    return f"{each.path[:_MAX_TOLD_PATH]} ({done}{left})"


def _parse(value: Mapping[str, Any]) -> UnderWay:
    rate, remaining_s = value["bytes_per_s"], value["remaining_s"]
    return UnderWay(
        path=str(value["path"])[:_MAX_PATH],
        side=Side(value["side"]),
        size_bytes=count_of(value["bytes"]),
        done_bytes=count_of(value["done_bytes"]),
        elapsed_s=measure_of(value["elapsed_s"]),
        bytes_per_s=None if rate is None else measure_of(rate),
        remaining_s=None if remaining_s is None else measure_of(remaining_s),
    )
