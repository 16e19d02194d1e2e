"""Records of deliveries under way, on storage that the members share: what a successor has to know.

A record is written before its file is claimed (TAKEN: the temporary it names may be there, and is worth nothing) and
replaced once the temporary is complete and checked (READY: the intent proper). Whoever finds a READY record publishes
by renaming the temporary; where that is gone, it was published.

The records of files that are delivered together are lines of one file, which is written anew as a whole, so that they
reach the disk together. A line of a delivery that is over may stay until the others are: to end it again changes
nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from mftgit.adapters.durable import names_in, write_file
from mftgit.adapters.local.endpoint import LocalEndpoint
from mftgit.errors import MftgitError, TransientError
from mftgit.member.outbound.ownership.own import Ownership, OwnershipEndedError, SupersededError
from mftgit.member.outbound.places.fenced import FencedEndpoint
from mftgit.member.outbound.records.claims import take_over
from mftgit.member.outbound.records.fired import FIRED, LastFired, find_fired
from mftgit.member.outbound.records.left_behind import LeftBehind, is_left
from mftgit.member.outbound.records.partials import Partials, is_partial
from mftgit.member.outbound.records.sent import SentOfBatch, is_sent
from mftgit.model.names import Epoch
from mftgit.model.transfers.claim import ClaimId
from mftgit.model.transfers.firing import Fired
from mftgit.model.transfers.intent import Intent, format_intents, parse_intents
from mftgit.model.transfers.left import parse_left
from mftgit.model.transfers.run import DeliveryState

_BASE: Final = "intents"
_OPEN_RUN: Final = "open-run"
"""Beside the records and under their fence: a run on a schedule has begun and not come to its end."""


class StateUnavailableError(TransientError):
    """The storage that the members share does not answer, or has no room."""


class RecordUnreadableError(MftgitError):
    """A record of a delivery is not one; whether its file was published cannot be told."""


class Intents:
    """The records of one epoch of one transfer, below ``state``."""

    def __init__(self, state: Path, ownership: Ownership) -> None:
        self._state = state
        self._ownership = ownership
        self._own = state / _BASE / str(ownership.epoch)
        self._files: dict[str, dict[ClaimId, Intent]] = {}  # by name
        self._file_of: dict[ClaimId, str] = {}
        self._stale: set[str] = set()  # files with lines of deliveries that are over
        self.partials = Partials(self._own, self._fence)
        self.left = LeftBehind(self._own, self._fence)
        self.sent = SentOfBatch(self._own, self._fence)
        self.fired = LastFired(self._own, self._fence)

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
        with self._fence():
            for half in self._own.iterdir():
                if (
                    half.name[0] == "." and half.suffix == ".new"
                ):  # of a `write_file` that was killed
                    half.unlink(missing_ok=True)

    def left_over(self, *, own: bool) -> bool:
        """Tell whether another epoch's folder holds anything, or, with ``own``, this one's."""
        with _storage():
            if own and self._own.is_dir() and _holds_work(self._own):
                return True
            return any(map(_holds_work, self._others()))

    def all(self) -> list[Intent]:
        """Return the records of this epoch, in the order of their ids.

        A record that is not among them does not exist: a successor raises its folder before it moves the first one,
        and that is looked for last.

        Raises:
            OwnershipEndedError: a successor has raised its folder, or removed this epoch's.
            RecordUnreadableError: one of them is not a record.
        """
        self.tidy()
        with self._fence():
            # What begins with a dot is what a `write_file` that was killed has left.
            paths = sorted(path for path in self._own.iterdir() if _is_record(path))
            found = [(path, path.read_bytes()) for path in paths]
            beside = list(self._own.iterdir())
            partials = [(path, path.read_bytes()) for path in beside if is_partial(path)]
            sent = [(path, path.read_bytes()) for path in beside if is_sent(path)]
            self._own.stat()
            others = [int(folder.name) for folder in self._others()]
        if max(others, default=0) > self._ownership.epoch:
            raise SupersededError(self._ownership.epoch, by=Epoch(max(others)))
        self._files = {path.name: _parse(path, content) for path, content in found}
        self._file_of = {claim: name for name, each in self._files.items() for claim in each}
        self.partials.know(partials, self._file_of.keys())
        self.left.know(beside)
        self.sent.know(sent, self._file_of.keys())
        return [intent for each in self._files.values() for intent in each.values()]

    def known(self) -> Iterator[Intent]:
        """Give the records as of the last `all` or `write`, without a look at the storage."""
        for file in self._files.values():
            yield from file.values()

    def together(self) -> list[list[Intent]]:
        """Return the records by the file that they share, as of the last `all` or `write`."""
        return [list(each.values()) for each in self._files.values()]

    def holds(self, claim: ClaimId) -> bool:
        """Tell whether there is a record of ``claim``, as of the last `all` or `write`."""
        return claim in self._file_of

    def is_decided(self, claim: ClaimId) -> bool:
        """Tell whether there is a record of ``claim`` that is past TAKEN, as of the last `all` or `write`."""
        name = self._file_of.get(claim)
        return name is not None and self._files[name][claim].state is not DeliveryState.TAKEN

    def require_fence(self) -> None:
        """See on the storage that no successor has taken over, whatever the clock says of the lease.

        Raises:
            OwnershipEndedError: one has.
            StateUnavailableError: the storage does not answer.
        """
        with self._fence():
            self._own.stat()

    def ready_names(self) -> dict[str, ClaimId]:
        """Return which file waits for which name at the destination, casefolded, as of the last `all` or `write`."""
        return {
            intent.final.casefold(): intent.id
            for intent in self.known()
            if intent.state is DeliveryState.READY
        }

    def write(self, intents: Sequence[Intent]) -> None:
        """Write or replace these records, and make them last; those that are new share one file.

        Raises:
            OwnershipEndedError: a successor has removed this epoch's folder; the record counts for nothing.
            StateUnavailableError: not known whether it was written; the next run finds out.
        """
        if not intents:
            return
        fresh = f"{intents[0].id}.json"
        names = set()
        for intent in intents:
            name = self._file_of.setdefault(intent.id, fresh)
            self._files.setdefault(name, {})[intent.id] = intent
            names.add(name)
        for name in sorted(names):
            self._replace(name)
        for intent in intents:
            if intent.state is not DeliveryState.TAKEN:
                self.partials.drop(intent.id)
                self.sent.drop(intent.id)

    def drop(self, claims: Iterable[ClaimId]) -> None:
        """Remove the records: these deliveries are over. One that is gone is fine."""
        for claim in claims:
            name = self._file_of.pop(claim, None)
            if name is None:
                continue
            self.partials.drop(claim)
            self.sent.drop(claim)
            self._files[name].pop(claim)
            if self._files[name]:
                self._stale.add(name)
                continue
            self._files.pop(name)
            self._stale.discard(name)
            with self._fence():
                (self._own / name).unlink(missing_ok=True)

    def tidy(self) -> None:
        """Write the files anew that hold more than is under way."""
        for name in sorted(self._stale):
            self._replace(name)

    def _replace(self, name: str) -> None:
        content = format_intents(list(self._files[name].values()))
        with self._fence():
            write_file(self._own / name, content)
        self._stale.discard(name)

    def open_run(self) -> None:
        """Write down that a run has begun to take files; it lasts until `close_run`, over crashes and owners."""
        with self._fence():
            if not (self._own / _OPEN_RUN).exists():
                write_file(self._own / _OPEN_RUN, b"")

    def close_run(self) -> None:
        """Write down that the run has come to its end."""
        with self._fence():
            (self._own / _OPEN_RUN).unlink(missing_ok=True)

    def is_run_open(self) -> bool:
        """Tell whether a run of this owner, or of one that it took over from, has not come to its end."""
        with _storage():
            return (self._own / _OPEN_RUN).exists()

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


def _holds_work(folder: Path) -> bool:
    return any(path.name != FIRED for path in folder.iterdir())


def _is_record(path: Path) -> bool:
    return path.suffix == ".json" and path.name[0] != "."


def highest_epoch(state: Path) -> Epoch:
    """Return the highest epoch that records or ledger below ``state`` tell of, 0 where there is none.

    Raises:
        OSError: the storage does not answer.
    """
    names = [path.stem for folder in (_BASE, "ledger") for path in names_in(state / folder)]
    return Epoch(max((int(name) for name in names if name.isdecimal()), default=0))


def peek(state: Path) -> Fired | None:
    """Return which slot of its schedule the transfer ran last, for looking: a predecessor may still write another one.

    Raises:
        StateUnavailableError: the storage does not answer.
    """
    with _storage():
        folders = [path for path in names_in(state / _BASE) if path.name.isdecimal()]
        return find_fired(sorted(folders, key=lambda path: int(path.name), reverse=True))


def recorded(state: Path) -> set[ClaimId]:
    """Return the ids of all records below ``state``.

    Raises:
        StateUnavailableError: the storage does not answer.
        RecordUnreadableError: one of them is not a record.
    """
    ids: set[ClaimId] = set()
    with _storage():
        folders = [folder for folder in names_in(state / _BASE) if folder.is_dir()]
        for path in filter(_is_record, [path for folder in folders for path in names_in(folder)]):
            with suppress(FileNotFoundError):
                ids |= _parse(path, path.read_bytes()).keys()
    return ids


def left_records(state: Path) -> Iterator[Intent]:
    """Give the records of all epochs below ``state``, as far as they can be read; for looking, not for acting on.

    Those of what was left behind at a place that was away are among them.

    Raises:
        StateUnavailableError: the storage does not answer.
    """
    with _storage():
        folders = [folder for folder in names_in(state / _BASE) if folder.is_dir()]
        for path in [path for folder in folders for path in names_in(folder)]:
            try:
                if _is_record(path):
                    yield from parse_intents(path.read_bytes())
                elif is_left(path):
                    yield parse_left(path.read_bytes()).intent
            except (FileNotFoundError, ValueError):
                continue


def _parse(path: Path, content: bytes) -> dict[ClaimId, Intent]:
    try:
        return {each.id: each for each in parse_intents(content)}
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
