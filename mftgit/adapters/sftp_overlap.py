"""Many small exchanges over one SFTP session at once: while one waits for its answer, the others go on.

An exchange is a generator. It sends requests, yields the number of each whose answer it needs next, and goes on when
that answer is there; the answers may come in any order (draft-ietf-secsh-filexfer-02, 7).
"""

from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import Generic, TypeVar

from mftgit.adapters.endpoint import EndpointLostError
from mftgit.adapters.sftp_session import Session
from mftgit.errors import MftgitError

T = TypeVar("T")

Exchange = Generator[int, None, T]
"""A waiting number each time it is resumed; `Session.answer` waits for it where nobody else has."""

_MOST = 64  # OpenSSH's own client has as many requests on the way, and its server holds some 1,000 files open


def overlap(
    session: Session,
    exchanges: Iterator[Exchange[T]],
) -> list[T | MftgitError]:
    """Carry out ``exchanges``, at most 64 at a time, and return in their order how they ended.

    An error of endpoints that one raises is its end, but for `EndpointLostError`. That, and whatever else goes wrong,
    is raised, and what is on the way is given up.
    """
    return _Overlap(session, exchanges).run()


def done(exchange: Exchange[T]) -> T:
    """Carry out one exchange alone, and return what it returns."""
    while True:
        try:
            next(exchange)
        except StopIteration as end:
            value: T = end.value
            return value


class _Overlap(Generic[T]):
    def __init__(self, session: Session, exchanges: Iterator[Exchange[T]]) -> None:
        self._session = session
        self._fresh = enumerate(exchanges)
        self._waiting: dict[int, tuple[int, Exchange[T]]] = {}
        self._ended: dict[int, T | MftgitError] = {}

    def run(self) -> list[T | MftgitError]:
        try:
            self._begin()
            while self._waiting:
                number = self._session.take()
                if number in self._waiting:
                    self._go_on(*self._waiting.pop(number))
                    self._begin()
        except BaseException:
            for number, (_, exchange) in self._waiting.items():
                self._session.forget(number)
                with suppress(Exception):  # what a lost connection makes of its last words
                    exchange.close()
            raise
        return [self._ended[index] for index in sorted(self._ended)]

    def _begin(self) -> None:
        while len(self._waiting) < _MOST:
            fresh = next(self._fresh, None)
            if fresh is None:
                return
            self._go_on(*fresh)

    def _go_on(self, index: int, exchange: Exchange[T]) -> None:
        """Let one exchange run until it needs an answer that is not there yet."""
        try:
            number = next(exchange)
            while self._session.has_answer(number):
                number = next(exchange)
        except StopIteration as end:
            self._ended[index] = end.value
        except EndpointLostError:
            raise
        except MftgitError as error:
            self._ended[index] = error
        else:
            self._waiting[number] = index, exchange
