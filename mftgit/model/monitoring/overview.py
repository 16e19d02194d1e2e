"""How the cluster is as its controller knows it: in short, for metrics and for the controller's own page."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mftgit.model.members.messages import Head, MemberState, MemberStatus, judge_silence
from mftgit.model.names import MemberName
from mftgit.model.rollout.rollout import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One member: how it is, and how many seconds ago it was heard of; None: never."""

    status: MemberStatus
    heard_s_ago: float | None

    @property
    def name(self) -> MemberName:
        """Return its name."""
        return self.status.name

    def is_current(self, head: Head | None) -> bool:
        """Tell whether it runs what is published, and says so."""
        is_active = self.status.state is MemberState.ACTIVE
        return head is not None and is_active and self.status.active_revision == head.oid


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The members by name, what is published, and how far its roll-out is."""

    peers: Sequence[Peer]
    head: Head | None
    rollout: Progress | None

    @property
    def by_state(self) -> Mapping[MemberState, int]:
        """Return how many members are in each state."""
        states = [each.status.state for each in self.peers]
        return {state: states.count(state) for state in MemberState}


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What the controller keeps of a member; times are POSIX time."""

    status: MemberStatus
    last_seen: float | None
    cut_off: float | None


def judge_peers(heard: Iterable[Heard], *, me: MemberStatus, now: float) -> tuple[Peer, ...]:
    """Return how members are at ``now``; ``me`` is the controller's own, and true just now."""
    return tuple(_judge(each, me=me, now=now) for each in heard)


def _judge(heard: Heard, *, me: MemberStatus, now: float) -> Peer:
    if heard.status.name == me.name:
        return Peer(status=me, heard_s_ago=0.0)
    silent_s = None if heard.last_seen is None else max(0.0, now - heard.last_seen)
    cut_off_s = None if heard.cut_off is None else max(0.0, now - heard.cut_off)
    return Peer(
        status=judge_silence(heard.status, silent_s, cut_off_s=cut_off_s), heard_s_ago=silent_s
    )
