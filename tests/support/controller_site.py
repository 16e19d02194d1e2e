"""A controller in this process, behind real TLS on loopback, and nodes of it."""

import atexit
import http.client
import json
import shutil
import sqlite3
import ssl
import tempfile
import threading
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from clocks import Ahead
from ports import own_port

from mftgit.adapters.channel import Channel
from mftgit.adapters.clock import Clock, SystemClock
from mftgit.adapters.documents_folder import importable
from mftgit.adapters.durable import sweep_folder
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.proof import Prover
from mftgit.adapters.registry.registry import Registry
from mftgit.adapters.state_folder import StateFolder
from mftgit.adapters.tls import pki
from mftgit.cli.rules import make_validator
from mftgit.controller.app import Controller
from mftgit.controller.initialise import initialise
from mftgit.member.handlers.handlers import Handlers
from mftgit.member.inbound.service import Inbound
from mftgit.member.intake import Intake, Parts
from mftgit.member.outbound.service import Outbound
from mftgit.member.upstream import RemoteUpstream
from mftgit.model.configuration.config import Role
from mftgit.model.events.event import Event, EventName
from mftgit.model.members.record import Stage
from mftgit.model.names import MAIN, MemberName, Revision

NODE = MemberName("node-1")
NOW = SystemClock().now
DOCUMENTS = {"cluster.yaml": b"name: c\n", "members/controller.yaml": b"role: controller\n"}


@dataclass
class Node:
    """A node without threads of its own but those of its outbound side; the test says when it looks."""

    folder: StateFolder
    events: EventStore
    outbound: Outbound
    handlers: Handlers
    upstream: RemoteUpstream
    intake: Intake
    woken: threading.Event

    def look(self) -> None:
        """Look, and look again until what was activated has proved itself or was given up."""
        self.intake.look()
        while self.intake.record.stage is Stage.CONFIRMING:
            self.woken.wait(self.intake.due_in_s)
            self.woken.clear()
            self.intake.look()

    def told(self, event: EventName) -> list[Event]:
        return [each for _, each in self.events.after(0, limit=10_000) if each.event is event]

    def transfers(self) -> list[str]:
        return [each.name for each in self.outbound.status()]

    def close(self) -> None:
        self.outbound.stop()
        self.handlers.stop()
        self.upstream.close()
        self.events.close()


def open_parts(
    folder: StateFolder, *, now: Callable[[], datetime] = NOW
) -> tuple[Parts, RemoteUpstream]:
    """Open what the node in ``folder`` is built from."""
    bootstrap = folder.read_bootstrap()
    sweep_folder(folder.root)
    upstream = RemoteUpstream(folder, bootstrap, now=now)
    parts = Parts(
        folder=folder,
        bootstrap=bootstrap,
        upstream=upstream,
        store=upstream.store,
        validator=make_validator(),
    )
    return parts, upstream


def open_node(parts: Parts, upstream: RemoteUpstream, *, clock: Clock | None = None) -> Node:
    """Put a node together, as a process that starts does; ``clock`` is what revisions are proved by."""
    events = EventStore(parts.folder.events, member=NODE, now=NOW)

    def tell(event: EventName, **rest: Any) -> None:
        if "each" in rest:
            events.append_each(event, rest.pop("each"), **rest)
        else:
            events.append(event, **rest)

    outbound = Outbound(
        folder=parts.folder,
        bootstrap=parts.bootstrap,
        record=tell,
        is_ancestor=parts.store.is_ancestor,
    )
    outbound.start()
    inbound = Inbound(folder=parts.folder, bootstrap=parts.bootstrap, write=events.append_all)
    handlers = Handlers(folder=parts.folder, bootstrap=parts.bootstrap, log=events, told=tell)
    woken = threading.Event()
    return Node(
        folder=parts.folder,
        events=events,
        outbound=outbound,
        handlers=handlers,
        upstream=upstream,
        intake=Intake(parts, outbound, inbound, handlers, told=tell, wake=woken.set, clock=clock),
        woken=woken,
    )


