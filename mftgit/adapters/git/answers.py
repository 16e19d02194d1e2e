"""Keep answers to fetches for others who ask the same, and let one work an answer out while the others wait.

When main moves, every member that was up to date sends the same bytes. What decides an answer is the question and
the refs, so both are the key: nothing has to be taken back when a ref moves.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from io import SEEK_END, BytesIO
from typing import BinaryIO

MAX_BYTES = 64 << 20
MAX_ENTRIES = 1024


@dataclass(slots=True, kw_only=True)
class _Flight:
    """An answer, being worked out or ``over``; ``content`` stays None where that failed or cannot be shared."""

    over: threading.Event = field(default_factory=threading.Event)
    content: bytes | None = None


class Answers:
    """The last answers, those that were asked for last kept for the longest; any thread may ask."""

    def __init__(self, *, max_bytes: int = MAX_BYTES, max_entries: int = MAX_ENTRIES) -> None:
        """Keep at most so much; an answer of more than half of it is not kept."""
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._flights: dict[bytes, _Flight] = {}
        self.size_bytes = 0
        self.computed = 0

    def __len__(self) -> int:
        """Return how many answers are kept."""
        return len(self._kept)

    def get(self, state: bytes, question: bytes, compute: Callable[[], BinaryIO]) -> BinaryIO:
        """Return the answer to ``question`` under ``state``, at its start; the caller closes it.

        Where ``compute`` raises, that goes to one caller; of those who wait each tries for itself.
        """
        key = _key(state, question)
        while True:
            flight, leads = self._board(key)
            if leads:
                return self._compute(flight, key, compute)
            flight.over.wait()
            if flight.content is not None:
                return BytesIO(flight.content)

    def kept(self, state: bytes, question: bytes) -> bytes | None:
        """Return an answer that was given before; nothing is worked out, and nobody is waited for."""
        with self._lock:
            return self._kept_of(_key(state, question))

    def _board(self, key: bytes) -> tuple[_Flight, bool]:
        """Return the answer as far as it is, and whether the caller has to work it out."""
        with self._lock:
            content = self._kept_of(key)
            if content is not None:
                kept = _Flight(content=content)
                kept.over.set()
                return kept, False
            leads = key not in self._flights
            return self._flights.setdefault(key, _Flight()), leads

    def _kept_of(self, key: bytes) -> bytes | None:
        content = self._kept.get(key)
        if content is not None:
            self._kept.move_to_end(key)
        return content

    def _compute(self, flight: _Flight, key: bytes, compute: Callable[[], BinaryIO]) -> BinaryIO:
        try:
            out = compute()
            size_bytes = out.seek(0, SEEK_END)
            out.seek(0)
            if size_bytes > self._max_bytes // 2:
                return out
            with out:
                flight.content = out.read()
            return BytesIO(flight.content)
        finally:
            with self._lock:
                self.computed += 1
                del self._flights[key]
                if flight.content is not None:
                    self._keep(key, flight.content)
            flight.over.set()

    def _keep(self, key: bytes, content: bytes) -> None:
        self._kept[key] = content
        self.size_bytes += len(content)
        while self.size_bytes > self._max_bytes or len(self._kept) > self._max_entries:
            _, dropped = self._kept.popitem(last=False)
            self.size_bytes -= len(dropped)


def _key(state: bytes, question: bytes) -> bytes:
    return hashlib.sha256(b"%d %b%b" % (len(state), state, question)).digest()
