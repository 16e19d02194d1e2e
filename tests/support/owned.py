"""Ownerships without a coordinator, for tests of what is done under them."""

from mftgit.adapters.clock import Clock
from mftgit.adapters.coordinator import Session
from mftgit.member.outbound.ownership.own import Ownership, Term
from mftgit.model.names import Epoch


def term(clock: Clock, *, ttl_s: float = 1e9) -> Term:
    """Return a session that was renewed just now."""
    return Term(Session(id="test", sent_at=clock.boottime(), ttl_s=ttl_s), clock=clock)


def owned(epoch: int, clock: Clock, *, ttl_s: float = 1e9) -> Ownership:
    """Return an ownership whose session was renewed just now."""
    return Ownership(Epoch(epoch), term(clock, ttl_s=ttl_s))
