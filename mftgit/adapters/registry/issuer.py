"""Which issuer vouches for operators, beside the controller's other records."""

from dataclasses import dataclass
from pathlib import Path

from mftgit.adapters.sqlite import Database

_SCHEMA = """
CREATE TABLE IF NOT EXISTS issuer (
    one INTEGER PRIMARY KEY CHECK (one = 1), settings TEXT NOT NULL, sealed TEXT NOT NULL
);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptIssuer:
    """The settings of the issuer, and our password there, sealed by who keeps it here."""

    settings: str
    sealed: str


class IssuerRecord:
    """The one issuer, or none; usable from many threads and processes."""

    def __init__(self, path: Path) -> None:
        """Open or create the records at ``path``, which may hold other tables."""
        self._database = Database(path, _SCHEMA)

    def set(self, kept: KeptIssuer) -> None:
        """Let this be the issuer."""
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO issuer VALUES (1, ?, ?)", (kept.settings, kept.sealed)
            )

    def remove(self) -> bool:
        """Let nobody vouch for operators any more; tell whether that is news."""
        with self._database.write() as connection:
            return bool(connection.execute("DELETE FROM issuer").rowcount)

    def get(self) -> KeptIssuer | None:
        """Return the issuer, if there is one."""
        with self._database.read() as connection:
            row = connection.execute("SELECT settings, sealed FROM issuer").fetchone()
        return KeptIssuer(settings=row[0], sealed=row[1]) if row else None

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()
