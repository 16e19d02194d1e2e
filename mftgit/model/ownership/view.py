"""What a member sees of all members: who lives, and who owns what."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mftgit.model.names import Epoch, MemberName, TransferName
from mftgit.model.ownership.standing import Handover, Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Who owns a key as far as this member can tell; ``owner`` is None where it is free.

    ``why`` and ``since`` (RFC 3339 by the owner's wall clock; nothing is decided by it) are what the owner told when it
    took the lease. ``handover`` of a free one is how its last owner let go of it, as far as this member saw it: in the
    owner's own words, or that it was silent.
    """

    owner: MemberName | None = None
    epoch: Epoch = Epoch(0)  # noqa: RUF009  a number
    why: str = ""
    since: str | None = None
    handover: Handover | None = None


FREE = View()
"""A key of which nothing is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What can be seen: the members whose sessions live, with what they tell, and each key that is known of."""

    members: Mapping[MemberName, Standing] = field(default_factory=dict)
    views: Mapping[TransferName, View] = field(default_factory=dict)


def silent(member: MemberName | None, ttl_s: float) -> str:
    """Return why a lease of ``member`` is free, where it let go of it by saying nothing any more."""
    return f"{member or 'its owner'} was silent for {ttl_s:g} s"


def see(
    members: Mapping[MemberName, Standing],
    holds: Iterable[tuple[TransferName, View]],
    handovers: Iterable[tuple[TransferName, Handover]],
) -> Sight:
    """Return the sight of what was told; of several that tell of one key, the highest epoch counts."""
    views: dict[TransferName, View] = {}
    for key, view in holds:
        if key not in views or views[key].epoch < view.epoch:
            views[key] = view
    for key, handover in handovers:
        known = views.get(key, FREE)
        if known.epoch < handover.epoch or (known.epoch == handover.epoch and known.owner):
            views[key] = View(epoch=handover.epoch, handover=handover)
    return Sight(members=members, views=views)
