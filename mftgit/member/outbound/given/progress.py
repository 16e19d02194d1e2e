"""Which files are on their way just now, and how far they are. For any thread.

Who moves bytes says so::

    with context.progress.begin(transfer, path, side=Side.DESTINATION, size_bytes=size) as way:
        endpoint.write(temporary, chunks, on_chunk=way.advance)
"""

from dataclasses import dataclass
from itertools import count
from threading import Lock
from typing import Self

from mftgit.adapters.clock import Clock
from mftgit.model.names import TransferName
from mftgit.model.transfers.rates import Sample, add_sample, bytes_per_s, remaining_s
from mftgit.model.transfers.under_way import MAX_TOLD, Side, UnderWay


@dataclass(slots=True, kw_only=True)
class _Delivery:
    """``started`` is `Clock.boottime`, as are the times of the samples."""

    transfer: TransferName
    path: str
    side: Side
    size_bytes: int
    started: float
    samples: tuple[Sample, ...]


class Way:
    """One file under way, for who moves it; it ends with the block of ``with``, or by `end`."""

    def __init__(self, progress: "Progress", number: int) -> None:
        self._progress = progress
        self._number = number

    def advance(self, done_bytes: int) -> None:
        """Say that ``done_bytes`` are done since the beginning; fewer than before where it was begun anew."""
        self._progress.advance(self._number, done_bytes)

    def end(self) -> None:
        """Say that it is over, however it went; a second call does nothing."""
        self._progress.end(self._number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


class Progress:
    """All files under way of one member. What ends is forgotten, so that it holds no more than runs are at."""

    def __init__(self, *, clock: Clock) -> None:
        """Nothing is under way."""
        self._clock = clock
        self._lock = Lock()
        self._numbers = count(1)
        self._deliveries: dict[int, _Delivery] = {}

    def begin(self, transfer: TransferName, path: str, *, side: Side, size_bytes: int) -> Way:
        """Say that a file of ``size_bytes`` is on its way from now on."""
        now = self._clock.boottime()
        made = _Delivery(
            transfer=transfer,
            path=path,
            side=side,
            size_bytes=size_bytes,
            started=now,
            samples=(Sample(at=now, done_bytes=0),),
        )
        with self._lock:
            number = next(self._numbers)
            self._deliveries[number] = made
        return Way(self, number)

    def advance(self, number: int, done_bytes: int) -> None:
        """See `Way.advance`; of one that has ended, nothing is taken note of."""
        fresh = Sample(at=self._clock.boottime(), done_bytes=done_bytes)
        with self._lock:
            delivery = self._deliveries.get(number)
            if delivery is not None:
                delivery.samples = add_sample(delivery.samples, fresh)

    def end(self, number: int) -> None:
        """See `Way.end`."""
        with self._lock:
            self._deliveries.pop(number, None)

    def under_way(self, transfer: TransferName) -> tuple[UnderWay, ...]:
        """Return the files of ``transfer`` that are under way, those first that have been so for the longest."""
        return self.all_under_way().get(transfer, ())

    def all_under_way(self) -> dict[TransferName, tuple[UnderWay, ...]]:
        """Return the same of each transfer that has any."""
        now = self._clock.boottime()
        found: dict[TransferName, tuple[UnderWay, ...]] = {}
        with self._lock:
            for each in self._deliveries.values():
                told = found.get(each.transfer, ())
                if len(told) < MAX_TOLD:
                    found[each.transfer] = (*told, _tell(each, now))
        return found


def _tell(delivery: _Delivery, now: float) -> UnderWay:
    done_bytes = delivery.samples[-1].done_bytes
    rate = bytes_per_s(delivery.samples, now)
    return UnderWay(
        path=delivery.path,
        side=delivery.side,
        size_bytes=delivery.size_bytes,
        done_bytes=done_bytes,
        elapsed_s=max(0.0, now - delivery.started),
        bytes_per_s=rate,
        remaining_s=remaining_s(delivery.size_bytes, done_bytes, rate),
    )
