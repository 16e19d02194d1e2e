"""That an operator has paused a transfer, for the whole cluster, and until it is resumed."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

_LONGEST: Final = 200
_UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Who paused it: the user ``by`` on ``member``; ``at`` is RFC 3339. For people; that there is a pause counts."""

    by: str
    member: str
    at: str

    def __str__(self) -> str:
        return f"paused by {self.by} on {self.member} at {self.at}"

    def as_json(self) -> dict[str, str]:
        """Return the shape that ``status --json`` documents."""
        return asdict(self)


def format_pause(pause: Pause) -> bytes:
    """Return ``pause`` as JSON."""
    return json.dumps(asdict(pause)).encode() + b"\n"


def parse_pause(content: bytes) -> Pause:
    """Return what `format_pause` gave ``content`` for; whatever else it is, it is a pause, of which less is known."""
    try:
        return read_pause_fields(json.loads(content))
    except ValueError:
        return read_pause_fields(None)


def read_pause_fields(value: Any) -> Pause:
    """Return the pause that ``as_json`` gave ``value`` for; what is missing is unknown."""
    fields = value if isinstance(value, dict) else {}
    by, member, at = (str(fields.get(each, _UNKNOWN))[:_LONGEST] for each in ("by", "member", "at"))
    return Pause(by=by, member=member, at=at)
