"""Lots of files that are under way together: while one waits for a partner or a disk, another one goes on.

What a run has in memory is for one thread at a time, the one that has the turn. A lot lets go of it while an endpoint
works for it, and where it waits for an earlier lot: no file overtakes an older one of its name, and lots are published
in the order in which they were taken. Nobody waits for a later lot.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, groupby, islice
from threading import Condition, local
from typing import Final, Protocol, TypeVar

from mftgit.member.outbound.places.lanes import side_by_side

AT_ONCE: Final = 2
"""So many lots are under way: one is sent while another is claimed and read, or dealt with at its source."""


class Lot(Protocol):
    """Some files that are delivered together."""

    @property
    def is_alone(self) -> bool:
        """Whether no other lot may be under way with it."""


L = TypeVar("L", bound=Lot)


@dataclass(slots=True)
class _UnderWay:
    """A lot: under which ``names`` its files arrive, once that is known, and whether it was ``published``."""

    names: frozenset[str] | None = None
    published: bool = False


class Turns:
    """The threads of one run. Where a run has but one, as at its beginning, nothing here waits."""

    def __init__(self) -> None:
        self._turn = Condition()
        self._here = local()
        self._under_way: dict[int, _UnderWay] = {}  # by the order in which they were taken
        self._count = 0
        self._is_taking = self._has_ended = False

    def carry_out(self, lots: Iterator[L], work: Callable[[L], None], *, at_once: int) -> None:
        """Do ``work`` with each of ``lots``, up to ``at_once`` at a time; raises once all that were begun have ended.

        After an error no further one is begun.
        """
        for is_alone, some in groupby(lots, key=lambda lot: lot.is_alone):
            self._carry_out(some, work, at_once=1 if is_alone else at_once)

    def _carry_out(self, lots: Iterator[L], work: Callable[[L], None], *, at_once: int) -> None:
        head = list(islice(lots, min(at_once, 2)))
        whole = chain(head, lots)
        if len(head) > 1:
            self._has_ended = False
            side_by_side(range(at_once), lambda _: self._work_through(whole, work))
        for lot in whole:  # one that has no other beside it, in this thread
            work(lot)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Let another lot go on in the body, which uses nothing that the run has in memory."""
        if not getattr(self._here, "has_turn", False):
            yield
            return
        self._here.has_turn = False
        self._turn.release()
        try:
            yield
        finally:
            self._turn.acquire()
            self._here.has_turn = True

    def hold(self, names: Collection[str]) -> None:
        """Tell the names of this lot's files; wait until no earlier lot has one of them."""
        mine = self._mine()
        if mine is not None:
            self._under_way[mine].names = held = frozenset(names)
            self._turn.notify_all()
            self._wait_for_earlier(mine, lambda lot: lot.names is None or lot.names & held)

    @contextmanager
    def in_order(self) -> Iterator[None]:
        """Wait until every earlier lot is published or has ended; this one is when the body ends."""
        mine = self._mine()
        if mine is None:
            yield
            return
        self._wait_for_earlier(mine, lambda lot: not lot.published)
        try:
            yield
        finally:
            self._under_way[mine].published = True
            self._turn.notify_all()

    def _mine(self) -> int | None:
        number: int | None = getattr(self._here, "number", None)
        return number

    def _wait_for_earlier(self, mine: int, is_waited_for: Callable[[_UnderWay], object]) -> None:
        self._turn.wait_for(
            lambda: (
                not any(
                    number < mine and is_waited_for(lot) for number, lot in self._under_way.items()
                )
            )
        )

    def _work_through(self, lots: Iterator[L], work: Callable[[L], None]) -> None:
        with self._turn:
            self._here.has_turn = True
            try:
                while (lot := self._take(lots)) is not None:
                    work(lot)
                    self._over()
            except BaseException:
                self._has_ended = True
                raise
            finally:
                self._here.has_turn = False
                self._over()

    def _take(self, lots: Iterator[L]) -> L | None:
        """Return the next lot; None where there is none any more."""
        self._turn.wait_for(lambda: not self._is_taking)
        if self._has_ended:
            return None
        self._is_taking = True
        try:
            lot = next(lots, None)
        finally:
            self._is_taking = False
            self._turn.notify_all()
        if lot is None:
            self._has_ended = True
            return None
        self._count += 1
        self._here.number = self._count
        self._under_way[self._count] = _UnderWay()
        return lot

    def _over(self) -> None:
        """Take note that this thread's lot has ended, where it has one."""
        mine = self._mine()
        if mine is not None:
            del self._under_way[mine]
            self._here.number = None
        self._turn.notify_all()
