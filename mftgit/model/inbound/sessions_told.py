"""Who is logged in at a member, as it tells the controller while somebody looks: bounded in number and length."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mftgit.model.told_number import count_of

MOST_TOLD: Final = 500
"""So many sessions a member tells, those that came last; the rest is counted."""

_MAX_TEXT: Final = 300
_TEXTS: Final = ("service", "account", "source", "since", "client")
_NUMBERS: Final = ("id", "received_bytes", "sent_bytes", "uploads", "downloads")
_MOST_FACTORS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionsTold:
    """They, each as ``mftgit session list --json`` documents it, and how many ``more`` there are."""

    sessions: tuple[Mapping[str, Any], ...] = ()
    more: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the shape that goes over the wire."""
        return {"sessions": list(self.sessions), "more": self.more}


def tell_sessions(sessions: Sequence[Mapping[str, Any]]) -> SessionsTold:
    """Return what is told of ``sessions``, who came first in front."""
    return SessionsTold(
        sessions=tuple(sessions[-MOST_TOLD:]), more=max(0, len(sessions) - MOST_TOLD)
    )


def parse_sessions(value: Any) -> SessionsTold:
    """Return what ``as_json`` gave ``value`` for.

    Raises:
        ValueError: it is not of that shape, or longer than a member tells.
    """
    match value:
        case {"sessions": [*sessions], "more": int(more)} if len(sessions) <= MOST_TOLD:
            return SessionsTold(sessions=tuple(map(_parse, sessions)), more=count_of(more))
        case _:
            raise ValueError("not a list of sessions, or too long a one")


def _parse(value: Any) -> Mapping[str, Any]:
    try:
        factors = list(value["factors"])
        told: dict[str, Any] = {name: count_of(value[name]) for name in _NUMBERS}
        told |= {name: str(value[name])[:_MAX_TEXT] for name in _TEXTS}
        told["factors"] = [str(each)[:_MAX_TEXT] for each in factors[:_MOST_FACTORS]]
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"not a session: {error}") from None
    return told
