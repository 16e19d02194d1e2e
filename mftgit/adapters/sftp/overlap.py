"""Many small exchanges over SFTP sessions at once: while one waits for its answer, the others go on.

An exchange is a generator. It sends requests, yields the number of each whose answer it needs next, and goes on when
that answer is there; the answers may come in any order (draft-ietf-secsh-filexfer-02, 7).
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, Protocol, TypeVar

from mftgit.adapters.endpoint.contract import EndpointLostError
from mftgit.adapters.sftp.session import Session
from mftgit.errors import MftgitError

T = TypeVar("T")

Exchange = Generator[int, None, T]
"""A waiting number each time it is resumed; `Session.answer` waits for it where nobody else has."""

_MOST = 64  # OpenSSH's own client has as many requests on the way, and its server holds some 1,000 files open

_MANY: Final = 16
"""When so many wait in one session, others are worth what beginning them takes."""


class OnSession(Protocol):
    """What exchanges are made with."""

    @property
    def session(self) -> Session:
        """The session that they go over."""


L = TypeVar("L", bound=OnSession)


def overlap(session: Session, exchanges: Iterator[Exchange[T]]) -> list[T | MftgitError]:
    """Carry out ``exchanges``, at most 64 at a time, and return in their order how they ended.

    An error of endpoints that one raises is its end, but for `EndpointLostError`. That, and whatever else goes wrong,
    is raised, and what is on the way is given up.
    """
    return spread(_Alone(session), (partial(_given, exchange) for exchange in exchanges))


def spread(
    first: L, exchanges: Iterator[Callable[[L], Exchange[T]]], more: Callable[[], list[L]] = list
) -> list[T | MftgitError]:
    """Do as `overlap` with exchanges that are made for ``first`` or, where there are many, for what ``more`` gives.

    A server has a process for each session, and does the requests of one in turn.
    """
    return _Spread(first, exchanges, more).run()


def done(exchange: Exchange[T]) -> T:
    """Carry out one exchange alone, and return what it returns."""
    while True:
        try:
            next(exchange)
        except StopIteration as end:
            value: T = end.value
            return value


@dataclass(frozen=True, slots=True)
class _Alone:
    session: Session


def _given(exchange: Exchange[T], _: object) -> Exchange[T]:
    return exchange


class _Lane(Generic[L, T]):
    """What is under way in one session, by the number of the answer that it waits for."""

    def __init__(self, made_with: L) -> None:
        self.made_with = made_with
        self.session = made_with.session
        self.waiting: dict[int, tuple[int, Exchange[T]]] = {}


class _Spread(Generic[L, T]):
    def __init__(
        self,
        first: L,
        exchanges: Iterator[Callable[[L], Exchange[T]]],
        more: Callable[[], list[L]],
    ) -> None:
        self._fresh = enumerate(exchanges)
        self._lanes = [_Lane[L, T](first)]
        self._more: Callable[[], list[L]] | None = more
        self._ended: dict[int, T | MftgitError] = {}
        self._under_way = 0

    def run(self) -> list[T | MftgitError]:
        try:
            self._begin()
            while busy := [lane for lane in self._lanes if lane.waiting]:
                self._take_from(busy)
        except BaseException:
            self._give_up()
            raise
        return [self._ended[index] for index in sorted(self._ended)]

    def _take_from(self, busy: list[_Lane[L, T]]) -> None:
        """Take an answer of each lane that has one; where none has, wait for one of the first that is due."""
        ready = [lane for lane in busy if lane.session.is_ready()]
        if not ready:
            for lane in busy:
                lane.session.flush()
            ready = busy[:1]
        for lane in ready:
            number = lane.session.take()
            if number in lane.waiting:
                self._under_way -= 1
                self._go_on(lane, *lane.waiting.pop(number))
                self._begin()

    def _begin(self) -> None:
        while self._under_way < _MOST:
            fresh = next(self._fresh, None)
            if fresh is None:
                return
            if self._more is not None and self._under_way == _MANY:
                self._lanes[0].session.flush()
                more, self._more = self._more, None
                self._lanes += [_Lane(each) for each in more()]
            lane = min(self._lanes, key=lambda lane: len(lane.waiting))
            index, make = fresh
            self._go_on(lane, index, make(lane.made_with))

    def _go_on(self, lane: _Lane[L, T], index: int, exchange: Exchange[T]) -> None:
        """Let one exchange run until it needs an answer that is not there yet."""
        try:
            number = next(exchange)
            while lane.session.has_answer(number):
                number = next(exchange)
        except StopIteration as end:
            self._ended[index] = end.value
        except EndpointLostError:
            raise
        except MftgitError as error:
            self._ended[index] = error
        else:
            lane.waiting[number] = index, exchange
            self._under_way += 1

    def _give_up(self) -> None:
        for lane in self._lanes:
            for number, (_, exchange) in lane.waiting.items():
                lane.session.forget(number)
                with suppress(Exception):  # what a lost connection makes of its last words
                    exchange.close()
