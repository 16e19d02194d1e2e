"""The content of one file on its way from or to an HTTPS server."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import urllib3

from mftgit.adapters.endpoint.contract import EndpointLostError
from mftgit.adapters.https.connection import wait_for
from mftgit.adapters.https.requests import Requests

_PIECE: Final = 256 << 10


def part_asked(offset: int, tag: str | None) -> dict[str, str]:
    """Return the headers that ask for a file from ``offset`` on, while it is the one of the entity tag ``tag``.

    A weak tag is none of a content, and is not taken for that (RFC 9110, 13.1.5).
    """
    if not offset:
        return {}
    is_strong = tag is not None and tag.startswith('"')
    return {"Range": f"bytes={offset}-", **({"If-Range": str(tag)} if is_strong else {})}


def tells_part(headers: Mapping[str, str], first: int, size_bytes: int) -> bool:
    """Tell whether an answer is the part from byte ``first`` on of a file of ``size_bytes`` (RFC 9110, 14.4)."""
    told = " ".join(headers.get("Content-Range", "").lower().split())
    part = f"bytes {first}-{size_bytes - 1}"
    return told in {f"{part}/{size_bytes}", f"{part}/*"}


class Download:
    """Reads what the server gives, which has to be ``size_bytes``."""

    def __init__(
        self,
        requests: Requests,
        response: urllib3.BaseHTTPResponse,
        size_bytes: int,
        path: str,
    ) -> None:
        self._requests = requests
        self._response = response
        self._left = size_bytes
        self._path = path

    def read(self, size: int = -1) -> bytes:
        """Return at most ``size`` bytes, by default all that are left; nothing at the end.

        Raises:
            EndpointLostError: the server gives fewer bytes than it told of, or more.
        """
        wanted = self._left if size < 0 else min(size, self._left)
        with self._requests.telling(self._path):
            data = self._response.read(wanted) if wanted else b""
            self._left -= len(data)
            if len(data) < wanted:
                raise self._lost(f"ended {self._left} bytes before the size that the server told")
            if not self._left:
                self._require_end()
        return data

    def pass_over(self, size_bytes: int) -> None:
        """Read on until so many bytes have come."""
        while size_bytes and (data := self.read(min(size_bytes, _PIECE))):
            size_bytes -= len(data)

    def _require_end(self) -> None:
        wait_for(
            self._response, self._requests.answer_s
        )  # lines may follow the last chunk, without end
        if self._response.read(1):
            raise self._lost("goes on beyond the size that the server told")

    def _lost(self, how: str) -> EndpointLostError:
        return EndpointLostError(f"{self._requests.server}: {self._path!r} {how}")


class StoppedError(Exception):
    """The caller's own error ends an upload; `Upload.reraise` has it."""


class Upload:
    """What is sent, and how much of it was; keeps the caller's errors apart from those of the connection.

    ``ended`` tells whether it was all: a server may answer that a file is there, and hang up before it has it.
    """

    def __init__(self, chunks: Iterator[bytes], on_chunk: Callable[[int], None]) -> None:
        self._chunks = chunks
        self._on_chunk = on_chunk
        self._stopped: BaseException | None = None
        self.sent_bytes = 0
        self.ended = False

    def pieces(self) -> Iterator[bytes]:
        """Give what is to be sent."""
        try:
            for chunk in self._chunks:
                self._on_chunk(self.sent_bytes)
                yield chunk
                self.sent_bytes += len(chunk)
            self.ended = True
        except GeneratorExit:
            raise
        except BaseException as error:
            self._stopped = error
            raise StoppedError from error

    def reraise(self) -> None:
        """Raise what the caller's own side raised, if it did."""
        if self._stopped is not None:
            raise self._stopped
