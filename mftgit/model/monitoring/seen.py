"""What a member sees of itself at one moment: for its metrics, and for its own page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from mftgit.model.members.messages import Head, MemberState, MemberStatus
from mftgit.model.monitoring.overview import Overview
from mftgit.model.names import Revision, TransferName
from mftgit.model.transfers.status import TransferState, TransferStatus

_NOT_READY: Final = frozenset(
    {
        MemberState.STARTING,
        MemberState.FAILING,
        MemberState.SAFE_MODE,
        MemberState.REMOVED,
        MemberState.STOPPED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One member at ``now`` (UTC).

    ``heard_s_ago`` is when the controller last answered it, ``renewed_s_ago`` when its session was renewed last; None:
    never, or there is none. ``unreported`` events are not at the controller yet. ``overview`` has the controller alone.
    """

    now: datetime
    version: str
    python: str
    cluster: str | None
    status: MemberStatus
    head: Head | None = None
    heard_s_ago: float | None = None
    renewed_s_ago: float | None = None
    unreported: int = 0
    free_bytes: int | None = None
    firings: Mapping[TransferName, str] = field(default_factory=dict)
    overview: Overview | None = None

    @property
    def transfers(self) -> Sequence[TransferStatus]:
        """Return one for each name: where there is a former one too, which ends, the other."""
        found: dict[TransferName, TransferStatus] = {}
        for each in self.status.transfers:
            if each.name not in found or found[each.name].state is TransferState.ENDING:
                found[each.name] = each
        return tuple(found.values())

    @property
    def is_current(self) -> bool | None:
        """Tell whether it runs what is published; None where that is not known."""
        return None if self.head is None else self.status.active_revision == self.head.oid


def why_not_ready(state: MemberState, runs: Revision | None, *, drains: bool) -> str | None:
    """Return why no new work is to be given to a member; None where it is ready.

    It is ready as long as it runs a good revision, be it the newest one or not, and no operator drains it.
    """
    if state in _NOT_READY:
        return state.value
    if runs is None:
        return "no revision runs"
    return "draining" if drains else None
