"""Our own HTTPS server over real homes and real logins, on loopback and in this process."""

import queue
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from threading import Thread

from ftps_server import Certificates, make_certificates
from ssh_door import Book, Noon
from waiting import until

from mftgit.adapters.home.account import open_home
from mftgit.adapters.home.contract import Home
from mftgit.adapters.hosting import Answering, Download, Hosting, Tally
from mftgit.adapters.web.login import Passes
from mftgit.adapters.web.server import WebConnection, WebServer
from mftgit.member.inbound.login import Logins, Passwords, TakenCodes
from mftgit.model.inbound.finished import Finished
from mftgit.model.inbound.service import ServiceLimits, Uploads
from mftgit.model.inbound.serving import Serving
from mftgit.model.inbound.visitor import read_visitor
from mftgit.model.names import AccountName

WAIT_S = 60.0


@dataclass(kw_only=True)
class WebDoor:
    """A running server, and what it wrote down."""

    port: int
    certificates: Certificates
    authority: Path
    clock: Noon
    tally: Tally
    finished: list[Finished] = field(default_factory=list)
    downloads: "queue.Queue[Download]" = field(default_factory=queue.Queue)
    books: list[Book] = field(default_factory=list)
    connections: list[WebConnection] = field(default_factory=list)
    delay_s: float | None = 0.0
    welcome: bool = True

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def curl(self, *words: str, stdin: bytes = b"") -> tuple[int, bytes]:
        """Run curl; return the status of the last answer, 0 where there was none, and what came."""
        done = subprocess.run(
            ["curl", "-sS", "--cacert", str(self.authority), "-w", "\n%{http_code}", *words],
            input=stdin,
            capture_output=True,
            timeout=WAIT_S,
            check=False,
        )
        content, _, status = done.stdout.rpartition(b"\n")
        return int(status), content

    def connect(self) -> HTTPConnection:
        """Return a connection of one's own, which checks the server."""
        context = ssl.create_default_context(cadata=self.certificates.ca)
        return HTTPSConnection("127.0.0.1", self.port, context=context, timeout=WAIT_S)

    def connection(self, number: int = 0) -> WebConnection:
        """Return the connection that was taken as that one; a client is told of its own before it is in the list."""
        until(lambda: len(self.connections) > number)
        return self.connections[number]

    def failures(self) -> list[tuple[str, str]]:
        return [(name, flaw.value) for book in self.books for name, flaw in book.failures]


@contextmanager
def open_web(
    work: Path, serving: Serving, *, limits: ServiceLimits | None = None
) -> Iterator[WebDoor]:
    """Serve the accounts of ``serving``."""
    clock, certificates = Noon(), make_certificates("127.0.0.1")
    pem = (certificates.server.certificate + certificates.server.key).decode()
    authority = work / "authority.pem"
    authority.write_bytes(certificates.authority.certificate)
    logins = Logins(serving, clock=clock, passwords=Passwords(), codes=TakenCodes())
    passes = Passes(pem, serving.accounts, lasts_s=3600)
    server = WebServer(certificate=pem, limits=limits or ServiceLimits(), passes=passes)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        door = WebDoor(
            port=listener.getsockname()[1],
            certificates=certificates,
            authority=authority,
            clock=clock,
            tally=Tally(),
        )

        @contextmanager
        def enter(name: AccountName) -> Iterator[Home]:
            yield open_home(
                serving.accounts[name],
                uploads=Uploads(flush=False),
                finished=door.finished.append,
                clock=clock,
            )

        def accept() -> None:
            while True:
                try:
                    sock, address = listener.accept()
                except OSError:
                    return
                visitor = read_visitor(address[0], address[1])
                book = Book(delay_s=door.delay_s, welcome=door.welcome)
                door.books.append(book)
                connection = server.receive(
                    sock,
                    visitor,
                    doorkeeper=partial(logins.doorkeeper, visitor),
                    reception=book,
                    hosting=Hosting(
                        enter=enter,
                        downloaded=door.downloads.put,
                        tally=door.tally,
                        answering=Answering(),
                        clock=clock,
                    ),
                )
                door.connections.append(connection)

        thread = Thread(target=accept)
        thread.start()
        try:
            yield door
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            server.close()
            assert all(each.wait(WAIT_S) for each in door.connections)
            assert all(book.over.wait(WAIT_S) for book in door.books)  # which is told last


def header(answer: bytes, name: str) -> Sequence[str]:
    """Return the values of a header of what ``curl -i`` printed."""
    head = answer.partition(b"\r\n\r\n")[0].decode("latin-1")
    lines = (line.partition(": ") for line in head.splitlines())
    return [value for key, _, value in lines if key.lower() == name.lower()]
