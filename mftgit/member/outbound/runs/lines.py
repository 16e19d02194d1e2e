"""The transfers that one member has, by the key of their leases: which there are, what they go by, which are to end."""

import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from mftgit.member.outbound.ownership.own import Ownership
from mftgit.member.outbound.records.leftover import key_of, keys_of
from mftgit.member.outbound.runs.line import Basis, Line, fresh_memory
from mftgit.model.configuration.config import Transfer
from mftgit.model.names import MemberName, TransferName
from mftgit.model.transfers.failover import Health
from mftgit.model.transfers.firing import schedule_of


class Lines(Mapping[TransferName, Line]):
    """They, with what all of them share; `lock` guards it all.

    ``transfers`` is the folder of their states on the members' storage. ``gone(key)`` is told of each that is no longer
    here, and is not to take the lock.
    """

    def __init__(
        self, *, member: MemberName, transfers: Path, gone: Callable[[TransferName], None]
    ) -> None:
        self._me = member
        self._transfers = transfers
        self._gone = gone
        self._lines: dict[TransferName, Line] = {}
        self.lock = threading.Lock()
        self.basis: Basis | None = (
            None  # what new ones go by; None while nothing is to be done here
        )
        self.stopping = False  # nothing begins any more
        self.owned: dict[TransferName, Ownership] = {}  # may outlive its line for a moment

    def __getitem__(self, key: TransferName) -> Line:
        return self._lines[key]

    def __iter__(self) -> Iterator[TransferName]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    def key(self, transfer: Transfer) -> TransferName:
        """Return what ``transfer`` is owned under here."""
        return key_of(transfer.name, transfer.ownership, self._me)

    def idle(self) -> list[TransferName]:
        """Return those of which no run goes on; the lock is held."""
        return [line.key for line in self._lines.values() if not line.running]

    def put(self, transfer: Transfer, basis: Basis, since: datetime | None) -> None:
        """Have a line for ``transfer`` as it is now.

        ``since`` is when its schedule begins, where that is new here; see `Firings`.
        """
        key = self.key(transfer)
        with self.lock:
            line = self._lines.get(key)
            if line is None:
                self.add(transfer.name, transfer, key=key, basis=basis)
                self._lines[key].firings.since = since
                return
            if not line.wanted or schedule_of(line.trigger) != schedule_of(transfer.trigger):
                line.firings.since = since
            line.transfer, line.wanted, line.name = transfer, True, transfer.name
            line.memory = fresh_memory(transfer, line.state)
            if line.is_ours:
                line.memory.forget_failures()  # what failed may be mended now
            line.health = Health()
            if line.stopping.is_set():
                line.stopping = threading.Event()

    def add(
        self, name: TransferName, transfer: Transfer | None, *, key: TransferName, basis: Basis
    ) -> None:
        """Add a line; the lock is held."""
        line = Line(name, transfer, key=key, state=self._transfers / key, basis=basis)
        line.ownership = self.owned.get(key)
        self._lines[key] = line

    def go_by(self, basis: Basis) -> None:
        """Have all of them go by ``basis`` from their next run on, also in what no plan goes by."""
        with self.lock:
            for line in self._lines.values():
                line.basis = basis
                if line.transfer is not None and line.wanted:
                    line.transfer = basis.generation.transfers.get(line.name, line.transfer)

    def unwant(self, name: TransferName, *, but: TransferName | None = None) -> list[TransferName]:
        """Stop every line of the transfer ``name``, except under the key ``but``; return which those are."""
        with self.lock:
            known = keys_of(name, self._me)
            keys = [key for key in known if key != but and key in self._lines]
            for key in keys:
                self.stop(self._lines[key])
        return keys

    def stop(self, line: Line) -> None:
        """Let its run come to an end and the line go; the lock is held."""
        line.wanted = False
        line.stopping.set()
        if not line.running:
            self.forget(line)

    def forget(self, line: Line) -> None:
        """Let go of a line of which no run goes on; the lock is held."""
        if self._lines.get(line.key) is line:
            self._lines.pop(line.key)
        self._gone(line.key)
