"""Many small exchanges over one SMB session at once: while one waits for its answer, the others go on.

An exchange is a generator. It yields messages about one file, which go in one packet, and is given their answers; a
status that is no success is raised in it.
"""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar

from mftgit.adapters.endpoint.contract import EndpointLostError
from mftgit.adapters.smb.share import TROUBLE, Share
from mftgit.errors import MftgitError

T = TypeVar("T")

Exchange = Generator[Sequence[Any], list[bytes], T]

_MOST: Final = 16
_CREDITS: Final = (
    12  # that are left when one more is begun: for its own packet, and for what else is asked
)


def done(share: Share, exchange: Exchange[T]) -> T:
    """Carry out one exchange alone, and return what it returns."""
    (ended,) = overlap(share, iter((exchange,)))
    if isinstance(ended, MftgitError):
        raise ended
    return ended


def overlap(share: Share, exchanges: Iterator[Exchange[T]]) -> list[T | MftgitError]:
    """Carry out ``exchanges``, at most 16 at a time, and return in their order how they ended.

    An error of endpoints that one raises is its end, but for `EndpointLostError`, which is raised. What the iterator
    raises is raised when what was begun has ended.
    """
    return _Overlap(share, exchanges).run()


class _Overlap(Generic[T]):
    def __init__(self, share: Share, exchanges: Iterator[Exchange[T]]) -> None:
        self._share = share
        self._exchanges = exchanges
        self._waiting: deque[tuple[int, Exchange[T], list[Any]]] = deque()
        self._ended: dict[int, T | MftgitError] = {}

    def run(self) -> list[T | MftgitError]:
        try:
            for index, exchange in enumerate(self._exchanges):
                while not self._has_room():
                    self._settle()
                self._resume(index, exchange, None)
            while self._waiting:
                self._settle()
        except BaseException:
            with suppress(EndpointLostError):
                while self._waiting:
                    self._settle()
            raise
        return [self._ended[index] for index in sorted(self._ended)]

    def _has_room(self) -> bool:
        return not self._waiting or (
            len(self._waiting) < _MOST and self._share.credits_left >= _CREDITS
        )

    def _settle(self) -> None:
        """Wait for the answers of the one that was sent first, and let it go on."""
        self._resume(*self._waiting.popleft())

    def _resume(self, index: int, exchange: Exchange[T], sent: list[Any] | None) -> None:
        try:
            messages = next(exchange) if sent is None else self._go_on(exchange, sent)
            self._waiting.append((index, exchange, self._send(exchange, messages)))
        except StopIteration as end:
            self._ended[index] = end.value
        except EndpointLostError:
            raise
        except MftgitError as error:
            self._ended[index] = error

    def _send(self, exchange: Exchange[T], messages: Sequence[Any]) -> list[Any]:
        try:
            return self._share.send_together(messages)
        except TROUBLE as error:
            exchange.throw(error)  # which tells of the loss
            raise

    def _go_on(self, exchange: Exchange[T], sent: list[Any]) -> Sequence[Any]:
        try:
            answers = self._share.answers(sent)
        except TROUBLE as error:
            return exchange.throw(error)
        return exchange.send(answers)
