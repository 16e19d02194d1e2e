"""What a session tells the others in the shared folder: whose it is, how long it lasts, and what it holds."""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mftgit.model.names import Epoch, MemberName, TransferName
from mftgit.model.ownership.lease import DEFAULT_TTL_S, MAX_TTL_S
from mftgit.model.ownership.standing import MAX_KEYS, MAX_WHY, Handover, Standing, parse_standing
from mftgit.model.ownership.view import Sight, View, see, silent

_MAX_TIME: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one session tells; ``member`` is None where it names none. ``closed``: its owner has ended it."""

    member: MemberName | None
    ttl_s: float = DEFAULT_TTL_S
    closed: bool = False
    standing: Standing = field(default_factory=Standing)
    holds: Mapping[TransferName, View] = field(default_factory=dict)


def format_told(told: Told) -> bytes:
    """Return what `parse_told` takes."""
    holds = {
        key: {"epoch": view.epoch, "why": view.why, "since": view.since}
        for key, view in told.holds.items()
    }
    value = {
        "ttl_s": told.ttl_s,
        "closed": told.closed,
        "standing": told.standing.as_json(),
        "holds": holds,
    }
    return json.dumps(value).encode() + b"\n"


def parse_told(content: bytes, *, member: MemberName | None, ttl_s: float) -> Told:
    """Return what a session of ``member`` tells; one that is damaged, or gone, tells nothing but ``ttl_s``.

    Its leases are then those that the epochs' files say, for as long as it gives signs of life.
    """
    try:
        value: Any = json.loads(content)
        holds = value["holds"]
        if len(holds) > MAX_KEYS:
            return Told(member=member, ttl_s=ttl_s)
        return Told(
            member=member,
            ttl_s=min(float(value["ttl_s"]), MAX_TTL_S),
            closed=value["closed"] is True,
            standing=parse_standing(value["standing"]),
            holds={TransferName(key): _parse_view(each, member) for key, each in holds.items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return Told(member=member, ttl_s=ttl_s)


def _parse_view(value: Any, member: MemberName | None) -> View:
    since = value["since"]
    return View(
        owner=member,
        epoch=Epoch(int(value["epoch"])),
        why=str(value["why"])[:MAX_WHY],
        since=None if since is None else str(since)[:_MAX_TIME],
    )


def see_sessions(living: Collection[Told], over: Collection[Told]) -> Sight:
    """Return the sight of sessions that live, the latest sign of life last, and of those that have ended."""
    members = {told.member: told.standing for told in living if told.member is not None}
    return see(
        members,
        [each for told in living for each in told.holds.items()],
        list(_handovers(living, over)),
    )


def _handovers(
    living: Collection[Told], over: Collection[Told]
) -> Iterator[tuple[TransferName, Handover]]:
    for told in (*living, *over):
        yield from told.standing.handovers.items()
    for told in over:
        why = silent(told.member, told.ttl_s)
        for key, view in told.holds.items():
            yield key, Handover(epoch=view.epoch, why=why)
