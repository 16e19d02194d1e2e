"""The orders that operators gave to members by the controller, beside its other records: they survive its restart."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.sqlite import Connection, Database
from mftgit.errors import MftgitError
from mftgit.model.members.orders import Verb
from mftgit.model.members.passed_orders import (
    MOST_KEPT,
    MOST_OPEN,
    ORDER_S,
    Asked,
    OrderNews,
    OrderState,
    PassedOrder,
    Settled,
    Told,
)
from mftgit.model.names import MemberName, TransferName

_SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
    number INTEGER PRIMARY KEY, member TEXT NOT NULL, transfer TEXT, asked TEXT NOT NULL, given_by TEXT NOT NULL,
    at TEXT NOT NULL, until REAL NOT NULL, state TEXT NOT NULL, outcome TEXT, settled_at TEXT
);
CREATE INDEX IF NOT EXISTS orders_by_state ON orders (state, member);
"""
_COLUMNS = "number, member, asked, given_by, at, until, state, outcome, settled_at"
_GIVEN, _TAKEN, _EXPIRED = (
    each.value for each in (OrderState.GIVEN, OrderState.TAKEN, OrderState.EXPIRED)
)


class TooManyOrdersError(MftgitError):
    """The member has so many orders to carry out that it gets no further one."""


class UnknownOrderError(MftgitError):
    """There is no such order."""


class OrderRecords:
    """Orders by number; usable from many threads and processes."""

    def __init__(self, path: Path, *, now: Callable[[], datetime]) -> None:
        """Open or create the records at ``path``, where the registry's tables are too."""
        self._database = Database(path, _SCHEMA)
        self._now = now

    def give(self, asked: Asked, *, by: str) -> PassedOrder:
        """Keep an order for its member to take.

        Its number is at least the time in milliseconds, so that a restored backup gives none a second time.

        Raises:
            TooManyOrdersError: too many wait for their outcome already.
        """
        now = self._now()
        with self._database.write() as connection:
            (waiting,) = connection.execute(
                "SELECT count(*) FROM orders WHERE member = ? AND state IN (?, ?) AND until > ?",
                (asked.member, _GIVEN, _TAKEN, now.timestamp()),
            ).fetchone()
            if waiting >= MOST_OPEN:
                raise TooManyOrdersError(
                    f"{waiting} orders wait for {asked.member} already: it gets no further one before it has carried "
                    f"some out, or {ORDER_S / 60:.0f} minutes are over"
                )
            (last,) = connection.execute("SELECT coalesce(max(number), 0) FROM orders").fetchone()
            number, until = max(last + 1, int(now.timestamp() * 1000)), now.timestamp() + ORDER_S
            connection.execute(
                "INSERT INTO orders (number, member, transfer, asked, given_by, at, until, state)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    number,
                    asked.member,
                    asked.transfer,
                    _format(asked),
                    by,
                    rfc3339(now),
                    until,
                    _GIVEN,
                ),
            )
            _let_go(connection)
            return _find(connection, number)

    def news(self, member: MemberName, after: int) -> OrderNews:
        """Return what ``member`` has yet to take; those up to ``after`` it says to have taken."""
        now_s = self._now().timestamp()
        with self._database.write() as connection:
            connection.execute(
                "UPDATE orders SET state = ? WHERE state = ? AND member = ? AND number <= ?",
                (_TAKEN, _GIVEN, member, after),
            )
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM orders WHERE state = ? AND member = ? AND number > ? AND until > ?"  # noqa: S608  our own words
                " ORDER BY number LIMIT ?",
                (_GIVEN, member, after, now_s, MOST_OPEN),
            ).fetchall()
        return OrderNews(orders=tuple(_told(row, now_s) for row in rows))

    def settle(self, member: MemberName, said: Sequence[Settled]) -> bool:
        """Keep what ``member`` says of its orders, the first word of each; tell whether that is news."""
        changed = 0
        at = rfc3339(self._now())
        with self._database.write() as connection:
            for each in said:
                changed += connection.execute(
                    "UPDATE orders SET state = ?, outcome = ?, settled_at = ?"
                    " WHERE number = ? AND member = ? AND state IN (?, ?, ?)",
                    (
                        each.state.value,
                        each.outcome,
                        at,
                        each.number,
                        member,
                        _GIVEN,
                        _TAKEN,
                        _EXPIRED,
                    ),
                ).rowcount
        return changed > 0

    def expire(self) -> list[PassedOrder]:
        """Have what is void be so, and return it: not taken in time, or for a member that is none any more."""
        now = self._now()
        with self._database.write() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS}, member IN (SELECT name FROM members) FROM orders"  # noqa: S608  our own words
                " WHERE (state = ? AND until <= ?)"
                " OR (state IN (?, ?) AND member NOT IN (SELECT name FROM members))",
                (_GIVEN, now.timestamp(), _GIVEN, _TAKEN),
            ).fetchall()
            for *row, is_member in rows:
                why = (
                    f"it was not taken within {ORDER_S / 60:.0f} minutes: the member was not in touch, or its version "
                    "of mftgit takes no orders from here"
                    if is_member
                    else "the member was removed from the cluster"
                )
                connection.execute(
                    "UPDATE orders SET state = ?, outcome = ?, settled_at = ? WHERE number = ?",
                    (_EXPIRED, why, rfc3339(now), row[0]),
                )
            return [_find(connection, row[0]) for row in rows]

    def find(self, number: int) -> PassedOrder:
        """Return one; raises UnknownOrderError."""
        with self._database.read() as connection:
            return _find(connection, number)

    def newest(
        self,
        *,
        member: MemberName | None = None,
        transfer: TransferName | None = None,
        before: int | None = None,
        limit: int,
    ) -> list[PassedOrder]:
        """Return up to ``limit`` orders, the newest first: those of a member, about a transfer, below a number."""
        with self._database.read() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM orders WHERE (:member IS NULL OR member = :member)"  # noqa: S608  our own words
                " AND (:transfer IS NULL OR transfer = :transfer) AND (:before IS NULL OR number < :before)"
                " ORDER BY number DESC LIMIT :limit",
                {"member": member, "transfer": transfer, "before": before, "limit": limit},
            ).fetchall()
        return [_passed(row) for row in rows]

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


