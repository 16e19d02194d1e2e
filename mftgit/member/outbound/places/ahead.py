"""Read a file and work its digest out in a thread of its own, while what was read before is sent."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import BinaryIO, Final

from mftgit.adapters.endpoint.contract import Endpoint
from mftgit.model.transfers.partial import Reading

CHUNK_BYTES: Final = 1020 << 10
"""Four of the largest requests that OpenSSH takes, so that none is cut short."""

_HANDED_OVER: Final = 4
_LOOK_S: Final = 1.0

_Ready = Queue[list[bytes] | BaseException | None]
"""Chunks that follow each other; at the end what went wrong, or nothing."""


def chunks_of(stream: BinaryIO) -> Iterator[bytes]:
    """Read ``stream`` to its end."""
    return iter(lambda: stream.read(CHUNK_BYTES), b"")


class ChunkStream:
    """Reads what chunks give, in pieces of other sizes."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes, of one chunk at the most; nothing at the end."""
        data = self._rest or next(self._chunks, b"")
        size = len(data) if size < 0 else size
        self._rest = data[size:]
        return data[:size]


def new_digest(algorithm: str) -> "hashlib._Hash":
    """Return a digest of nothing by ``algorithm``; it is against accidents alone."""
    return hashlib.new(algorithm, usedforsecurity=False)


def hashed(chunks: Iterator[bytes], digest: "hashlib._Hash | None") -> Iterator[bytes]:
    """Give ``chunks`` as they are, and ``digest`` each of them."""
    for chunk in chunks:
        if digest is not None:
            digest.update(chunk)
        yield chunk


def digest_of_by(algorithm: str, endpoint: Endpoint, path: str) -> str:
    """Return another digest of the file ``path``, in hexadecimal; raises what reading it raises."""
    digest = new_digest(algorithm)
    with endpoint.open_read(path) as stream:
        for _ in hashed(chunks_of(stream), digest):
            pass
    return digest.hexdigest()


def digest_of(endpoint: Endpoint, path: str) -> str:
    """Return the SHA-256 of the file ``path``, in hexadecimal; raises what reading it raises."""
    reading = Reading()
    with endpoint.open_read(path) as stream:
        for chunk in chunks_of(stream):
            reading.take(chunk)
    return reading.sha256


@contextmanager
def ahead(chunks: Iterator[bytes]) -> Iterator[Iterator[bytes]]:
    """Give what ``chunks`` gives, which another thread asks for; it ends with the `with`.

    Up to some 5 MiB are ahead, and are handed over a MiB at a time: each time the threads wait for Python's lock.
    """
    ready: _Ready = Queue(_HANDED_OVER)
    stopping = Event()
    thread = Thread(target=_fill, args=(chunks, ready, stopping), name="read-ahead", daemon=True)
    thread.start()
    try:
        yield _drain(ready)
    finally:
        stopping.set()
        while thread.is_alive():
            _empty(ready)
            thread.join(_LOOK_S)


def _fill(chunks: Iterator[bytes], ready: _Ready, stopping: Event) -> None:
    last: BaseException | None = None
    some: list[bytes] = []
    size_bytes = 0
    try:
        for chunk in chunks:
            some.append(chunk)
            size_bytes += len(chunk)
            if size_bytes >= CHUNK_BYTES:
                if not _put(ready, some, stopping):
                    return
                some, size_bytes = [], 0
    except BaseException as error:  # noqa: BLE001  it is raised where the chunks are asked for
        last = error
    _put(ready, some, stopping)
    _put(ready, last, stopping)


def _put(ready: _Ready, what: list[bytes] | BaseException | None, stopping: Event) -> bool:
    while not stopping.is_set():
        try:
            ready.put(what, timeout=_LOOK_S)
        except Full:
            continue
        return True
    return False


def _drain(ready: _Ready) -> Iterator[bytes]:
    while isinstance(what := ready.get(), list):
        yield from what
    if what is not None:
        raise what


def _empty(ready: _Ready) -> None:
    try:
        while True:
            ready.get_nowait()
    except Empty:
        return
