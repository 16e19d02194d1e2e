"""An SSH server of ours on loopback, in this process."""

import os
import queue
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

from homes import HomeSite
from ssh_keys import make_key, program

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.hosting import Answering, Tally
from mftgit.adapters.sftp_server.serve import serve as serve_sftp
from mftgit.adapters.ssh_server.reception import Connection, Session
from mftgit.adapters.ssh_server.server import SshServer
from mftgit.member.inbound.login import Logins, Passwords, TakenCodes
from mftgit.model.inbound.account import Account, Factor, Login, Place
from mftgit.model.inbound.login_steps import Flaw
from mftgit.model.inbound.service import Listen, ServiceLimits, SftpService
from mftgit.model.inbound.serving import Served, Serving
from mftgit.model.inbound.visitor import read_visitor
from mftgit.model.keys.algorithms import Algorithms
from mftgit.model.names import AccountName, LocationName, MemberName, Revision, ServiceName
from mftgit.model.secrets.value import SecretValue

WAIT_S = 60.0


@dataclass
class Book:
    """What a reception wrote down of one connection, and what it answers."""

    failures: list[tuple[str, Flaw]] = field(default_factory=list)
    logins: list[tuple[AccountName, frozenset[Factor], str]] = field(default_factory=list)
    reason: str | None = None
    over: Event = field(default_factory=Event)
    delay_s: float | None = 0.0
    welcome: bool = True

    def failed(self, account: str, flaw: Flaw) -> float | None:
        self.failures.append((account, flaw))
        return self.delay_s

    def logged_in(self, account: AccountName, factors: frozenset[Factor], client: str) -> bool:
        self.logins.append((account, factors, client))
        return self.welcome

    def ended(self, reason: str) -> None:
        assert not self.over.is_set()
        self.reason = reason
        self.over.set()


class Noon(SystemClock):
    """A clock whose wall time a test sets."""

    moment: datetime | None = None

    def now(self) -> datetime:
        return super().now() if self.moment is None else self.moment.astimezone(UTC)


def serve_files(folder: Path) -> Callable[[Session], None]:
    """Return what serves ``folder`` as every account's home."""
    site = HomeSite(folder)

    def serve_session(session: Session) -> None:
        serve_sftp(
            session.stream,
            site.open(name=session.account),
            account=session.account,
            downloaded=lambda _: None,
            tally=Tally(),
            answering=Answering(),
            clock=SystemClock(),
            work=session.work,
        )

    return serve_session


@dataclass
class Door:
    """A running server; `books` gives what was written of its connections, in their order."""

    folder: Path
    keys: Path
    port: int
    clock: Noon
    books: "queue.Queue[Book]"
    connections: "queue.Queue[Connection]"
    server: SshServer
    known_hosts: Path

    def ssh_options(self, *, key: str | None = None, options: tuple[str, ...] = ()) -> list[str]:
        """Return options for ssh, sftp and scp that leave nothing to the machine's own files."""
        found = [
            f"UserKnownHostsFile={self.known_hosts}",
            "GlobalKnownHostsFile=none",
            "StrictHostKeyChecking=yes",
            "IdentitiesOnly=yes",
            f"IdentityFile={self.keys / key if key else '/dev/null'}",
            *options,  # the first of an option counts
            "UpdateHostKeys=no",
            "NumberOfPasswordPrompts=1",
        ]
        return ["-F", "none", *(word for each in found for word in ("-o", each))]

    def sftp(
        self,
        batch: str,
        *,
        account: str = "ann",
        key: str | None = None,
        options: tuple[str, ...] = (),
        answers: Mapping[str, str] | None = None,
    ) -> "subprocess.CompletedProcess[str]":
        """Run OpenSSH's sftp; ``answers`` are given to prompts that begin so."""
        # -b would forbid prompts; without it, sftp takes its commands from standard input all the same.
        words = [program("sftp"), *self.ssh_options(key=key, options=options), "-P", str(self.port)]
        return subprocess.run(
            [*words, f"{account}@127.0.0.1"],
            input=batch,
            env=self._environment(answers or {}),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=WAIT_S,
            check=False,
            cwd=self.keys,
            start_new_session=True,
        )

    def ask(self, answers: Mapping[str, str]) -> Path:
        """Return a program that answers what ssh asks."""
        path = self.keys / "askpass"
        cases = "".join(f'*"{prompt}"*) echo "{answer}";;\n' for prompt, answer in answers.items())
        path.write_text(f'#!/bin/sh\ncase "$1" in\n{cases}*) exit 1;;\nesac\n', encoding="utf-8")
        path.chmod(0o700)
        return path

    def _environment(self, answers: Mapping[str, str]) -> dict[str, str]:
        return {
            **os.environ,
            "SSH_ASKPASS": str(self.ask(answers)),
            "SSH_ASKPASS_REQUIRE": "force",
            "SSH_AUTH_SOCK": "",
        }

    def book(self) -> Book:
        """Return what is written of the next connection, once that is over."""
        book = self.books.get(timeout=WAIT_S)
        assert book.over.wait(WAIT_S)
        return book

    def forget(self) -> None:
        """Forget connections up to now."""
        while not self.books.empty():
            self.book()
        while not self.connections.empty():
            self.connections.get()


