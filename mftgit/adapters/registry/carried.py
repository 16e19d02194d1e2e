"""What of a registry outlives its database, with a controller that is made anew."""

from collections.abc import Mapping
from typing import Any, Final

from mftgit.adapters.sqlite import Connection

_CARRIED: Final = ("operators", "operator_codes", "members", "rollout")
_PASSING: Final = frozenset(
    {"lost", "status", "last_seen", "cut_off", "token_hash", "token_until", "used_step"}
)
_BEGINS_WITH: Final[Mapping[str, Mapping[str, Any]]] = {"operator_codes": {"used_step": 0}}


def read_carried(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """See `Registry.carried`."""
    return {table: _rows(connection, table) for table in _CARRIED if _columns(connection, table)}


def write_carried(connection: Connection, carried: Mapping[str, list[dict[str, Any]]]) -> None:
    """See `Registry.take_over`."""
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


def _columns(connection: Connection, table: str) -> list[str]:
    rows = connection.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()
    return [name for (name,) in rows]


def _rows(connection: Connection, table: str) -> list[dict[str, Any]]:
    names = [name for name in _columns(connection, table) if name not in _PASSING]
    found = connection.execute(
        f"SELECT {', '.join(names)} FROM {table} ORDER BY 1"  # noqa: S608  names of our own schema
    ).fetchall()
    return [dict(zip(names, row, strict=True)) for row in found]
