"""How often what failed has failed in a row, and how that is written down for whoever comes next."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from mftgit.model.transfers.retry import Retry

MAX_KEPT: Final = 1000
"""How many failures outlive the member that saw them: those that came last."""

MAX_WHAT: Final = 1000
"""How many characters a path may have to be kept."""

Mark = tuple[int, int]
"""Size and time of change of a file: another mark is another file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """``count`` failures in a row; ``until`` (boottime) it waits for its next try, or is given up where ``spent``.

    ``mark`` is None for what has no file at its place: a claim, or the run.
    """

    count: int
    mark: Mark | None
    until: float
    spent: bool


def format_failures(failures: Mapping[str, Failure]) -> bytes:
    """Return the last `MAX_KEPT` of ``failures`` by what failed, the latest last.

    Times are not among it: they are counted from the start of one machine, and what waits is tried by another at once.
    """
    kept = [
        {"what": what, "count": each.count, "mark": each.mark}
        for what, each in failures.items()
        if len(what) <= MAX_WHAT
    ]
    return json.dumps({"failures": kept[-MAX_KEPT:]}).encode()


def parse_failures(content: bytes, *, retry: Retry, now: float) -> dict[str, Failure]:
    """Return what `format_failures` gave ``content`` for; all of it may be tried again ``now``, unless it is spent.

    Raises:
        ValueError: it did not.
    """
    try:
        told: list[Mapping[str, Any]] = json.loads(content)["failures"]
        return {
            str(each["what"]): Failure(
                count=int(each["count"]),
                mark=_mark(each["mark"]),
                until=now,
                spent=retry.is_spent(int(each["count"])),
            )
            for each in islice(told, MAX_KEPT)
        }
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"not a record of failures: {error}") from error


def _mark(value: list[Any] | None) -> Mark | None:
    if value is None:
        return None
    size_bytes, mtime_ns = value
    return int(size_bytes), int(mtime_ns)


def describe_next(failure: Failure, *, attempts: int | None, again_at: str | None) -> str:
    """Return for people whether what failed is tried again, and from when on; ``attempts`` as in `Retry`."""
    of = "" if attempts is None else f" of {attempts}"
    if again_at is None:
        return f"try {failure.count}{of}, given up"
    return f"try {failure.count}{of}, the next one from {again_at} on"
