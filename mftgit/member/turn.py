"""Whether this member may take a verified revision now: its turn in the roll-out, and the change windows."""

from datetime import datetime

from mftgit.model.config import Generation
from mftgit.model.messages import Head
from mftgit.model.names import MemberName, Revision
from mftgit.model.windows import Zones, window_opens


def wait_reason(
    head: Head,
    revision: Revision,
    *,
    active: Generation | None,
    me: MemberName,
    now: datetime,
    zones: Zones,
) -> str | None:
    """Return why ``revision`` is not taken now, None where it is.

    What counts is what the controller says of this member, and the settings of the ``active`` generation, so that no
    push loosens its own roll-out. A member that runs nothing yet takes the head at once.
    """
    if active is None:
        return None
    turn = head.turn
    if turn is None:
        return (
            "the controller gives no turn"
            if active.cluster.rollout is not None
            else _closed(active, now, zones)
        )
    if head.oid != revision:
        return f"the turn is for revision {head.oid[:12]}"
    if turn.member != me:
        return f"the turn is that of {turn.member}"
    if not turn.due:
        return turn.reason or f"the roll-out is {turn.state.value}"
    return None if turn.regardless else _closed(active, now, zones)


def _closed(active: Generation, now: datetime, zones: Zones) -> str | None:
    closed = window_opens(active.cluster.windows, now, zones)
    return None if closed is None else str(closed)
