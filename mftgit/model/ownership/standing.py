"""What a member tells the others about itself in its session, and with what words it gives a lease back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mftgit.model.names import Epoch, MemberName, TransferName, is_name

MAX_WHY: Final = 200
"""So many characters are told of why a lease changed hands."""

MAX_KEYS: Final = 100_000
"""What tells of more keys than this is damaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """A lease that was given back: the epoch that ended, why, and for whom it is meant, if for one member.

    ``stays``: an operator moved it, so that preference and balance do not take it away from there again.
    """

    epoch: Epoch
    why: str = ""
    to: MemberName | None = None
    stays: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return what `parse_handover` takes."""
        return {"epoch": self.epoch, "why": self.why, "to": self.to, "stays": self.stays}


def parse_handover(value: Any) -> Handover:
    """Return what ``Handover.as_json`` gave; raises ValueError, KeyError, TypeError, OverflowError."""
    return Handover(
        epoch=Epoch(int(value["epoch"])),
        why=_why(value["why"]),
        to=_member(value["to"]),
        stays=bool(value["stays"]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What holds of a member now.

    ``draining``: it takes nothing. ``aside``: keys that it leaves to others for a while, because it could not do them.
    """

    draining: bool = False
    aside: frozenset[TransferName] = frozenset()
    handovers: Mapping[TransferName, Handover] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return what `parse_standing` takes."""
        return {
            "draining": self.draining,
            "aside": sorted(self.aside),
            "handovers": {key: each.as_json() for key, each in sorted(self.handovers.items())},
        }


def parse_standing(value: Any) -> Standing:
    """Return what ``Standing.as_json`` gave; raises ValueError, KeyError, TypeError, OverflowError."""
    aside, handovers = value["aside"], value["handovers"]
    if not isinstance(handovers, dict) or max(len(aside), len(handovers)) > MAX_KEYS:
        raise ValueError("not the handovers of a session")
    return Standing(
        draining=bool(value["draining"]),
        aside=frozenset(TransferName(str(key)) for key in aside),
        handovers={TransferName(key): parse_handover(each) for key, each in handovers.items()},
    )


def _why(value: Any) -> str:
    return str(value)[:MAX_WHY]


def _member(value: Any) -> MemberName | None:
    if value is None:
        return None
    if not isinstance(value, str) or not is_name(value):
        raise ValueError(f"not the name of a member: {value!r}")
    return MemberName(value)