@dataclass
class Site:
    """A controller and what a client of it needs."""

    folder: StateFolder
    url: str
    password: str
    controller: Controller
    events: EventStore
    nodes: list[Node] = field(default_factory=list)
    clock: Ahead = field(default_factory=Ahead)
    """By which nodes prove revisions."""

    def start(self) -> None:
        """Open the controller again, which was stopped."""
        self.controller = Controller(
            self.folder,
            self.folder.read_bootstrap(),
            events=self.events,
            validator=make_validator(),
        )
        self.controller.start()

    def stop(self) -> None:
        """Stop the controller; its nodes let go of their connections first, so that none is left open."""
        for node in self.nodes:
            node.upstream._channel.close()
        self.controller.stop()

    def enrol(self, key: bytes, name: MemberName = NODE) -> None:
        with closing(Registry(self.folder.registry, now=NOW)) as registry:
            registry.enrol(name, role=Role.NODE, public_key=pki.public_identity(key))

    def last_seen(self, name: MemberName = NODE) -> float:
        with closing(Registry(self.folder.registry, now=NOW)) as registry:
            return next(each.last_seen or 0.0 for each in registry.members() if each.name == name)

    def head(self) -> Revision | None:
        """Where the controller says that main stands."""
        with closing(Registry(self.folder.registry, now=NOW)) as registry:
            head = registry.head()
        return head.oid if head else None

    def published(self, revision: Revision) -> list[Mapping[str, Any]]:
        """The facts of each ``RevisionPublished`` of ``revision``."""
        found = (each for _, each in self.events.after(0, limit=10_000))
        return [
            each.facts
            for each in found
            if each.event is EventName.REVISION_PUBLISHED and each.revision == revision
        ]

    @contextmanager
    def refusing(self, database: Path, table: str) -> Iterator[None]:
        """Let ``table`` take no row for the time of the block, as on a full disk."""
        with closing(sqlite3.connect(database, timeout=60)) as connection:
            connection.execute(
                f"CREATE TRIGGER fault BEFORE INSERT ON {table} "
                "BEGIN SELECT RAISE(ABORT, 'no space'); END"
            )
            connection.commit()
            yield
            connection.execute("DROP TRIGGER fault")
            connection.commit()

    def remove(self, name: MemberName = NODE) -> None:
        with closing(Registry(self.folder.registry, now=NOW)) as registry:
            registry.remove_member(name)

    def make_node(self) -> StateFolder:
        """Make the state folder of a node that has joined."""
        folder = StateFolder(self.folder.root.parent / NODE)
        folder.prepare()
        key = pki.make_identity()
        folder.write_secret(folder.member_key, key)
        folder.ca_file.write_bytes(self.folder.ca_file.read_bytes())
        own = self.folder.read_bootstrap()
        folder.write_bootstrap(replace(own, name=NODE, role=Role.NODE, listen=()))
        self.enrol(key)
        return folder

    def parts(self, *, now: Callable[[], datetime] = NOW) -> tuple[Parts, RemoteUpstream]:
        """Open what the node is built from; its state folder is made at the first time."""
        folder = StateFolder(self.folder.root.parent / NODE)
        if not folder.bootstrap_file.exists():
            self.make_node()
        return open_parts(folder, now=now)

    def node(self, *, now: Callable[[], datetime] = NOW) -> Node:
        """Open the node, as a process that starts does."""
        made = open_node(*self.parts(now=now), clock=self.clock)
        self.nodes.append(made)
        return made

    def publish(self, changes: Mapping[str, bytes], *, onto: Revision | None = None) -> Revision:
        """Publish ``DOCUMENTS`` with ``changes``, as a push would; ``onto`` rewrites history to grow from there."""
        store = self.controller.store
        before = store.head()
        update: dict[str, Any] = {"message": "x", "author": "a <a@b.invalid>", "now": NOW()}
        if onto is None:
            revision = store.commit_documents(DOCUMENTS | dict(changes), parent=before, **update)
        else:
            aside = f"refs/heads/{uuid.uuid4().hex}"
            assert store.set_ref(aside, old=None, new=onto)
            revision = store.commit_documents(
                DOCUMENTS | dict(changes), parent=onto, ref=aside, **update
            )
            assert store.set_ref(MAIN, old=before, new=revision)
        self.controller.catch_up()
        return revision

    def channel(self, name: MemberName = NODE, *, key: bytes) -> Channel:
        cluster_id = self.folder.read_bootstrap().cluster_id
        prover = Prover(member=name, cluster_id=cluster_id, key=key, now=NOW)
        return Channel(self.url, ca_file=self.folder.ca_file, headers=prover.headers)

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        context = ssl.create_default_context(cafile=str(self.folder.ca_file))
        host, port = self.url.removeprefix("https://").split(":")
        connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=60)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(data)
        except ValueError:
            return answer.status, data

    def basic(self, name: str = "admin", password: str | None = None) -> dict[str, str]:
        word = b64encode(f"{name}:{password or self.password}".encode()).decode()
        return {"Authorization": f"Basic {word}"}


@contextmanager
def controller_site(tmp_path: Path, *, number: int = 1) -> Iterator[Site]:
    """Run a controller for the time of the block; one with another ``number`` is of another cluster."""
    with own_port() as port:
        yield from _site(tmp_path, port, number)


def _site(tmp_path: Path, port: int, number: int) -> Iterator[Site]:
    first, password = _initialised(number)
    folder = StateFolder(shutil.copytree(first, tmp_path / "controller"))
    url = f"https://127.0.0.1:{port}"
    bootstrap = replace(
        folder.read_bootstrap(),
        controller_url=url,
        listen=("127.0.0.1", port),
        files_root=str(tmp_path / "files"),
    )
    folder.write_bootstrap(bootstrap)
    events = EventStore(folder.events, member=bootstrap.name, now=NOW)
    controller = Controller(folder, bootstrap, events=events, validator=make_validator())
    controller.start()
    site = Site(folder=folder, url=url, password=password, controller=controller, events=events)
    try:
        yield site
    finally:
        for node in site.nodes:
            node.close()
        site.controller.stop()
        site.events.close()


@cache
def _initialised(_number: int) -> tuple[Path, str]:
    """Return the state folder of a new controller, for copies, and its operator's password: made once in a process."""
    root = Path(tempfile.mkdtemp(prefix="mftgit-controller-"))
    atexit.register(shutil.rmtree, root)
    made = initialise(
        StateFolder(root / "controller"),
        documents=DOCUMENTS,
        tree=importable(DOCUMENTS),
        validator=make_validator(),
        listen=("127.0.0.1", 0),
        host="127.0.0.1",
        files_root=root / "files",
        now=NOW,
    )
    return root / "controller", made.password
