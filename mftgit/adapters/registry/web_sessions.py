"""The sessions of operators in their browsers, beside the controller's other records: they survive its restart."""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mftgit.adapters.sqlite import Database
from mftgit.model.access import OperatorRole
from mftgit.model.names import OperatorName

_SCHEMA = """
CREATE TABLE IF NOT EXISTS web_sessions (
    id TEXT PRIMARY KEY, operator TEXT NOT NULL, role TEXT NOT NULL, bound TEXT NOT NULL,
    by_issuer INTEGER NOT NULL, opened_at REAL NOT NULL, seen_at REAL NOT NULL,
    client TEXT NOT NULL, agent TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS web_sessions_of ON web_sessions (operator);
"""
_COLUMNS = "id, operator, role, bound, by_issuer, opened_at, seen_at, client, agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSession:
    """One session; times are POSIX time.

    ``id`` is a digest of the secret in its cookie. ``bound`` is the mark of what it was opened by, which ends it when
    that changes. ``by_issuer``: somebody else vouched for the operator (OpenID Connect). ``agent`` is what the browser
    calls itself.
    """

    id: str
    operator: OperatorName
    role: OperatorRole
    bound: str
    by_issuer: bool
    opened_at: float
    seen_at: float
    client: str
    agent: str


class WebSessions:
    """Sessions by the digest of their secret; usable from many threads and processes."""

    def __init__(self, path: Path) -> None:
        """Open or create the records at ``path``, which may hold other tables."""
        self._database = Database(path, _SCHEMA)

    def open(self, session: WebSession, *, most: int) -> None:
        """Keep ``session``; of one operator's that are more than ``most``, those that were used least lately end."""
        row = (
            session.id,
            session.operator,
            session.role.value,
            session.bound,
            int(session.by_issuer),
            session.opened_at,
            session.seen_at,
            session.client,
            session.agent,
        )
        with self._database.write() as connection:
            connection.execute("INSERT INTO web_sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            connection.execute(
                "DELETE FROM web_sessions WHERE id IN (SELECT id FROM web_sessions"
                " WHERE operator = ? ORDER BY seen_at DESC, opened_at DESC LIMIT -1 OFFSET ?)",
                (session.operator, most),
            )

    def find(self, session_id: str) -> WebSession | None:
        """Return a session, None where it has ended."""
        with self._database.read() as connection:
            row = connection.execute(
                f"SELECT {_COLUMNS} FROM web_sessions WHERE id = ?",  # noqa: S608  a constant
                (session_id,),
            ).fetchone()
        return _session(row) if row else None

    def of(self, operator: str) -> list[WebSession]:
        """Return the sessions of one operator, the one used last first."""
        with self._database.read() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM web_sessions WHERE operator = ?"  # noqa: S608  a constant
                " ORDER BY seen_at DESC, opened_at DESC",
                (operator,),
            ).fetchall()
        return [_session(row) for row in rows]

    def used(self, session_id: str, at: float) -> None:
        """Note that a session was used."""
        with self._database.write() as connection:
            connection.execute(
                "UPDATE web_sessions SET seen_at = max(seen_at, ?) WHERE id = ?", (at, session_id)
            )

    def end(self, session_ids: Iterable[str]) -> None:
        """End these sessions."""
        with self._database.write() as connection:
            connection.executemany(
                "DELETE FROM web_sessions WHERE id = ?", [(each,) for each in session_ids]
            )

    def sweep(self, *, opened_before: float, seen_before: float) -> None:
        """Forget the sessions that are too old, or were not used for too long."""
        with self._database.write() as connection:
            connection.execute(
                "DELETE FROM web_sessions WHERE opened_at < ? OR seen_at < ?",
                (opened_before, seen_before),
            )

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


def make_session_secret() -> str:
    """Return a new secret of 256 random bits, fit for a cookie."""
    return secrets.token_urlsafe(32)


def session_id_of(secret: str) -> str:
    """Return the name of the session whose secret that is. A plain digest is enough: it is random, not a password."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def _session(row: Any) -> WebSession:
    return WebSession(
        id=row[0],
        operator=OperatorName(row[1]),
        role=OperatorRole(row[2]),
        bound=row[3],
        by_issuer=bool(row[4]),
        opened_at=row[5],
        seen_at=row[6],
        client=row[7],
        agent=row[8],
    )
