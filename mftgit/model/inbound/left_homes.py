"""Folders of accounts that are not served any more: what is left of uploads there has to be removed all the same."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

KEPT_S: Final = 604_800.0
"""So long after uploads there have stalled such a folder is still looked through: seven days, in seconds."""

MOST_LEFT: Final = 10_000
"""So many are kept in mind; of more, those that were left first go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Homes:
    """The folders ``served``, each with the seconds after which an upload there has stalled, and those ``left``.

    The latter are looked through until then, in seconds since 1970.
    """

    served: Mapping[str, float] = field(default_factory=dict)
    left: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the shape that is kept."""
        return {"served": dict(self.served), "left": dict(self.left)}


def follow(homes: Homes, served: Mapping[str, float], *, now_s: float) -> Homes:
    """Return ``homes`` where ``served`` are served from now on, and no others."""
    until = dict(homes.left)
    until |= {folder: now_s + stalled_s + KEPT_S for folder, stalled_s in homes.served.items()}
    there = ((folder, end_s) for folder, end_s in until.items() if folder not in served)
    left = sorted((each for each in there if each[1] > now_s), key=lambda each: -each[1])
    return Homes(served=dict(served), left=dict(left[:MOST_LEFT]))


def parse_homes(value: Any) -> Homes:
    """Return what `Homes.as_json` gave ``value`` for.

    Raises:
        ValueError: it is not of that shape.
    """
    try:
        return Homes(served=_parse(value["served"]), left=_parse(value["left"]))
    except (KeyError, TypeError, AttributeError):
        raise ValueError("not a list of folders") from None


def _parse(value: Any) -> dict[str, float]:
    return {str(folder): float(seconds) for folder, seconds in value.items()}
