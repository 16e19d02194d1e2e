"""A session in etcd, by the id that `Session` has of it: its lease of etcd's, and the revision of its key."""

from typing import Any

from mftgit.adapters.coordinator import Session, SessionLostError
from mftgit.adapters.etcd.wire import created_at, entries
from mftgit.model.ownership.etcd_values import Keys


def name_of(session: Session) -> str:
    """Return what the session is called in keys and in leases."""
    return session.id.partition(".")[0]


def lease_of(session: Session) -> int:
    """Return the lease of etcd's on which all that belongs to ``session`` is."""
    return int(name_of(session), 16)


def lives(keys: Keys, session: Session) -> list[Any]:
    """Return the condition that ``session`` has not ended."""
    name, _, created = session.id.partition(".")
    return [created_at(keys.session(name), int(created))]


def require_alive(session: Session, response: Any) -> None:
    """See that ``response``, its key as it was read, is still that of ``session``; raises SessionLostError."""
    created = [entry.created for entry in entries(response["response_range"], "")]
    if created != [int(session.id.partition(".")[2])]:
        raise lost(session)


def lost(session: Session) -> SessionLostError:
    """Return that ``session`` has ended."""
    return SessionLostError(f"the session {session.id} in etcd has ended: stand down")
