"""One who has come to a service: from where, as which account, and what was done."""

from dataclasses import dataclass, field
from datetime import datetime

from mftgit.adapters.clock import rfc3339
from mftgit.model.account import Factor
from mftgit.model.events import Fact
from mftgit.model.inbound_messages import Usage
from mftgit.model.names import AccountName
from mftgit.model.serving import Served, Serving

Place = tuple[int, int]
"""A connection: the number of its process, and its own there."""


@dataclass(slots=True, kw_only=True)
class Guest:
    """One connection, from its admission to its end; ``session`` is its number on this member."""

    session: int
    place: Place
    address: str
    source: str
    serving: Serving
    since: datetime
    began_at: float
    account: AccountName | None = None
    served: Served | None = None
    factors: frozenset[Factor] = frozenset()
    client: str = ""
    usage: Usage = field(default_factory=lambda: Usage(connection=0))
    why: str | None = None


def tell(guest: Guest) -> dict[str, Fact]:
    """Return what ``mftgit session list --json`` documents of one that has logged in."""
    return {
        "id": guest.session,
        "service": guest.serving.service.name,
        "account": guest.account,
        "source": guest.address,
        "since": rfc3339(guest.since),
        "client": guest.client,
        "factors": sorted(each.value for each in guest.factors),
        "received_bytes": guest.usage.received_bytes,
        "sent_bytes": guest.usage.sent_bytes,
        "uploads": guest.usage.uploads,
        "downloads": guest.usage.downloads,
    }
