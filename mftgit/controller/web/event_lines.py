"""Events as they come: live, as server-sent events (HTML, 9.2), and all that a search finds, as JSON lines.

Each client has one page of events at a time in memory, which a thread has read: a slow client makes its own line slow.
It goes on after the position that it names, so that an end costs nothing.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

from mftgit.adapters.clock import Clock
from mftgit.adapters.events.search import Searched
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.http_server.doors import NotServedError
from mftgit.adapters.registry.registry import Registry
from mftgit.controller.web.doors import Asked
from mftgit.controller.web.event_told import query_of, tell, whole_number
from mftgit.controller.web.sessions import Sessions
from mftgit.model.events.event import Event
from mftgit.model.events.query import EventQuery
from mftgit.model.printable import json_line

MOST: Final = 100
MOST_OF_ONE: Final = 10
"""So many clients are live at a time, of all operators and of one; one more is to try again later."""

MOST_EXPORTS: Final = 4

_LOOK_EVERY_S = 1.0
_SIGN_OF_LIFE_S = 10.0
_LONGEST_S = 3600.0
_TRY_AGAIN_MS = 30_000
_PAGE = 200
_WITHIN_S = 1.0
_AT_ONCE = 4


class EventLines:
    """Those who follow events, and those who export them."""

    def __init__(
        self, events: EventStore, sessions: Sessions, registry: Registry, clock: Clock
    ) -> None:
        """Nobody does yet."""
        self._registry = registry
        self._events = events
        self._sessions = sessions
        self._clock = clock
        self._following = Counter[str]()
        self._exports = 0
        self._reading = asyncio.Semaphore(_AT_ONCE)
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End all lines, each at its next look."""
        self._stopping.set()

    # Live

    def follow(self, asked: Asked) -> AsyncIterator[bytes]:
        """Give the events that are written from now on, or after the position that the client had come to."""
        query = query_of(asked, now=self._clock.now(), also=("after",))
        named = asked.headers.get("last-event-id") or asked.asked("after")
        after = whole_number(named, "after") if named else None
        return self._follow(asked, query, after)

    async def _follow(
        self, asked: Asked, query: EventQuery, after: int | None
    ) -> AsyncIterator[bytes]:
        name = asked.who.name
        if self._following.total() >= MOST or self._following[name] >= MOST_OF_ONE:
            yield b"retry: %d\n\n" % _TRY_AGAIN_MS
            return
        self._following[name] += 1
        try:
            last = self._events.keeping.last_position
            position = await asyncio.to_thread(last) if after is None else after
            yield b"retry: 3000\n\n"
            async for piece in self._pieces(asked, query, position):
                yield piece
        finally:
            self._following[name] -= 1

    async def _pieces(self, asked: Asked, query: EventQuery, position: int) -> AsyncIterator[bytes]:
        began = looked = time.monotonic()
        while not self._stopping.is_set():
            page = await self._read(query, position, None)
            for place, event in page.found:
                data = json_line(tell(place, event)).encode()
                yield b"id: %d\nevent: event\ndata: %b\n\n" % (place, data)
            position, now = page.reached, time.monotonic()
            if now - looked >= _SIGN_OF_LIFE_S:  # however much there is to tell
                looked = now
                yield b"id: %d\n\n" % position
                if now - began >= _LONGEST_S or not await asyncio.to_thread(self._may, asked):
                    yield b"event: over\ndata: \n\n"
                    return
            if page.is_whole:
                await asyncio.sleep(_LOOK_EVERY_S)

    def _may(self, asked: Asked) -> bool:
        """Tell whether who follows may still; a program shows its password anew once an hour."""
        if asked.session is not None:
            return self._sessions.find(asked.session) is not None
        return self._registry.credential(asked.who.name) is not None

    # Exports

    def export(self, asked: Asked) -> AsyncIterator[bytes]:
        """Give all events that are asked for and are here now, oldest first, each as a line of JSON."""
        query = query_of(asked, now=self._clock.now())
        if self._exports >= MOST_EXPORTS:
            raise NotServedError(503, f"{MOST_EXPORTS} exports are under way: ask again later")
        return self._export(query)

    async def _export(self, query: EventQuery) -> AsyncIterator[bytes]:
        self._exports += 1
        try:
            position, last = 0, await asyncio.to_thread(self._events.keeping.last_position)
            is_whole = False
            while not is_whole and not self._stopping.is_set():
                page = await self._read(query, position, last)
                position, is_whole = page.reached, page.is_whole
                if page.found:
                    yield b"".join(_line(event) for _, event in page.found)
        finally:
            self._exports -= 1

    # Both

    async def _read(self, query: EventQuery, after: int, last: int | None) -> Searched:
        async with self._reading:
            return await asyncio.to_thread(self._page, query, after, last)

    def _page(self, query: EventQuery, after: int, last: int | None) -> Searched:
        last = self._events.keeping.last_position() if last is None else last
        page = self._events.look(
            query, after=after, before=last + 1, limit=_PAGE, within_s=_WITHIN_S
        )
        return replace(page, reached=last) if page.is_whole else page


def _line(event: Event) -> bytes:
    return json_line(event.as_json()).encode() + b"\n"
