"""Answers a load balancer that asks whether clients are welcome: a little of HTTP/1.1 (RFC 9112), on asyncio."""

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

_MOST_BYTES: Final = 4096
_WITHIN_S: Final = 5.0
_MOST_AT_ONCE: Final = 64
_STATUS: Final = {
    200: "OK",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}


class HealthServer:
    """One listening socket, in a thread of its own; each connection has one answer, within 5 s.

    Of many that ask nothing, the oldest one goes: a balancer that is not answered would take the member for dead.
    """

    def __init__(self, listening: socket.socket, ready: Callable[[], bool]) -> None:
        """``ready`` says whether new clients are welcome; it must not wait. The socket stays its owner's."""
        self._listening = listening
        self._ready = ready
        self._loop = asyncio.new_event_loop()
        self._asking: dict[asyncio.Task[None] | None, None] = {}
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name="health", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer nothing more."""
        with suppress(RuntimeError):  # its loop has ended
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(_WITHIN_S)

    def _serve(self) -> None:
        try:
            self._loop.run_until_complete(self._run())
        finally:
            self._loop.close()

    async def _run(self) -> None:
        server = await asyncio.start_server(
            self._meet, sock=self._listening.dup(), limit=_MOST_BYTES
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
            async with asyncio.timeout(_WITHIN_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head.split(b"\r\n", 1)[0]))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._asking.pop(task, None)
            writer.close()

    def _answer(self, request_line: bytes) -> bytes:
        method, _, rest = request_line.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if path not in {b"/readyz", b"/healthz"}:
            status = 404
        elif method not in {b"GET", b"HEAD"}:
            status = 405
        else:
            status = 200 if path == b"/healthz" or self._ready() else 503
        body = f"{_STATUS[status]}\n".encode()
        head = (
            f"HTTP/1.1 {status} {_STATUS[status]}\r\nContent-Type: text/plain\r\n"
            f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + (b"" if method == b"HEAD" else body)
