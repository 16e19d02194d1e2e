"""A real HTTPS server that answers whatever a test wants, byte by byte."""

import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Thread
from typing import BinaryIO
from warnings import catch_warnings

from dav_servers import Shown, location_at, write_password

from mftgit.model.locations.https_location import HttpsLocation


class HangUpError(Exception):
    """The server ends the connection here."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request that came, with its headers in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Reply = Callable[[Asked], Iterable[bytes]]
"""What to answer, in pieces; `HangUpError` ends the connection."""


@dataclass(kw_only=True)
class Rogue:
    """A running server, and what it was asked."""

    port: int
    shown: Shown
    secrets_dir: Path
    reply: Reply
    asked: list[Asked] = field(default_factory=list)
    hung_up: Event | None = None
    """Set once a PUT was answered well and the connection ended, without a look at what is stored."""

    def location(self, *, timeout_s: float = 60.0) -> HttpsLocation:
        """Return a location on it that works."""
        return replace(location_at(self.port, self.shown), timeout_s=timeout_s)

    def methods(self) -> list[str]:
        """Return what was asked for."""
        return [each.method for each in self.asked]


@contextmanager
def rogue_server(
    work: Path, reply: Reply, *, shown: Shown | None = None, most: ssl.TLSVersion | None = None
) -> Iterator[Rogue]:
    """Run one that answers with ``reply``; ``most`` is the newest TLS that it speaks."""
    shown = shown or Shown.for_hosts("127.0.0.1")
    context = shown.context(work)
    if most is not None:
        with catch_warnings(action="ignore"):
            context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, most
        context.set_ciphers("ALL:@SECLEVEL=0")
    write_password(work / "secrets")
    with closing(socket.create_server(("127.0.0.1", 0))) as door:
        rogue = Rogue(
            port=door.getsockname()[1], shown=shown, secrets_dir=work / "secrets", reply=reply
        )
        open_now: list[socket.socket] = []
        threads = [Thread(target=_listen, args=(door, context, rogue, open_now))]
        threads[0].start()
        try:
            yield rogue
        finally:
            door.shutdown(socket.SHUT_RDWR)
            for sock in open_now:
                with suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
            threads[0].join()


def _listen(
    door: socket.socket, context: ssl.SSLContext, rogue: Rogue, open_now: list[socket.socket]
) -> None:
    threads = []
    while True:
        try:
            plain, _ = door.accept()
        except OSError:
            break
        open_now.append(plain)
        threads.append(Thread(target=_serve, args=(plain, context, rogue, open_now)))
        threads[-1].start()
    for thread in threads:
        thread.join()


def _serve(
    plain: socket.socket, context: ssl.SSLContext, rogue: Rogue, open_now: list[socket.socket]
) -> None:
    with plain, suppress(OSError, HangUpError):
        sock = context.wrap_socket(plain, server_side=True)
        open_now.append(sock)
        with sock, sock.makefile("rb") as stream:
            while (asked := _read(stream, rogue.hung_up)) is not None:
                if asked.method == "PUT" and rogue.hung_up is not None:
                    sock.sendall(answer(201))
                    break
                rogue.asked.append(asked)
                for piece in rogue.reply(asked):
                    sock.sendall(piece)
    if rogue.hung_up is not None:
        rogue.hung_up.set()


def _read(stream: BinaryIO, hung_up: Event | None) -> Asked | None:
    first = stream.readline().decode("latin-1").split()
    if len(first) < 2:
        return None
    headers = {}
    while line := stream.readline().strip().decode("latin-1"):
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if first[0] == "PUT" and hung_up is not None:
        body = b""
    elif headers.get("transfer-encoding") == "chunked":
        body = b"".join(_chunks(stream))
    else:
        body = stream.read(int(headers.get("content-length", "0")))
    return Asked(method=first[0], path=first[1], headers=headers, body=body)


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while size := int(stream.readline() or b"0", 16):
        yield stream.read(size)
        stream.readline()
    stream.readline()


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    """Return a whole answer."""
    lines = [f"HTTP/1.1 {status} so", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def told(*entries: tuple[str, object]) -> bytes:
    """Return an answer to PROPFIND that tells of each path its size, of a folder None."""
    found = "".join(_entry(path, size) for path, size in entries)
    text = f'<?xml version="1.0"?><d:multistatus xmlns:d="DAV:">{found}</d:multistatus>'
    return answer(207, text.encode())


def _entry(path: str, size: object) -> str:
    kind = "<d:collection/>" if size is None else ""
    length = "" if size is None else f"<d:getcontentlength>{size}</d:getcontentlength>"
    return (
        f"<d:response><d:href>{path}</d:href><d:propstat><d:prop><d:resourcetype>{kind}</d:resourcetype>{length}"
        "<d:getlastmodified>Sun, 29 Nov 2026 01:02:03 GMT</d:getlastmodified></d:prop>"
        "<d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
    )


def good(asked: Asked) -> Iterable[bytes]:
    """Answer as a server that has the file ``a`` of five bytes, and nothing else."""
    match asked.method, asked.path:
        case "PROPFIND", "/":
            both = asked.headers["depth"] == "1"
            yield told(("/", None), ("/a", 5)) if both else told(("/", None))
        case "PROPFIND", "/a":
            yield told(("/a", 5))
        case "GET", "/a":
            yield answer(200, b"12345")
        case _:
            yield answer(404)
