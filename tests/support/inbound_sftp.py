"""Our own SFTP server over a real home; everybody is let in."""
# ruff: noqa: ARG002  the signatures are those of the contract

import queue
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

from homes import HomeSite
from ssh_keys import make_key
from waiting import until

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.hosting import Answering, Download, Tally
from mftgit.adapters.sftp_server.serve import serve
from mftgit.adapters.ssh_server.reception import Answer, Connection, Question, Session, Verdict
from mftgit.adapters.ssh_server.server import SshServer
from mftgit.model.inbound.account import Factor
from mftgit.model.inbound.login_steps import Flaw, Method
from mftgit.model.inbound.service import ServiceLimits
from mftgit.model.inbound.visitor import read_visitor
from mftgit.model.keys.algorithms import Algorithms
from mftgit.model.names import AccountName

ACCOUNT = AccountName("acme")
_WAIT_S = 60.0
_IN = Answer(verdict=Verdict.IN)


class _Open:
    """Lets everybody in, by whatever is shown."""

    account: AccountName | None = None
    passed: frozenset[Factor] = frozenset()

    def offered(self) -> tuple[Method, ...]:
        return (Method.KEY, Method.PASSWORD)

    def weigh(self, account: str, shown: object) -> Flaw | None:
        return None

    def signed(self, account: str, shown: object) -> Answer:
        return self._let_in()

    def forged(self, account: str) -> Answer:
        return Answer(verdict=Verdict.REFUSED)

    def password(self, account: str, password: str) -> Answer:
        return self._let_in()

    def converse(self, account: str) -> Question | Answer:
        return self._let_in()

    def answered(self, account: str, answer: str) -> Question | Answer:
        return self._let_in()

    def _let_in(self) -> Answer:
        self.account = ACCOUNT
        return _IN


class _Blank:
    """A reception that takes nothing down."""

    def failed(self, account: str, flaw: Flaw) -> float | None:
        return 0.0

    def logged_in(self, account: AccountName, factors: frozenset[Factor], client: str) -> bool:
        return True

    def ended(self, reason: str) -> None:
        pass


@dataclass(kw_only=True)
class Inbound:
    """A running server over ``site``, and what its sessions have done; ``key`` is a client's, ``host_key`` its own."""

    port: int
    site: HomeSite
    key: Path
    host_key: Path
    downloads: list[Download] = field(default_factory=list)
    tallies: list[Tally] = field(default_factory=list)
    ended: "queue.Queue[str]" = field(default_factory=queue.Queue)
    connections: list[Connection] = field(default_factory=list)

    def connection(self, number: int = 0) -> Connection:
        """Return the connection that was taken as that one; a client is told of its own before it is in the list."""
        until(lambda: len(self.connections) > number)
        return self.connections[number]

    def serve(self, session: Session) -> None:
        self.tallies.append(tally := Tally())
        why = serve(
            session.stream,
            self.site.open(name=ACCOUNT),
            account=ACCOUNT,
            downloaded=self.downloads.append,
            tally=tally,
            answering=Answering(),
            clock=SystemClock(),
            work=session.work,
        )
        self.ended.put(why)


@contextmanager
def inbound_sftp(work: Path, *, limits: ServiceLimits | None = None) -> Iterator[Inbound]:
    """Serve ``home`` in ``work`` on loopback."""
    (work / "home").mkdir(parents=True)
    for name in ("host", "client"):
        make_key(work / name, "ed25519")
    clock = SystemClock()
    server = SshServer(
        host_keys=[(work / "host").read_text(encoding="ascii")],
        algorithms=Algorithms(),
        limits=limits or ServiceLimits(),
        banner=None,
        monotonic=clock.boottime,
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        inbound = Inbound(
            port=listener.getsockname()[1],
            site=HomeSite(work / "home"),
            key=work / "client",
            host_key=work / "host",
        )

        def accept() -> None:
            while True:
                try:
                    sock, address = listener.accept()
                except OSError:
                    return
                connection = server.receive(
                    sock,
                    read_visitor(address[0], address[1]),
                    doorkeeper=_Open(),
                    reception=_Blank(),
                    serve=inbound.serve,
                )
                inbound.connections.append(connection)

        thread = Thread(target=accept)
        thread.start()
        try:
            yield inbound
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            server.close()
            for connection in inbound.connections:
                assert connection.wait(_WAIT_S)