def _find(connection: Connection, number: int) -> PassedOrder:
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM orders WHERE number = ?",  # noqa: S608  our own words
        (number,),
    ).fetchone()
    if row is None:
        raise UnknownOrderError(f"there is no order {number}, or it was long ago")
    return _passed(row)


def _let_go(connection: Connection) -> None:
    connection.execute(
        "DELETE FROM orders WHERE number IN (SELECT number FROM orders ORDER BY number DESC LIMIT -1 OFFSET ?)",
        (MOST_KEPT,),
    )


def _format(asked: Asked) -> str:
    return json.dumps(
        {
            "verb": asked.verb.value,
            "transfer": asked.transfer,
            "session": asked.session,
            "account": asked.account,
            "to": asked.to,
        }
    )


def _asked(member: str, content: str) -> Asked:
    value = json.loads(content)
    return Asked(
        member=MemberName(member),
        verb=Verb(value["verb"]),
        transfer=value["transfer"],
        session=value["session"],
        account=value["account"],
        to=value["to"],
    )


def _passed(row: Sequence[Any]) -> PassedOrder:
    number, member, asked, by, at, until, state, outcome, settled_at = row
    return PassedOrder(
        number=number,
        asked=_asked(member, asked),
        by=by,
        at=at,
        until=rfc3339(datetime.fromtimestamp(until, UTC)),
        state=OrderState(state),
        outcome=outcome,
        settled_at=settled_at,
    )


def _told(row: Sequence[Any], now_s: float) -> Told:
    number, member, asked, by, at, until, *_ = row
    return Told(
        number=number, asked=_asked(member, asked), by=by, at=at, left_s=max(0.0, until - now_s)
    )
