"""How much was moved by the hour, and where in the event log it is told: made of the log, and made anew where lost."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from loguru import logger

from mftgit.adapters.sqlite import Database, DatabaseDamagedError
from mftgit.model.monitoring.volume import ALL, About, Amount, Flow

_SCHEMA = """
CREATE TABLE IF NOT EXISTS volumes (
    flow TEXT NOT NULL, name TEXT NOT NULL, hour TEXT NOT NULL,
    files INTEGER NOT NULL, bytes INTEGER NOT NULL, failures INTEGER NOT NULL,
    PRIMARY KEY (flow, name, hour)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS told (
    flow TEXT NOT NULL, name TEXT NOT NULL, position INTEGER NOT NULL,
    PRIMARY KEY (flow, name, position)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counted (
    one INTEGER PRIMARY KEY CHECK (one = 1), position INTEGER NOT NULL
);
"""


class VolumeRecords:
    """Amounts by flow, name and hour; usable from many threads."""

    def __init__(self, path: Path) -> None:
        """Open or create the records at ``path``; a damaged file makes way, for the log has all of it."""
        try:
            self._database = Database(path, _SCHEMA)
        except DatabaseDamagedError as error:
            logger.warning("amounts are counted anew from the event log", error=str(error))
            for each in ("", "-wal", "-shm"):
                path.with_name(path.name + each).unlink(missing_ok=True)
            self._database = Database(path, _SCHEMA)

    def position(self) -> int:
        """Return up to which position of the event log everything is counted."""
        with self._database.read() as connection:
            row = connection.execute("SELECT position FROM counted").fetchone()
        return int(row[0]) if row else 0

    def take(
        self,
        amounts: Mapping[tuple[About, str], Amount],
        told: Sequence[tuple[About, int]],
        *,
        position: int,
    ) -> None:
        """Add ``amounts``, by what they are about and the hour, and go on to ``position``: all of it, or nothing."""
        rows = [
            (each.flow.value, name, hour, found.files, found.size_bytes, found.failures)
            for (each, hour), found in amounts.items()
            if found != Amount()
            for name in (each.name, ALL)
        ]
        with self._database.write() as connection:
            connection.executemany(
                "INSERT INTO volumes VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (flow, name, hour) DO UPDATE SET"
                " files = files + excluded.files, bytes = bytes + excluded.bytes,"
                " failures = failures + excluded.failures",
                rows,
            )
            connection.executemany(
                "INSERT OR IGNORE INTO told VALUES (?, ?, ?)",
                [(each.flow.value, name, at) for each, at in told for name in (each.name, ALL)],
            )
            connection.execute("INSERT OR REPLACE INTO counted VALUES (1, ?)", (position,))

    def begin_anew(self) -> None:
        """Forget everything, where the log is another one."""
        with self._database.write() as connection:
            for table in ("volumes", "told", "counted"):
                connection.execute(f"DELETE FROM {table}")  # noqa: S608  one of these

    def hours(self, flow: Flow, name: str, *, since: str) -> list[tuple[str, Amount]]:
        """Return what was moved in each hour from ``since`` on, under `ALL` by all."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT hour, files, bytes, failures FROM volumes"
                " WHERE flow = ? AND name = ? AND hour >= ? ORDER BY hour",
                (flow.value, name, since),
            ).fetchall()
        return [
            (hour, Amount(files=files, size_bytes=size_bytes, failures=failures))
            for hour, files, size_bytes, failures in rows
        ]

    def positions(self, flow: Flow, name: str, *, before: int | None, limit: int) -> list[int]:
        """Return where in the log something is told of ``name``, the newest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT position FROM told WHERE flow = ? AND name = ? AND position < ?"
                " ORDER BY position DESC LIMIT ?",
                (flow.value, name, (1 << 62) if before is None else before, limit),
            ).fetchall()
        return [int(position) for (position,) in rows]

    def forget(self, *, before_position: int, before_hour: str) -> None:
        """Let go of what the log does not have any more, and of what is long ago."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM told WHERE position < ?", (before_position,))
            connection.execute("DELETE FROM volumes WHERE hour < ?", (before_hour,))

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()
