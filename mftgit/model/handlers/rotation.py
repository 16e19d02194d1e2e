"""When a file that events are appended to is put aside, and under which name."""

from collections.abc import Iterator
from datetime import UTC, datetime

from mftgit.model.handlers.handler import Every

_FORMS = {Every.HOUR: "%Y-%m-%dT%H", Every.DAY: "%Y-%m-%d"}


def is_due(
    *,
    size_bytes: int,
    more_bytes: int,
    max_bytes: int,
    every: Every | None,
    written: float,
    now: float,
) -> bool:
    """Tell whether another file is begun before ``more_bytes`` are appended, at ``now``.

    ``written`` is when the file was written last; both are seconds since 1970. One that is empty is never put aside.
    """
    if not size_bytes:
        return False
    if size_bytes + more_bytes > max_bytes:
        return True
    return every is not None and _part(written, every) != _part(now, every)


def _part(moment: float, every: Every) -> str:
    return datetime.fromtimestamp(moment, tz=UTC).strftime(_FORMS[every])


def moves(name: str, keep: int) -> Iterator[tuple[str, str]]:
    """Give from and to of each rename that makes room for ``name``, in order; what is in the way is replaced."""
    for number in range(keep - 1, 0, -1):
        yield f"{name}.{number}", f"{name}.{number + 1}"
    yield name, f"{name}.1"
