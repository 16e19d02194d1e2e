"""Tell waiting members that the head has moved: server-sent events, a hint and never the truth."""

import asyncio
from collections.abc import AsyncIterator

from mftgit.model.access import Principal

SIGN_OF_LIFE_S = 10.0
"""How often a waiting member is sent a comment, so that both sides notice a dead line.

It says nothing of the member's life, whose signs are its own requests.
"""


class Notifier:
    """Wakes every subscriber of the one asyncio loop that serves them."""

    def __init__(self) -> None:
        """Nobody waits yet."""
        self._waiting: set[asyncio.Event] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def notify(self) -> None:
        """Wake all subscribers; callable from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def close(self) -> None:
        """End every subscription."""
        self._closed = True
        self.notify()

    async def subscribe(self, principal: Principal) -> AsyncIterator[bytes]:
        """Give the lines of a text/event-stream until the client or the server goes."""
        del principal  # all are told the same
        self._loop = asyncio.get_running_loop()
        moved = asyncio.Event()
        self._waiting.add(moved)
        try:
            yield b"retry: 1000\n\n"
            while not self._closed:
                try:
                    async with asyncio.timeout(SIGN_OF_LIFE_S):
                        await moved.wait()
                except TimeoutError:
                    yield b":\n\n"
                    continue
                moved.clear()
                yield b"event: head\ndata: moved\n\n"
        finally:
            self._waiting.discard(moved)

    def _wake(self) -> None:
        for moved in self._waiting:
            moved.set()
