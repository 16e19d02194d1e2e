"""What this member is to take and to hand over, as of what it saw last; no I/O, and only the keeper's thread."""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from mftgit.model.names import MemberName, TransferName
from mftgit.model.ownership.spread import Want, able_members, assign, members_there
from mftgit.model.ownership.standing import Handover
from mftgit.model.ownership.view import FREE, Sight

CALM_TTLS: Final = 2.0
"""So many ttl the members have to be the same, before a lease is handed over because another suits better."""

PATIENCE_TTLS: Final = 1.0
"""So long a free lease is left to the member that it is for, before whoever is there takes it."""

LAST_RESORT_TTLS: Final = 3.0
"""So long it is left to those that do not stand aside, before one that does takes it all the same."""

STAND_IN_TTLS: Final = 10.0
"""So long a lease that was taken for another member, which did not, is not handed over to it."""


class Prospects:
    """Follows sights. Moments are `Clock.boottime`, in seconds."""

    def __init__(self, *, member: MemberName, ttl_s: float) -> None:
        """Nothing was seen yet."""
        self._me = member
        self._ttl_s = ttl_s
        self.sight = Sight()
        self.wants: Mapping[TransferName, Want] = {}
        self._stale = True
        self._calm_since = 0.0
        self._targets: dict[TransferName, MemberName] = {}
        self._free: dict[TransferName, float] = {}  # since when each was seen free
        self._stood_in: dict[TransferName, tuple[MemberName, float]] = {}
        self._stays: set[TransferName] = set()

    def see(
        self,
        sight: Sight,
        wants: Mapping[TransferName, Want],
        mine: Collection[TransferName],
        now: float,
    ) -> None:
        """Find out who is to own what, unless nothing has changed since; ``mine`` are not to be taken."""
        if sight is self.sight and wants is self.wants and not self._stale:
            return
        if sight.members.keys() != self.sight.members.keys():
            self._calm_since = now
        self.sight, self.wants, self._stale = sight, wants, False
        self._targets = assign(wants, sight, stays=self._stays)
        self._free = {
            name: self._free.get(name, now)
            for name in wants
            if name not in mine and sight.views.get(name, FREE).owner is None
        }

    @property
    def waits(self) -> bool:
        """Tell whether something is free that is left to another member."""
        return bool(self._free)

    def due(self, now: float) -> list[TransferName]:
        """Return what is to be taken now."""
        return [name for name, since in self._free.items() if self._is_due(name, now - since)]

    def _is_due(self, name: TransferName, free_s: float) -> bool:
        if self._targets.get(name) == self._me:
            return True
        if free_s < PATIENCE_TTLS * self._ttl_s:
            return False
        late = free_s >= LAST_RESORT_TTLS * self._ttl_s
        return self._me in (
            members_there(self.wants[name], self.sight.members) if late else self.able(name)
        )

    def why(self, name: TransferName) -> str:
        """Return why a free lease is free."""
        handover = self._handover(name)
        return handover.why if handover is not None and handover.why else "nobody had it"

    def taken(self, name: TransferName, now: float) -> None:
        """Take note of a lease that was taken."""
        self._free.pop(name, None)
        self._stale = True
        handover = self._handover(name)
        if handover is not None and handover.stays and handover.to == self._me:
            self._stays.add(name)
        if (target := self._targets.get(name, self._me)) != self._me:
            self._stood_in[name] = (target, now)

    def lost(self, name: TransferName) -> None:
        """Take note of a lease that is not ours any more."""
        self._stale = True
        self._stays.discard(name)
        self._stood_in.pop(name, None)

    def able(self, name: TransferName) -> frozenset[MemberName]:
        """Return who can own ``name`` now; nobody where it is not wanted."""
        want = self.wants.get(name)
        return frozenset() if want is None else able_members(name, want, self.sight.members)

    def willing_others(self, name: TransferName) -> frozenset[MemberName]:
        """Return who else can own ``name`` and does not stand aside."""
        others = self.able(name) - {self._me}
        members = self.sight.members
        return frozenset(each for each in others if name not in members[each].aside)

    def better(
        self, held: Collection[TransferName], now: float
    ) -> Iterator[tuple[TransferName, MemberName, str]]:
        """Give what is to be handed over, to whom, and why, once the members have been the same for a while."""
        if now - self._calm_since < CALM_TTLS * self._ttl_s:
            return
        for name in held:
            target = self._targets.get(name, self._me)
            if (
                target == self._me
                or name not in self.wants
                or self._did_not_come(name, target, now)
            ):
                continue
            preferred = target in self.wants[name].prefer
            why = f"{target} is preferred" if preferred else f"{target} had fewer transfers"
            yield name, target, why

    def _did_not_come(self, name: TransferName, target: MemberName, now: float) -> bool:
        stood_in_for, since = self._stood_in.get(name, (None, now))
        return stood_in_for == target and now - since < STAND_IN_TTLS * self._ttl_s

    def _handover(self, name: TransferName) -> Handover | None:
        return self.sight.views.get(name, FREE).handover
