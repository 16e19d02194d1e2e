"""One POST of HTTP/1.1 (RFC 9112) by h11: one answer, of which little is read, within one step of its connection."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult

import h11

from mftgit import __version__
from mftgit.adapters.handlers.dialled import Dialled
from mftgit.adapters.handlers.target import TargetError

MAX_ANSWER_BYTES: Final = 65_536
_MAX_HEAD_BYTES: Final = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """What was answered; ``keeps`` tells that the connection can be used again."""

    status: int
    content: bytes
    keeps: bool


def target_of(url: SplitResult) -> str:
    """Return what a request for ``url`` names."""
    return f"{url.path or '/'}{f'?{url.query}' if url.query else ''}"


def post(line: Dialled, url: SplitResult, *, headers: Mapping[str, str], body: bytes) -> Posted:
    """Send ``body`` to ``url`` by ``line``, and return the answer.

    Raises:
        TargetError: there is none in time, or it is none of HTTP.
    """
    line.within()
    wire = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
    try:
        _ask(line, wire, url, headers, body)
        return _hear(line, wire)
    except (h11.ProtocolError, UnicodeError) as error:
        raise TargetError(f"{line.address} does not answer as HTTP does: {error}") from error


def _ask(
    line: Dialled, wire: h11.Connection, url: SplitResult, headers: Mapping[str, str], body: bytes
) -> None:
    request = h11.Request(
        method="POST",
        target=target_of(url),
        headers=[
            ("Host", url.netloc.rpartition("@")[2]),
            ("User-Agent", f"mftgit/{__version__}"),
            ("Content-Length", str(len(body))),
            *headers.items(),
        ],
    )
    parts = (request, h11.Data(data=body), h11.EndOfMessage())
    line.send(b"".join(wire.send(part) or b"" for part in parts))


def _hear(line: Dialled, wire: h11.Connection) -> Posted:
    """Return an answer, or its beginning where it says so much that it says nothing of use."""
    status, told = 0, b""
    while len(told) < MAX_ANSWER_BYTES:
        event = wire.next_event()
        if event is h11.NEED_DATA:
            wire.receive_data(line.receive())
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            told += event.data
        elif isinstance(event, h11.EndOfMessage):
            is_done = wire.our_state is h11.DONE and wire.their_state is h11.DONE
            keeps = is_done and not wire.trailing_data[0]
            return Posted(status=status, content=told, keeps=keeps)
        elif isinstance(event, h11.ConnectionClosed):
            raise TargetError(f"{line.address} ended the connection without an answer")
    return Posted(status=status, content=told, keeps=False)
