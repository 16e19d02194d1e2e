"""The content of one file on its way from or to an HTTPS server."""

from collections.abc import Callable, Iterator

import urllib3

from mftgit.adapters.endpoint import EndpointLostError
from mftgit.adapters.https_connection import wait_for
from mftgit.adapters.https_requests import Requests


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
