"""Whether this member may take a good revision now: its turn in the roll-out, and the change windows."""

from datetime import datetime

from mftgit.model.configuration.config import Cluster
from mftgit.model.members.messages import Head
from mftgit.model.members.record import Wait
from mftgit.model.names import MemberName, Revision
from mftgit.model.rollout.windows import Windows, Zones, window_opens


def waits_for_turn(
    head: Head,
    revision: Revision,
    *,
    active: Cluster | None,
    is_first: bool,
    me: MemberName,
    now: datetime,
    zones: Zones,
) -> tuple[Wait, str] | None:
    """Return what ``revision`` waits for, and that in words; None when it is to be taken now.

    What counts is what the controller says of this member, and the settings of the ``active`` revision (None: they
    cannot be read), so that no push loosens its own roll-out. A member whose first revision this is takes it at once.
    """
    if is_first:
        return None
    if (reason := _no_turn(head, revision, active=active, me=me)) is not None:
        return Wait.TURN, reason
    if head.turn is not None and head.turn.regardless:
        return None
    closed = window_opens(Windows() if active is None else active.windows, now, zones)
    return None if closed is None else (Wait.WINDOW, str(closed))


def _no_turn(
    head: Head, revision: Revision, *, active: Cluster | None, me: MemberName
) -> str | None:
    turn = head.turn
    if turn is None:
        asked = active is not None and active.rollout is not None
        return "the controller gives no turn" if asked else None
    if head.oid != revision:
        return f"the turn is for revision {head.oid[:12]}"
    if turn.member != me:
        return f"the turn is that of {turn.member}"
    return None if turn.due else turn.reason or f"the roll-out is {turn.state.value}"
