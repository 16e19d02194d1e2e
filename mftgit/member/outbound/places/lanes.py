"""Do things to many files by several connections to one place, which take the next one as they are free."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from threading import Event, Lock
from typing import Self, TypeVar

from mftgit.adapters.endpoint.contract import EndpointLostError
from mftgit.member.outbound.ownership.own import OwnershipEndedError

A = TypeVar("A")
L = TypeVar("L")
T = TypeVar("T")


class HaltedError(EndpointLostError):
    """What this lane was at was given up, because of an error that another lane raises."""


def spread(
    first: L,
    more: Callable[[], Sequence[L]],
    call: Callable[[L, Iterator[A]], list[T]],
    items: Iterable[A],
) -> list[T]:
    """Return what ``call`` made of ``items`` by ``first`` and ``more`` side by side, in the order of the items.

    ``call`` takes one item after the other from what it is given, and returns what became of each that it took.
    ``more`` is asked for only where there is more than one item. What one call or ``items`` raise ends the others at
    their next item, and is raised.
    """
    left = iter(items)
    head = list(islice(left, 2))
    lanes = [first, *(more() if len(head) > 1 else ())]
    whole = chain(head, left)
    if len(lanes) == 1:
        return call(first, whole)
    shared = Shared(whole)

    def work(lane: L) -> list[tuple[int, T]]:
        taken: list[int] = []
        with shared:
            ended = call(lane, shared.take(taken))
        return list(zip(taken, ended, strict=True))

    found = [each for some in side_by_side(lanes, work) for each in some]
    return [ended for _, ended in sorted(found, key=lambda each: each[0])]


def side_by_side(lanes: Sequence[L], work: Callable[[L], T]) -> list[T]:
    """Return what ``work`` made with each of ``lanes``, in a thread for each; raises once all of them have ended.

    That an ownership has ended is raised before anything else, and what halted the others before that they were.
    """
    with ThreadPoolExecutor(len(lanes), "lane") as pool:
        futures = [pool.submit(work, lane) for lane in lanes]
    errors = [error for future in futures if (error := future.exception()) is not None]
    for error in sorted(errors, key=_rank):
        raise error
    return [future.result() for future in futures]


def _rank(error: BaseException) -> int:
    return 0 if isinstance(error, OwnershipEndedError) else 1 + isinstance(error, HaltedError)


class Shared(Iterator[tuple[int, A]]):
    """Items for several threads, each with its place; no more of them once a thread has failed within its ``with``."""

    def __init__(self, items: Iterable[A]) -> None:
        self._items = enumerate(items)
        self._lock = Lock()
        self._ended = Event()

    def __next__(self) -> tuple[int, A]:
        with self._lock:
            if self._ended.is_set():
                raise StopIteration
            return next(self._items)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._ended.set()

    @property
    def ended(self) -> bool:
        """Whether a thread has failed."""
        return self._ended.is_set()

    def take(self, taken: list[int]) -> Iterator[A]:
        """Give items, and note the places of those that were given."""
        for at, item in self:
            taken.append(at)
            yield item
