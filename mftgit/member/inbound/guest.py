"""One who has come to a service: from where, as which account, and what was done."""

from dataclasses import dataclass, field
from datetime import datetime

from mftgit.adapters.clock import rfc3339
from mftgit.model.events.event import Fact
from mftgit.model.inbound.account import Factor
from mftgit.model.inbound.finished import Finished
from mftgit.model.inbound.messages import Downloaded, Ended, Usage
from mftgit.model.inbound.serving import Served, Serving
from mftgit.model.names import AccountName

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


def opened(guest: Guest) -> dict[str, Fact]:
    """Return the facts of ``SessionOpened``."""
    factors: Fact = sorted(each.value for each in guest.factors)
    return {**_about(guest), "factors": factors, "client": guest.client}


def closed(guest: Guest, told: Ended, now: float) -> dict[str, Fact]:
    """Return the facts of ``SessionClosed``."""
    usage = told.usage
    return {
        **_about(guest),
        "why": guest.why or told.why,
        "duration_s": round(now - guest.began_at, 3),
        "received_bytes": usage.received_bytes,
        "sent_bytes": usage.sent_bytes,
        "uploads": usage.uploads,
        "downloads": usage.downloads,
    }


def uploaded(guest: Guest, told: Finished) -> dict[str, Fact]:
    """Return the facts of ``UploadFinished``."""
    return {
        **_about(guest),
        "path": told.path,
        "file": told.file,
        "size_bytes": told.size_bytes,
        "sha256": told.digest,
        "duration_s": round(told.duration_s, 3),
        "overwrote": told.overwrote,
        "resumed": told.resumed,
    }


def downloaded(guest: Guest, told: Downloaded) -> dict[str, Fact]:
    """Return the facts of ``DownloadFinished``."""
    return {
        **_about(guest),
        "path": told.path,
        "size_bytes": told.size_bytes,
        "sent_bytes": told.sent_bytes,
        "duration_s": round(told.duration_s, 3),
    }


def _about(guest: Guest) -> dict[str, Fact]:
    return {
        "session": guest.session,
        "service": guest.serving.service.name,
        "account": guest.account,
        "source": guest.address,
    }
