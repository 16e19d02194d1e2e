"""Which operators log in with one-time codes besides, beside the controller's other records."""

from pathlib import Path

from mftgit.adapters.sqlite import Database
from mftgit.model.names import OperatorName

_SCHEMA = """
CREATE TABLE IF NOT EXISTS operators (
    name TEXT PRIMARY KEY, password_hash TEXT NOT NULL, added_at TEXT NOT NULL,
    role TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS operator_codes (
    operator TEXT PRIMARY KEY, sealed TEXT NOT NULL, used_step INTEGER NOT NULL
);
CREATE TRIGGER IF NOT EXISTS operator_codes_end AFTER DELETE ON operators
    BEGIN DELETE FROM operator_codes WHERE operator = OLD.name; END;
"""


class OperatorCodes:
    """The key of each operator's codes, sealed by who keeps it here; it ends with the operator."""

    def __init__(self, path: Path) -> None:
        """Open or create the records at ``path``, which are those of the `Registry`."""
        self._database = Database(path, _SCHEMA)

    def enrol(self, name: OperatorName, sealed: str) -> None:
        """Ask ``name`` for codes of this key from now on, of no other."""
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO operator_codes VALUES (?, ?, 0)", (name, sealed)
            )

    def remove(self, name: OperatorName) -> bool:
        """Ask ``name`` for no codes any more; tell whether that is news."""
        with self._database.write() as connection:
            done = connection.execute("DELETE FROM operator_codes WHERE operator = ?", (name,))
        return bool(done.rowcount)

    def sealed(self, name: str) -> str | None:
        """Return the key of ``name``, sealed; None where it needs no codes."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT sealed FROM operator_codes WHERE operator = ?", (name,)
            ).fetchone()
        return row[0] if row else None

    def use(self, name: str, step: int) -> bool:
        """Use up the code of the time step ``step``; False where it, or a later one, was used before."""
        with self._database.write() as connection:
            done = connection.execute(
                "UPDATE operator_codes SET used_step = ? WHERE operator = ? AND used_step < ?",
                (step, name, step),
            )
        return bool(done.rowcount)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()
