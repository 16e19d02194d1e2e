"""The operators that the controller knows, as they stand in its registry."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.registry.errors import KnownAlreadyError, UnknownNameError
from mftgit.adapters.sqlite import Database
from mftgit.model.access import OperatorRole
from mftgit.model.names import OperatorName


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRecord:
    """One operator; ``added_at`` is RFC 3339."""

    name: OperatorName
    role: OperatorRole
    added_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What an operator's password is held against, and what it opens."""

    password_hash: str
    role: OperatorRole


class OperatorRows:
    """Operators: a part of the `Registry`."""

    _database: Database
    _now: Callable[[], datetime]

    def add_operator(self, name: OperatorName, password_hash: str, role: OperatorRole) -> None:
        """Add an operator; raises KnownAlreadyError."""
        with self._database.write() as connection:
            done = connection.execute(
                "INSERT OR IGNORE INTO operators (name, password_hash, added_at, role)"
                " VALUES (?, ?, ?, ?)",
                (name, password_hash, rfc3339(self._now()), role.value),
            )
            if not done.rowcount:
                raise KnownAlreadyError(
                    f"there is an operator {name!r} already: remove it first to get a new password"
                )

    def give_role(self, name: OperatorName, role: OperatorRole) -> None:
        """Let an operator do what ``role`` says, at once; raises UnknownNameError."""
        with self._database.write() as connection:
            done = connection.execute(
                "UPDATE operators SET role = ? WHERE name = ?", (role.value, name)
            )
            if not done.rowcount:
                raise UnknownNameError(f"there is no operator {name!r}")

    def remove_operator(self, name: OperatorName) -> None:
        """Remove an operator, at once; raises UnknownNameError."""
        with self._database.write() as connection:
            if not connection.execute("DELETE FROM operators WHERE name = ?", (name,)).rowcount:
                raise UnknownNameError(f"there is no operator {name!r}")

    def operators(self) -> list[OperatorRecord]:
        """Return every operator, by name."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT name, role, added_at FROM operators ORDER BY name"
            ).fetchall()
        return [
            OperatorRecord(name=OperatorName(name), role=OperatorRole(role), added_at=added_at)
            for name, role, added_at in rows
        ]

    def credential(self, name: str) -> Credential | None:
        """Return the credential of an operator, None when there is no such operator."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT password_hash, role FROM operators WHERE name = ?", (name,)
            ).fetchone()
        return Credential(password_hash=row[0], role=OperatorRole(row[1])) if row else None
