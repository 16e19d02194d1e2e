"""How the cluster is, in short: for the controller's own page and its metrics."""

from collections.abc import Callable
from datetime import datetime

from mftgit.adapters.registry.members import MemberRecord
from mftgit.adapters.registry.registry import Registry
from mftgit.model.members.messages import MemberState, MemberStatus
from mftgit.model.monitoring.overview import Heard, Overview, judge_peers


def look_over(registry: Registry, me: MemberStatus, now: Callable[[], datetime]) -> Overview:
    """Return how members are, as they said last; ``me`` is the controller's own status, true just now.

    Raises:
        MftgitError: the records cannot be read.
    """
    heard = (_heard(each) for each in registry.members())
    return Overview(
        peers=judge_peers(heard, me=me, now=now().timestamp()),
        head=registry.head(),
        rollout=registry.rollout(),
    )


def _heard(record: MemberRecord) -> Heard:
    status = record.status or MemberStatus(
        name=record.name,
        role=record.role,
        state=MemberState.NEVER_SEEN,
        active_revision=None,
        attempted_revision=None,
        reason=None,
    )
    return Heard(status=status, last_seen=record.last_seen, cut_off=record.cut_off)
