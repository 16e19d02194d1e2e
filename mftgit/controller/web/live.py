"""Tell open pages that there is news: server-sent events (HTML, 9.2), a hint on which the page is fetched again.

One thread looks at the marks of the topics that anybody waits for, and at the sessions of who waits, once a second:
what a thousand browsers cost is a line each, and a fetch when there is news.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from loguru import logger

from mftgit.adapters.http_server.doors import Door, Request
from mftgit.controller.web.doors import Topic
from mftgit.controller.web.serve import refuse_call
from mftgit.controller.web.sessions import Sessions
from mftgit.errors import MftgitError
from mftgit.model.access import Access

LOOK_EVERY_S = 1.0
SIGN_OF_LIFE_S = 10.0
MOST = 500
MOST_OF_ONE = 20
"""So many pages are live at a time, of all operators and of one; a page beyond that is as if it were not live."""

_TRY_AGAIN_MS = 30_000


@dataclass(eq=False)
class _Waiting:
    """One open page."""

    topic: str
    operator: str
    session: str
    mark: str | None = None
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    is_over: bool = False


class Live:
    """The pages that wait for news, all on the one asyncio loop that serves them."""

    def __init__(self, topics: Sequence[Topic], sessions: Sessions) -> None:
        """Nobody waits yet."""
        self._topics: Mapping[str, Topic] = {each.name: each for each in topics}
        self._sessions = sessions
        self._waiting: set[_Waiting] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="web-live", daemon=True)

    def doors(self) -> list[Door]:
        """Return the door of each topic."""
        return [
            Door(
                method="GET",
                path=f"/live/{name}",
                access=Access.OPERATORS,
                role=topic.role,
                stream=partial(self._follow, topic=name),
                by_cookie=True,
                refuse=refuse_call,
            )
            for name, topic in self._topics.items()
        ]

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End every line."""
        self._stopping.set()
        self._on_loop(lambda: self._end(None))
        if self._thread.is_alive():
            self._thread.join()

    async def _follow(self, request: Request, topic: str) -> AsyncIterator[bytes]:
        """Give the lines of a text/event-stream until the client, the session or the server goes."""
        self._loop = asyncio.get_running_loop()
        who, session = request.principal, request.session
        if who is None or session is None or not self._has_room(who.name):
            yield b"retry: %d\n\n" % _TRY_AGAIN_MS
            return
        waiting = _Waiting(topic=topic, operator=who.name, session=session)
        self._waiting.add(waiting)
        try:
            yield b"retry: 3000\n\n"
            while not self._is_over(waiting):
                try:
                    async with asyncio.timeout(SIGN_OF_LIFE_S):
                        await waiting.woken.wait()
                except TimeoutError:
                    yield b":\n\n"
                    continue
                waiting.woken.clear()
                yield b"event: %b\ndata: \n\n" % (b"over" if self._is_over(waiting) else b"news")
        finally:
            self._waiting.discard(waiting)

    def _is_over(self, waiting: _Waiting) -> bool:
        return waiting.is_over or self._stopping.is_set()

    def _has_room(self, operator: str) -> bool:
        of_one = sum(each.operator == operator for each in self._waiting)
        return len(self._waiting) < MOST and of_one < MOST_OF_ONE

    # The thread

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            try:
                self._look()
            except MftgitError as error:
                logger.warning("no news for open pages", error=str(error))
            except Exception:  # noqa: BLE001  it must go on with the next look
                logger.opt(exception=True).error("unexpected failure while looking for news")

    def _look(self) -> None:
        waiting = tuple(self._waiting)
        sessions = {each.session for each in waiting}
        ended = {each for each in sessions if self._sessions.find(each) is None}
        if ended:
            self._on_loop(lambda: self._end(ended))
        for name in {each.topic for each in waiting}:
            try:
                mark = self._topics[name].mark()
            except MftgitError as error:  # what cannot be looked at must not silence the others
                logger.warning("no news of one kind for open pages", topic=name, error=str(error))
            else:
                self._on_loop(partial(self._tell, name, mark))

    def _on_loop(self, call: Callable[[], None]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call)

    # On the loop

    def _tell(self, topic: str, mark: str) -> None:
        """Wake whoever was told of another mark, or of none: what came between its page and its line counts too."""
        for each in self._waiting:
            if each.topic == topic and each.mark != mark:
                each.mark = mark
                each.woken.set()

    def _end(self, sessions: Collection[str] | None) -> None:
        for each in self._waiting:
            if sessions is None or each.session in sessions:
                each.is_over = True
                each.woken.set()
