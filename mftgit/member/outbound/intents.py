"""Records of deliveries under way, on storage that the members share: what a successor has to know.

A record is written before its file is claimed (TAKEN: the temporary it names may be there, and is worth nothing) and
replaced once the temporary is complete and checked (READY: the intent proper). Whoever finds a READY record publishes
by renaming the temporary; where that is gone, it was published.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from mftgit.adapters.durable import write_file
from mftgit.adapters.local import LocalEndpoint
from mftgit.errors import MftgitError, TransientError
from mftgit.member.outbound.claims import take_over
from mftgit.member.outbound.own import FencedEndpoint, Ownership, OwnershipEndedError
from mftgit.model.claim import ClaimId
from mftgit.model.config import AfterSuccess, Overwrite
from mftgit.model.names import Epoch, LocationName, Revision
from mftgit.model.run import DeliveryState

_BASE: Final = "intents"


class StateUnavailableError(TransientError):
    """The storage that the members share does not answer, or has no room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """Everything that is needed to end one delivery, also by a member that has another revision.

    Paths are as their endpoint takes them, except ``path``, which is below ``source_folder``. Size, time and digest are
    those of what was sent and mean nothing before READY.
    """

    id: ClaimId
    state: DeliveryState
    path: str
    source: LocationName
    source_folder: str
    destination: LocationName
    destination_folder: str
    temporary: str
    final: str
    overwrite: Overwrite
    after: AfterSuccess
    archive_path: str | None
    size_bytes: int = 0
    mtime_ns: int = 0
    sha256: str = ""
    started_at: str = ""
    epoch: Epoch
    revision: Revision | None

    def format(self) -> bytes:
        """Return the record as JSON."""
        enums = {
            "state": self.state.value,
            "overwrite": self.overwrite.value,
            "after": self.after.value,
        }
        return json.dumps(asdict(self) | enums, sort_keys=True).encode()

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Return the record that ``format`` gave ``content`` for.

        Raises:
            ValueError: it did not.
        """
        fields: dict[str, Any] = json.loads(content)
        try:
            enums = {
                "state": DeliveryState(fields["state"]),
                "overwrite": Overwrite(fields["overwrite"]),
                "after": AfterSuccess(fields["after"]),
            }
            return cls(**(fields | enums))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a record of a delivery: {error}") from error


class RecordUnreadableError(MftgitError):
    """A record of a delivery is not one; whether its file was published cannot be told."""


class Intents:
    """The records of one epoch of one transfer, below ``state``."""

    def __init__(self, state: Path, ownership: Ownership) -> None:
        self._state = state
        self._ownership = ownership
        self._own = state / _BASE / str(ownership.epoch)

    def take_over(self) -> None:
        """Raise this epoch's folder and adopt what lower epochs hold; see `claims.take_over`."""
        with _storage():
            self._ownership.check()
            self._state.mkdir(parents=True, exist_ok=True)
        take_over(
            FencedEndpoint(LocalEndpoint(self._state), self._ownership),
            _BASE,
            self._ownership.epoch,
        )

    def left_over(self) -> bool:
        """Tell whether another epoch's folder holds anything."""
        with _storage():
            return any(any(folder.iterdir()) for folder in self._others())

    def all(self) -> list[Intent]:
        """Return the records of this epoch, in the order of their ids.

        A record that is not among them does not exist: a successor raises its folder before it moves the first one,
        and that is looked for last.

        Raises:
            OwnershipEndedError: a successor has raised its folder, or removed this epoch's.
            RecordUnreadableError: one of them is not a record.
        """
        with self._fence():
            # What begins with a dot is what a `write_file` that was killed has left.
            paths = sorted(path for path in self._own.glob("*.json") if path.name[0] != ".")
            found = [(path, path.read_bytes()) for path in paths]
            self._own.stat()
            others = [int(folder.name) for folder in self._others()]
        if max(others, default=0) > self._ownership.epoch:
            raise OwnershipEndedError(f"epoch {max(others)} is taking over")
        return [_parse(path, content) for path, content in found]

    def write(self, intent: Intent) -> None:
        """Write or replace the record, and make it last.

        Raises:
            OwnershipEndedError: a successor has removed this epoch's folder; the record counts for nothing.
            StateUnavailableError: not known whether it was written; the next run finds out.
        """
        with self._fence():
            write_file(self._own / f"{intent.id}.json", intent.format())

    def drop(self, claim: ClaimId) -> None:
        """Remove the record: the delivery is over. One that is gone is fine."""
        with self._fence():
            (self._own / f"{claim}.json").unlink(missing_ok=True)

    def _others(self) -> Iterator[Path]:
        base = self._state / _BASE
        if base.is_dir():
            yield from (
                path for path in base.iterdir() if path.name.isdecimal() and path != self._own
            )

    @contextmanager
    def _fence(self) -> Iterator[None]:
        self._ownership.check()
        try:
            with _storage():
                yield
        except StateUnavailableError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise OwnershipEndedError(f"a successor has removed {self._own}") from error
            raise


def _parse(path: Path, content: bytes) -> Intent:
    try:
        return Intent.parse(content)
    except ValueError as error:
        raise RecordUnreadableError(
            f"{path} is not a record of a delivery: {error}; see at the destination whether its file "
            "is there, then remove the record (the file is sent again) or the record and the claim"
        ) from error


@contextmanager
def _storage() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StateUnavailableError(
            f"the storage that the members share does not answer: {error}; see that it is mounted and has room"
        ) from error
