"""A server with TLS that answers as a test has written down, whatever it is asked."""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

Answer = bytes | Callable[[], Iterator[bytes]]
"""What is sent before the connection is closed, whole or piece by piece."""


@dataclass
class Script:
    """What is answered, one after the other and the last one ever again, and the heads of what was asked."""

    answers: list[Answer]
    port: int = 0
    asked: list[str] = field(default_factory=list)
    silent: Event = field(
        default_factory=Event
    )  # set once a client waits for an answer that never comes


def answer(status: str, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    """Return a reply of HTTP, which may lie about its length."""
    size = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {size}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


@contextmanager
def scripted(certificate: Path | None, *answers: Answer) -> Iterator[Script]:
    """Give the server; without ``answers`` it takes a request and says nothing, without ``certificate`` in plain."""
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        script = Script(list(answers), port=listening.getsockname()[1])
        threads = [Thread(target=_accept, args=(listening, context, script), daemon=True)]
        threads[0].start()
        yield script
        listening.shutdown(socket.SHUT_RDWR)
        threads[0].join()


def _accept(listening: socket.socket, context: ssl.SSLContext | None, script: Script) -> None:
    while True:
        try:
            plain, _ = listening.accept()
        except OSError:
            return
        with suppress(OSError), plain:
            if context is None:
                _serve(plain, script)
                continue
            with context.wrap_socket(plain, server_side=True) as line:
                _serve(line, script)


def _serve(line: socket.socket, script: Script) -> None:
    with line.makefile("rb") as stream:
        lines = [text.decode("latin-1").strip() for text in iter(stream.readline, b"\r\n")]
        script.asked.append("\n".join(lines))
        length = next((text for text in lines if text.lower().startswith("content-length:")), ":0")
        stream.read(int(length.partition(":")[2]))
        if not script.answers:
            script.silent.set()
            stream.read(1)  # until the client hangs up
            return
    told = script.answers[0] if len(script.answers) == 1 else script.answers.pop(0)
    for piece in [told] if isinstance(told, bytes) else told():
        line.sendall(piece)
