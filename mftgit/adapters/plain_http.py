"""A little of HTTP/1.1 (RFC 9112) for questions that change nothing, on asyncio: one answer for each connection."""

import asyncio
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from loguru import logger

_MOST_AT_ONCE: Final = 64
_READS: Final = frozenset({b"GET", b"HEAD"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is said to one question."""

    status: HTTPStatus = HTTPStatus.OK
    body: bytes
    kind: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """What ``answer`` gives is said to who asks for one path; one that ``waits`` is called in a thread."""

    answer: Callable[[], Answer]
    waits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How long a question is at most, and how long it and its answer take."""

    head_bytes: int = 4096
    within_s: float = 5.0


class PlainHttp:
    """One listening socket, in a thread of its own.

    Of many that ask nothing, the oldest one goes: a balancer that is not answered would take the member for dead.
    """

    def __init__(
        self,
        listening: socket.socket,
        spots: Mapping[str, Spot],
        *,
        bounds: Bounds,
        name: str,
    ) -> None:
        """Answer by ``spots``, once it is started. The socket stays its owner's; ``name`` is that of the thread."""
        self._listening = listening
        self._spots = {path.encode(): spot for path, spot in spots.items()}
        self._bounds = bounds
        self._name = name
        self._loop = asyncio.new_event_loop()
        self._asking: dict[asyncio.Task[None] | None, None] = {}
        self._stopping = asyncio.Event()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"{name}-answer")
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer nothing more."""
        with suppress(RuntimeError):  # its loop has ended
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(self._bounds.within_s)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _serve(self) -> None:
        try:
            self._loop.run_until_complete(self._run())
        finally:
            self._loop.close()

    async def _run(self) -> None:
        server = await asyncio.start_server(
            self._meet, sock=self._listening.dup(), limit=self._bounds.head_bytes
        )
        await self._stopping.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if len(self._asking) >= _MOST_AT_ONCE:
            oldest = next(iter(self._asking))
            del self._asking[oldest]
            if oldest is not None:
                oldest.cancel()
        self._asking[task] = None
        try:
            async with asyncio.timeout(self._bounds.within_s):
                head = await reader.readuntil(b"\r\n\r\n")
                method, _, rest = head.split(b"\r\n", 1)[0].partition(b" ")
                answer = await self._answer(method, rest.partition(b" ")[0].partition(b"?")[0])
                writer.write(_written(answer, with_body=method != b"HEAD"))
                await writer.drain()
                writer.close()
                await writer.wait_closed()  # when all was taken
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._asking.pop(task, None)
            writer.transport.abort()  # what was not taken by now is held for nobody

    async def _answer(self, method: bytes, path: bytes) -> Answer:
        spot = self._spots.get(path)
        if spot is None:
            return said(HTTPStatus.NOT_FOUND)
        if method not in _READS:
            return said(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET, HEAD"})
        try:
            if spot.waits:
                return await self._loop.run_in_executor(self._pool, spot.answer)
            return spot.answer()
        except Exception:  # noqa: BLE001  the next question may be answered
            logger.opt(exception=True).error("a question was not answered", server=self._name)
            return said(HTTPStatus.INTERNAL_SERVER_ERROR)


def said(status: HTTPStatus, *, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer that is no more than its status."""
    return Answer(status=status, body=f"{status.phrase}\n".encode(), headers=headers or {})


def _written(answer: Answer, *, with_body: bool) -> bytes:
    lines = [
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
        f"Content-Type: {answer.kind}",
        f"Content-Length: {len(answer.body)}",
        "Cache-Control: no-store",
        "Connection: close",
        *(f"{name}: {value}" for name, value in answer.headers.items()),
    ]
    head = "".join(f"{line}\r\n" for line in (*lines, "")).encode()
    return head + (answer.body if with_body else b"")
