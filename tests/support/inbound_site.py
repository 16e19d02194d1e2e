"""A member's services with their real processes, from documents, and OpenSSH's clients that come to them."""

import errno
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import paramiko
from member_folder import NODE, make_folder
from patient_ssh import transport_to
from ports import own_port
from ssh_keys import make_key, program

from mftgit.adapters.clock import Clock
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.rules import make_validator
from mftgit.member.inbound.crew import Crew
from mftgit.member.inbound.service import Inbound
from mftgit.member.inbound.services import Prepared
from mftgit.model.configuration.config import Role
from mftgit.model.configuration.render import render
from mftgit.model.events.event import EventName, Fact
from mftgit.model.inbound.finished import Finished
from mftgit.model.inbound.service_status import ServiceStatus
from mftgit.model.names import Revision, SecretName, ServiceName
from mftgit.model.revisions.tree_id import object_id
from mftgit.model.rules.tree import Entry
from mftgit.model.secrets.value import SecretValue

REVISION: Final = Revision("1" * 40)
WAIT_S: Final = 60.0
IN_ROUNDS: Final = ("aes128-gcm@openssh.com",)
HOMES: Final = {
    "cluster.yaml": "name: c\n",
    "locations/homes.yaml": "type: local\npath: homes\n",
}


@dataclass(kw_only=True)
class InboundSite:
    """What a test looks at; ``port`` is the service's."""

    root: Path
    port: int
    folder: StateFolder
    inbound: Inbound
    told: list[tuple[EventName, Mapping[str, Fact]]]
    arrived: list[tuple[ServiceName, Finished]]
    flushed: set[EventName] = field(default_factory=set)
    keys: dict[str, str] = field(default_factory=dict)
    disk_is_full: bool = False
    may_write: threading.Event = field(default_factory=threading.Event)

    # Documents

    def service(self, more: str = "") -> str:
        """Return a service document; ``more`` are further lines."""
        return (
            f"type: sftp\nlisten: {{address: 127.0.0.1, port: {self.port}}}\n"
            f"host_keys: [{{file: host}}]\nprocesses: 1\n{more}"
        )

    def account(self, name: str, more: str = "") -> str:
        """Return an account document with a key of its own; ``more`` are further lines."""
        if name not in self.keys:
            make_key(self.root / name, "ed25519")
            self.keys[name] = (self.root / f"{name}.pub").read_text(encoding="ascii").strip()
        return f'home: {{location: homes, path: "{name}"}}\nlogin:\n  keys: ["{self.keys[name]}"]\n{more}'

    def documents(self, *accounts: str, service: str = "") -> dict[str, str]:
        """Return those of a service with ``accounts``."""
        made = {f"accounts/{each}.yaml": self.account(each) for each in accounts}
        return HOMES | {"services/sftp.yaml": self.service(service)} | made

    def prepare(
        self,
        documents: Mapping[str, str],
        *,
        fresh: bool = True,
        secrets: Mapping[SecretName, SecretValue] | None = None,
    ) -> Prepared:
        """Prepare what ``documents`` say; ``secrets`` are those of the repository, as the member has decrypted them."""
        tree = {}
        for path, text in documents.items():
            content = text.encode()
            tree[path] = Entry(
                mode=0o100644,
                oid=object_id("blob", content),
                size_bytes=len(content),
                load=partial(bytes, content),
            )
        validation = make_validator().validate(tree)
        assert not validation.problems, validation.problems
        generation = replace(render(validation, NODE, Role.NODE), secrets=secrets or {})
        return self.inbound.prepare(generation, revision=REVISION, fresh=fresh)

    def apply(
        self,
        documents: Mapping[str, str],
        *,
        fresh: bool = True,
        secrets: Mapping[SecretName, SecretValue] | None = None,
    ) -> None:
        self.inbound.apply(self.prepare(documents, fresh=fresh, secrets=secrets))

    # Clients

    def options(self, name: str) -> list[str]:
        return [
            "-F", "none", "-i", str(self.root / name), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
            "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={self.root / 'known'}",
            "-o", "LogLevel=ERROR", "-P", str(self.port),
        ]  # fmt: skip

    def start_sftp(self, name: str, *words: str) -> "subprocess.Popen[str]":
        """Start a client that is told what to do by its input."""
        return subprocess.Popen(
            [program("sftp"), "-q", *words, *self.options(name), f"{name}@127.0.0.1"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            cwd=self.root,
        )

    def sftp(self, name: str, *commands: str) -> "subprocess.CompletedProcess[str]":
        """Run ``commands`` by a client of the account ``name``."""
        client = self.start_sftp(name, "-b", "-")
        out, _ = client.communicate("\n".join(commands) + "\n", timeout=WAIT_S)
        return subprocess.CompletedProcess(commands, client.returncode, stdout=out)

    @contextmanager
    def client(
        self, name: str, *, port: int | None = None, ciphers: Sequence[str] = ()
    ) -> Iterator[paramiko.SFTPClient]:
        """Give a client of paramiko's that is logged in, and does nothing by itself.

        By its own choice of ``ciphers`` it is not served in rounds; by `IN_ROUNDS` it is.
        """
        with closing(transport_to(port or self.port)) as transport:
            key = paramiko.Ed25519Key.from_private_key_file(str(self.root / name))
            if ciphers:
                transport.get_security_options().ciphers = ciphers
            transport.connect(username=name, pkey=key)
            made = paramiko.SFTPClient.from_transport(transport)
            assert made is not None
            yield made

    def is_open(self, port: int | None = None) -> bool:
        """Tell whether somebody listens."""
        try:
            socket.create_connection(("127.0.0.1", port or self.port), timeout=WAIT_S).close()
        except OSError:
            return False
        return True

    # Looking

    def status(self) -> ServiceStatus:
        (found,) = self.inbound.status()
        return found

    def events(self, event: EventName) -> list[Mapping[str, Fact]]:
        return [facts for each, facts in list(self.told) if each is event]

    def home(self, name: str) -> Path:
        return self.root / "files" / "homes" / name

    def workers(self) -> list[int]:
        """The process ids of the workers of the service, which are to go on."""
        return [worker.child.pid for worker in self._crew.workers]

    def accepting(self) -> int:
        """How many of them take connections."""
        return self._crew.accepting

    @property
    def _crew(self) -> Crew:
        (running,) = self.inbound._services.running.values()
        return running._crew


def until(what: str, reached: Callable[[], Any]) -> Any:
    """Wait for what ``reached`` gives; no test times anything by this."""
    end = time.monotonic() + WAIT_S
    while not (found := reached()):
        assert time.monotonic() < end, f"in vain: {what}"
        time.sleep(0.02)  # noqa: TID251
    return found


@contextmanager
def inbound_site(root: Path, *, clock: Clock | None = None) -> Iterator[InboundSite]:
    """Make one that serves nothing yet."""
    folder = make_folder(root)
    (root / "files" / "homes").mkdir(parents=True)
    make_key(folder.secrets / "host", "ed25519")
    told: list[tuple[EventName, Mapping[str, Fact]]] = []
    arrived: list[tuple[ServiceName, Finished]] = []

    def write(
        facts: Sequence[tuple[EventName, Mapping[str, Fact]]],
        *,
        flush: bool,
    ) -> None:
        site.may_write.wait(WAIT_S)
        if site.disk_is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        told.extend(facts)
        if flush:
            site.flushed.update(event for event, _ in facts)

    inbound = Inbound(
        folder=folder,
        bootstrap=folder.read_bootstrap(),
        write=write,
        arrived=lambda service, finished: arrived.append((service, finished)),
        clock=clock,
        grace_s=1.0,
    )
    with own_port() as port:
        site = InboundSite(
            root=root, port=port, folder=folder, inbound=inbound, told=told, arrived=arrived
        )
        site.may_write.set()
        inbound.start()
        try:
            yield site
        finally:
            site.may_write.set()
            inbound.stop(within_s=0)
