"""uvicorn's HTTP/1.1 over httptools, with the bounds that these leave to others.

What a client sends besides bodies is bounded: heads, and the sizes, extensions and trailers of chunks (RFC 9112, 7.1),
which may not be much more than what they carry. A request without exactly one Host, or with a transfer coding that is
not known here, is refused (RFC 9112, 3.2 and 6.1), and trailers are passed over, which uvicorn would take for headers.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from mftgit.adapters.http_server.connections import Connections

MAX_AROUND_BYTES: Final = 64 << 10
"""How much of a request may be something else than its body: its head, and what frames a body in chunks."""

_WRITE_BUFFER_BYTES: Final = 32 << 10
"""So much of an answer that is not read is kept here; asyncio's own size for TLS is 512 KiB."""


def protocol_of(room: Connections) -> type[HttpToolsProtocol]:
    """Return the protocol that tells ``room`` when a connection is secured, busy, unread and idle."""

    class Protocol(_Protocol):
        pass

    Protocol.room = room
    return Protocol


class _Protocol(HttpToolsProtocol):
    room: Connections
    _around_bytes = 0
    _in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        self.room.secured(transport.get_extra_info("peername"), transport)

    def data_received(self, data: bytes) -> None:
        self._around_bytes += len(data)
        super().data_received(data)
        if self._around_bytes > MAX_AROUND_BYTES and not self.transport.is_closing():
            self.send_400_response(
                f"more than {MAX_AROUND_BYTES} bytes of a request are not its body"
            )
        self._tell()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if not _is_clear(self.headers, self.parser.get_http_version()):
            raise ValueError("the parser takes it from here, and refuses the request")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        # A byte that is carried pays for itself and for another one.
        self._around_bytes = max(0, self._around_bytes - 2 * len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._around_bytes = 0
        self._in_head = True
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.room.mark_unread(self.transport.get_extra_info("peername"), unread=True)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.room.mark_unread(self.transport.get_extra_info("peername"), unread=False)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._tell()

    def _tell(self) -> None:
        cycle: RequestResponseCycle | None = self.cycle
        busy = cycle is not None and not cycle.response_complete
        self.room.mark(self.transport.get_extra_info("peername"), busy=busy)


def _is_clear(headers: Iterable[tuple[bytes, bytes]], version: str) -> bool:
    hosts = sum(name == b"host" for name, _ in headers)
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    return (hosts == 1 or (hosts == 0 and version == "1.0")) and codings in ([], [b"chunked"])
