"""How far event handlers have come, beside the events: whoever loses the event log loses this with it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mftgit.adapters.sqlite import Database
from mftgit.model.names import EventHandlerName

_SCHEMA = """
CREATE TABLE IF NOT EXISTS event_handlers (name TEXT PRIMARY KEY, body TEXT NOT NULL);
"""


class HandlerRecords:
    """One record for each handler; usable from many threads."""

    def __init__(self, path: Path) -> None:
        """Open the records in the event log at ``path``."""
        self._database = Database(path, _SCHEMA)

    def read(self, name: EventHandlerName) -> Any:
        """Return the record of ``name``, None where there is none."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT body FROM event_handlers WHERE name = ?", (name,)
            ).fetchone()
        return None if row is None else json.loads(row[0])

    def keep(self, name: EventHandlerName, record: Mapping[str, Any]) -> None:
        """Keep the record of ``name``; it is on disk when this returns."""
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO event_handlers VALUES (?, ?)", (name, json.dumps(record))
            )

    def names(self) -> set[EventHandlerName]:
        """Return of which handlers there are records."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT name FROM event_handlers").fetchall()
        return {EventHandlerName(name) for (name,) in rows}

    def forget(self, name: EventHandlerName) -> None:
        """Remove the record of ``name``."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM event_handlers WHERE name = ?", (name,))

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()
