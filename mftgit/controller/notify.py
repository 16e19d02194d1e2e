"""Tell waiting members that the head has moved: server-sent events, a hint and never the truth."""

import asyncio
from collections.abc import AsyncIterator, Collection

from mftgit.model.access import Kind, Principal

SIGN_OF_LIFE_S = 10.0
"""How often a waiting member is sent a comment, so that both sides notice a dead line.

It says nothing of the member's life, whose signs are its own requests.
"""


class Notifier:
    """Wakes every subscriber of the one asyncio loop that serves them."""

    def __init__(self) -> None:
        """Nobody waits yet."""
        self._waiting: dict[asyncio.Event, Principal] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def notify(self, members: Collection[str] | None = None) -> None:
        """Wake the subscribers that are among ``members``, without these all; callable from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, members)

    def close(self) -> None:
        """End every subscription."""
        self._closed = True
        self.notify()

    async def subscribe(self, principal: Principal) -> AsyncIterator[bytes]:
        """Give the lines of a text/event-stream until the client or the server goes."""
        self._loop = asyncio.get_running_loop()
        moved = asyncio.Event()
        self._waiting[moved] = principal
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
            del self._waiting[moved]

    def _wake(self, members: Collection[str] | None) -> None:
        for moved, who in self._waiting.items():
            if members is None or (who.kind is Kind.MEMBER and who.name in members):
                moved.set()
