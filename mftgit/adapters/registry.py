"""What only the controller knows: operators, members, invitations, the head pointer, the roll-out, last reports."""

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.sqlite import Column, Connection, Database
from mftgit.errors import MftgitError
from mftgit.model.access import OperatorRole
from mftgit.model.config import Role
from mftgit.model.messages import Head, MemberState, MemberStatus, parse_member_status
from mftgit.model.names import MemberName, OperatorName, Revision
from mftgit.model.rollout import Progress, format_progress, parse_progress

INVITATION = timedelta(hours=24)
"""How long a join token can be used."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS operators (
    name TEXT PRIMARY KEY, password_hash TEXT NOT NULL, added_at TEXT NOT NULL,
    role TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS members (
    name TEXT PRIMARY KEY, role TEXT NOT NULL, public_key TEXT,
    token_hash TEXT, token_until REAL, added_at TEXT NOT NULL,
    status TEXT, last_seen REAL
);
CREATE TABLE IF NOT EXISTS head (
    one INTEGER PRIMARY KEY CHECK (one = 1), oid TEXT NOT NULL, seq INTEGER NOT NULL,
    issued_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS replaced (
    one INTEGER PRIMARY KEY CHECK (one = 1), incarnation INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS settling (one INTEGER PRIMARY KEY CHECK (one = 1));
CREATE TABLE IF NOT EXISTS broken_glass (
    one INTEGER PRIMARY KEY CHECK (one = 1), revision TEXT NOT NULL, who TEXT NOT NULL,
    reason TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS rollout (
    one INTEGER PRIMARY KEY CHECK (one = 1), progress TEXT NOT NULL
);
"""
_ADDED = (
    Column(table="members", name="next_key", kind="TEXT"),
    Column(table="members", name="cut_off", kind="REAL"),
    Column(table="members", name="lost", kind="INTEGER"),
    Column(table="head", name="incarnation", kind="INTEGER"),
    Column(table="head", name="warrant", kind="TEXT"),
)

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
_HEAD = "SELECT oid, seq, issued_at, incarnation, warrant FROM head"
_CARRIED = ("operators", "operator_codes", "members", "rollout")
_PASSING = frozenset(
    {"lost", "status", "last_seen", "cut_off", "token_hash", "token_until", "used_step"}
)
_BEGINS_WITH = {"operator_codes": {"used_step": 0}}


class KnownAlreadyError(MftgitError):
    """There is an operator or a member of that name."""


class UnknownNameError(MftgitError):
    """There is no operator or member of that name."""


