"""The members that the controller knows, as they stand in its registry: invited, joined, and as last reported."""

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.registry.errors import JoinRefusedError, KnownAlreadyError, UnknownNameError
from mftgit.adapters.sqlite import Database
from mftgit.model.configuration.config import Role
from mftgit.model.members.messages import MemberState, MemberStatus, parse_member_status
from mftgit.model.names import MemberName

INVITATION = timedelta(hours=24)
"""How long a join token can be used."""

_SAID = (
    "state",
    "active_revision",
    "attempted_revision",
    "reason",
    "suspended",
    "pin",
    "drain",
    "storage",
)
_OUTLINES = (
    "SELECT name, role, json_extract(status, "  # noqa: S608  constants
    + ", ".join(f"'$.{each}'" for each in _SAID)
    + "), json_extract(status, '$.state'), last_seen, cut_off FROM members ORDER BY name"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRecord:
    """One member as the controller knows it.

    ``public_key`` is None until it has joined, ``next_key`` but while a key is offered and not used yet.
    ``cut_off`` is when the line that it listened on ended last. Both times are POSIX time.
    """

    name: MemberName
    role: Role
    public_key: str | None
    next_key: str | None
    status: MemberStatus | None
    last_seen: float | None
    cut_off: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberOutline:
    """What of a member's word about itself is not about its transfers and services, as JSON in ``said``."""

    name: MemberName
    role: Role
    said: str | None
    state: MemberState | None
    last_seen: float | None
    cut_off: float | None


class MemberRows:
    """Members: a part of the `Registry`."""

    _database: Database
    _now: Callable[[], datetime]

    def invite(self, name: MemberName, role: Role) -> str:
        """Add a member that has yet to join, and return the secret that lets it; raises KnownAlreadyError.

        A member that was invited and has not joined is invited anew: its older secret ends.
        """
        secret = secrets.token_urlsafe(32)
        until = (self._now() + INVITATION).timestamp()
        with self._database.write() as connection:
            done = connection.execute(
                "INSERT INTO members (name, role, token_hash, token_until, added_at)"
                " VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET role = excluded.role,"
                " token_hash = excluded.token_hash, token_until = excluded.token_until"
                " WHERE public_key IS NULL",
                (name, role.value, _digest(secret), until, rfc3339(self._now())),
            )
            if not done.rowcount:
                raise KnownAlreadyError(
                    f"member {name!r} has joined already: `mftgit member remove {name}` first"
                )
        return secret

    def enrol(self, name: MemberName, *, role: Role, public_key: str) -> None:
        """Add a member whose key is here already: the controller itself."""
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO members (name, role, public_key, added_at) VALUES (?, ?, ?, ?)",
                (name, role.value, public_key, rfc3339(self._now())),
            )

    def join(self, name: MemberName, *, secret: str, public_key: str) -> Role:
        """Use up an invitation and keep the member's public key; return its role.

        The same member may repeat this with the same key, because the first answer may have been lost.

        Raises:
            JoinRefusedError: the secret is wrong, used by another key, or too old.
        """
        with self._database.write() as connection:
            row = connection.execute(
                "SELECT role, public_key, token_hash, token_until FROM members WHERE name = ?",
                (name,),
            ).fetchone()
            if not row or not row[2] or not hmac.compare_digest(row[2], _digest(secret)):
                raise JoinRefusedError(
                    "the join token is wrong or was withdrawn: "
                    f"ask for a new one with `mftgit member add {name}` on the controller"
                )
            role, known_key, _, until = row
            if known_key is not None and known_key != public_key:
                raise JoinRefusedError(
                    "the join token was used already: a token lets one member in, once; "
                    f"`mftgit member remove {name}` and `mftgit member add {name}` give a new one"
                )
            if self._now().timestamp() > until:
                raise JoinRefusedError(
                    "the join token is older than 24 hours: "
                    f"ask for a new one with `mftgit member add {name}` on the controller"
                )
            connection.execute(
                "UPDATE members SET public_key = ? WHERE name = ?", (public_key, name)
            )
        return Role(role)

    def remove_member(self, name: MemberName) -> None:
        """Remove a member: no key of it opens anything from now on; raises UnknownNameError."""
        with self._database.write() as connection:
            if not connection.execute("DELETE FROM members WHERE name = ?", (name,)).rowcount:
                raise UnknownNameError(f"there is no member {name!r}")

    def public_keys(self, name: MemberName) -> tuple[str, ...]:
        """Return the keys of a member that has joined, the present one first; none for any other name."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT public_key, next_key FROM members WHERE name = ?", (name,)
            ).fetchone()
        return tuple(key for key in row or () if key is not None)

    def offer_key(self, name: MemberName, key: str) -> bool:
        """Let ``key`` be a member's next one, beside the present one; tell whether that is news.

        It takes the place of another one that was offered. The present key is offered in vain: nothing follows it.
        """
        with self._database.write() as connection:
            done = connection.execute(
                "UPDATE members SET next_key = NULLIF(:key, public_key) WHERE name = :name"
                " AND public_key IS NOT NULL AND next_key IS NOT NULLIF(:key, public_key)",
                {"name": name, "key": key},
            )
        return bool(done.rowcount)

    def promote_key(self, name: MemberName, key: str) -> str | None:
        """Let the next ``key`` be a member's only one; return the one that ends, None where ``key`` is not the next."""
        with self._database.write() as connection:
            row = connection.execute(
                "SELECT public_key FROM members WHERE name = ? AND next_key = ?", (name, key)
            ).fetchone()
            connection.execute(
                "UPDATE members SET public_key = next_key, next_key = NULL"
                " WHERE name = ? AND next_key = ?",
                (name, key),
            )
        return row[0] if row else None

    def members(self) -> list[MemberRecord]:
        """Return every member, the controller first, then by name."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT name, role, public_key, next_key, status, last_seen, cut_off FROM members"
                " ORDER BY role != 'controller', name"
            ).fetchall()
        return [
            MemberRecord(
                name=MemberName(name),
                role=Role(role),
                public_key=key,
                next_key=next_key,
                status=None if status is None else parse_member_status(json.loads(status)),
                last_seen=last_seen,
                cut_off=cut_off,
            )
            for name, role, key, next_key, status, last_seen, cut_off in rows
        ]

    def outlines(self) -> list[MemberOutline]:
        """Return the outline of every member, by name: with many of them, and large ones, far sooner than `members`."""
        with self._database.read() as connection:
            rows = connection.execute(_OUTLINES).fetchall()
        return [
            MemberOutline(
                name=MemberName(name),
                role=Role(role),
                said=said,
                state=None if state is None else MemberState(state),
                last_seen=last_seen,
                cut_off=cut_off,
            )
            for name, role, said, state, last_seen, cut_off in rows
        ]

    def report(self, status: MemberStatus) -> None:
        """Keep a member's latest word about itself."""
        body = json.dumps(status.as_json(last_seen_s=None))
        with self._database.write() as connection:
            connection.execute(
                "UPDATE members SET status = ?, last_seen = ? WHERE name = ?",
                (body, self._now().timestamp(), status.name),
            )

    def seen(self, heard: Mapping[MemberName, float], cut_off: Mapping[MemberName, float]) -> None:
        """Note when members were last heard of, and when their lines ended, as POSIX time."""
        with self._database.write() as connection:
            for column, times in (("last_seen", heard), ("cut_off", cut_off)):
                connection.executemany(
                    f"UPDATE members SET {column} = ? WHERE name = ?",  # noqa: S608  one of these two
                    [(at, name) for name, at in times.items()],
                )

    def seen_at(self) -> dict[MemberName, tuple[float | None, float | None]]:
        """Return when each member was last heard of, and when its line ended last, as POSIX time, by name."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT name, last_seen, cut_off FROM members ORDER BY name"
            ).fetchall()
        return {MemberName(name): (last_seen, cut_off) for name, last_seen, cut_off in rows}

    def joined(self) -> tuple[MemberName, ...]:
        """Return the members that have joined, by name."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT name FROM members WHERE public_key IS NOT NULL ORDER BY name"
            ).fetchall()
        return tuple(MemberName(name) for (name,) in rows)

    def lose(self, name: MemberName) -> None:
        """Note that the key of a member that is invited was lost with the controller before: it is to join again."""
        with self._database.write() as connection:
            connection.execute("UPDATE members SET lost = 1 WHERE name = ?", (name,))

    def is_lost(self, name: MemberName) -> bool:
        """Tell whether the key of a member was lost, and it has not joined again."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT lost FROM members WHERE name = ? AND public_key IS NULL", (name,)
            ).fetchone()
        return bool(row and row[0])


def _digest(secret: str) -> str:
    # A plain digest is enough: the secret is 256 random bits, not a password.
    return hashlib.sha256(secret.encode()).hexdigest()