def account(name: str, require: tuple[frozenset[Factor], ...], **said: object) -> Account:
    """Return an account that logs in by ``require``; what else is said is of `Login` or of `Account`."""
    of_login = {key: said.pop(key) for key in ("keys", "authorities", "principals") if key in said}
    return Account(
        name=AccountName(name),
        home=Place(location=LocationName("files")),
        login=Login(require=require, **of_login),  # type: ignore[arg-type]
        **said,  # type: ignore[arg-type]
    )


def served(who: Account, *, password: str | None = None, totp: str | None = None) -> Served:
    """Return ``who`` with its secrets."""
    return Served(
        account=who,
        home="/nowhere",
        password=None if password is None else SecretValue(password),
        totp=None if totp is None else SecretValue(totp),
    )


def serving(*who: Served, service: str = "partners") -> Serving:
    """Return what lets ``who`` in."""
    return Serving(
        revision=Revision("0" * 40),
        member=MemberName("one"),
        service=SftpService(
            name=ServiceName(service), listen=Listen(port=22), host_keys=(), algorithms=Algorithms()
        ),
        keys=(),
        accounts={each.account.name: each for each in who},
    )


@contextmanager
def open_door(
    work: Path,
    what: Serving,
    *,
    host_keys: tuple[str, ...] = ("ed25519",),
    limits: ServiceLimits = ServiceLimits(),  # noqa: B008  it is frozen
    banner: str | None = None,
    algorithms: Algorithms = Algorithms(),  # noqa: B008  it is frozen
    serve: Callable[[Session], None] | None = None,
    book: Callable[[], Book] = Book,
) -> Iterator[Door]:
    """Serve ``what``; ``host_keys`` are kinds, or names of keys that are there."""
    folder, keys = work / "files", work / "keys"
    folder.mkdir(exist_ok=True)
    keys.mkdir(exist_ok=True)
    for kind in host_keys:
        if not (keys / f"host-{kind}").exists():
            make_key(keys / f"host-{kind}", kind)
    texts = [(keys / f"host-{kind}").read_text(encoding="ascii") for kind in host_keys]
    clock = Noon()
    server = SshServer(
        host_keys=texts,
        algorithms=algorithms,
        limits=limits,
        banner=banner,
        monotonic=clock.boottime,
    )
    logins = Logins(what, clock=clock, passwords=Passwords(), codes=TakenCodes())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        known = work / f"known_hosts_{port}"
        first = (keys / f"host-{host_keys[0]}.pub").read_text(encoding="ascii")
        known.write_text(f"[127.0.0.1]:{port} {first}", encoding="ascii")
        door = Door(
            folder=folder,
            keys=keys,
            port=port,
            clock=clock,
            books=queue.Queue(),
            connections=queue.Queue(),
            server=server,
            known_hosts=known,
        )

        def accept() -> None:
            with suppress(OSError):
                while True:
                    sock, address = listener.accept()
                    visitor = read_visitor(address[0], address[1])
                    door.books.put(entry := book())
                    door.connections.put(
                        server.receive(
                            sock,
                            visitor,
                            doorkeeper=logins.doorkeeper(visitor),
                            reception=entry,
                            serve=serve or serve_files(folder),
                        )
                    )

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield door
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(WAIT_S)
            server.close()
            while not door.connections.empty():
                assert door.connections.get().wait(WAIT_S)