class JoinRefusedError(MftgitError):
    """The join token does not open the cluster; the message says why."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenGlass:
    """A revision that ``who`` published without the approvals that were asked for."""

    revision: Revision
    who: str
    reason: str


class Registry:
    """The controller's own records; usable from many threads, and by the CLI beside a running controller."""

    def __init__(self, path: Path, *, now: Callable[[], datetime]) -> None:
        """Open or create the records at ``path``."""
        self._database = Database(path, _SCHEMA, added=_ADDED)
        self._now = now

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    # Operators

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

    # Members

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

    # The roll-out

    def rollout(self) -> Progress | None:
        """Return where the roll-out of the newest revision stands."""
        with self._database.read() as connection:
            return _progress(connection)

    def change_rollout(self, step: Callable[[Progress | None], Progress | None]) -> Progress | None:
        """Let ``step`` say where the roll-out stands, from where it stood, and return that; nobody comes between."""
        with self._database.write() as connection:
            before = _progress(connection)
            after = step(before)
            if after is not None and after != before:
                connection.execute(
                    "INSERT OR REPLACE INTO rollout VALUES (1, ?)", (format_progress(after),)
                )
        return after

    # What was published without approvals

    def note_glass(self, glass: BrokenGlass) -> None:
        """Keep in mind what was published last without the approvals that were asked for."""
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO broken_glass VALUES (1, ?, ?, ?)",
                (glass.revision, glass.who, glass.reason),
            )

    def glass(self) -> BrokenGlass | None:
        """Return what was published last without the approvals that were asked for."""
        with self._database.read() as connection:
            row = connection.execute("SELECT revision, who, reason FROM broken_glass").fetchone()
        return BrokenGlass(revision=Revision(row[0]), who=row[1], reason=row[2]) if row else None

    # The head pointer

    def head(self) -> Head | None:
        """Return where the published branch was last said to stand."""
        with self._database.read() as connection:
            row = connection.execute(_HEAD).fetchone()
        return _head(row) if row else None

    def raise_head(self, oid: Revision) -> Head:
        """Say that the published branch stands at ``oid``; ``seq`` rises with each call.

        It is at least the time in milliseconds. So it is above every number that was given before, also where this
        database was put back from a backup, or lost; and where the clock was set back it goes on by one.
        """
        now = self._now()
        with self._database.write() as connection:
            row = connection.execute(_HEAD).fetchone()
            before = _head(row) if row else None
            following = before.seq + 1 if before else 1
            head = Head(
                oid=oid,
                seq=max(following, int(now.timestamp() * 1000)),
                issued_at=rfc3339(now),
                incarnation=before.incarnation if before else 0,
                warrant=before.warrant if before else "",
            )
            _put_head(connection, head)
        return head

    def begin(self, head: Head) -> None:
        """Let a controller that was restored begin with ``head``: its number, and its incarnation."""
        with self._database.write() as connection:
            _put_head(connection, head)

    # Replacement

    def replaced_by(self) -> int | None:
        """Return the incarnation that has taken this controller's place, None where none has."""
        with self._database.read() as connection:
            row = connection.execute("SELECT incarnation FROM replaced").fetchone()
        return int(row[0]) if row else None

    def replaced(self, incarnation: int) -> None:
        """Keep in mind that another controller has taken this one's place."""
        with self._database.write() as connection:
            connection.execute("INSERT OR REPLACE INTO replaced VALUES (1, ?)", (incarnation,))

    def settles(self) -> bool:
        """Tell whether it is not known yet that no member has a newer revision than this restored controller."""
        with self._database.read() as connection:
            return connection.execute("SELECT 1 FROM settling").fetchone() is not None

    def settle(self, *, begin: bool = False) -> None:
        """Begin to wait for every member's word, or wait no more."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM settling")
            if begin:
                connection.execute("INSERT INTO settling VALUES (1)")

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

    def carried(self) -> dict[str, list[dict[str, Any]]]:
        """Return what has to outlive this database: members, operators and the roll-out, with all their columns.

        What passes is left out: invitations, reports and signs of life.
        """
        with self._database.read() as connection:
            return {
                table: _rows(connection, table) for table in _CARRIED if _columns(connection, table)
            }

    def take_over(self, carried: Mapping[str, list[dict[str, Any]]]) -> None:
        """Fill this database, which is new, with what `carried` gave.

        Tables are to be there, as all who keep theirs here make them; columns that are not known are left out.
        """
        with self._database.write() as connection:
            for table in _CARRIED:
                for row in carried.get(table, []):
                    known = _columns(connection, table)
                    begun = {**_BEGINS_WITH.get(table, {}), **row}
                    values = {name: value for name, value in begun.items() if name in known}
                    names, places = ", ".join(values), ", ".join("?" * len(values))
                    connection.execute(
                        f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({places})",  # noqa: S608  ours
                        tuple(values.values()),
                    )


def _digest(secret: str) -> str:
    # A plain digest is enough: the secret is 256 random bits, not a password.
    return hashlib.sha256(secret.encode()).hexdigest()


def _progress(connection: Connection) -> Progress | None:
    row = connection.execute("SELECT progress FROM rollout").fetchone()
    return parse_progress(row[0]) if row else None


def _head(row: Any) -> Head:
    oid, seq, issued_at, incarnation, warrant = row
    return Head(
        oid=Revision(oid),
        seq=seq,
        issued_at=issued_at,
        incarnation=incarnation or 0,
        warrant=warrant or "",
    )


def _put_head(connection: Connection, head: Head) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO head (one, oid, seq, issued_at, incarnation, warrant)"
        " VALUES (1, ?, ?, ?, ?, ?)",
        (head.oid, head.seq, head.issued_at, head.incarnation, head.warrant),
    )


def _columns(connection: Connection, table: str) -> list[str]:
    rows = connection.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()
    return [name for (name,) in rows]


def _rows(connection: Connection, table: str) -> list[dict[str, Any]]:
    names = [name for name in _columns(connection, table) if name not in _PASSING]
    found = connection.execute(
        f"SELECT {', '.join(names)} FROM {table} ORDER BY 1"  # noqa: S608  names of our own schema
    ).fetchall()
    return [dict(zip(names, row, strict=True)) for row in found]
