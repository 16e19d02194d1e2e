"""Three real etcds on loopback that can be killed, stopped, and cut off from one another and from their clients."""

import json
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from clocks import Ahead
from coordination import Site
from etcd_program import etcd_program
from gates import Gate, Passage, gate
from ports import own_port
from quick_folder import quick_folder

from mftgit.adapters.clock import Clock, SystemClock
from mftgit.adapters.etcd.calls import Access
from mftgit.adapters.etcd.coordinator import EtcdCoordinator
from mftgit.model.names import MemberName
from mftgit.model.ownership.etcd import Endpoint

ELECTION_S = 1.0
"""After so long without a word of the leader another one is elected, give or take as much."""

_PATIENCE_S = 60.0
_TTL_S = 60.0
"""No test takes so long that a session in etcd ends by itself, on however busy a machine."""


@dataclass(kw_only=True)
class Etcd:
    """One of them. Clients come in by ``gate``, the others by ``peers``."""

    name: str
    command: list[str]
    log: Path
    port: int
    gate: Gate
    peers: Gate
    process: subprocess.Popen[bytes] | None = None
    id: int = 0

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self) -> None:
        """Let it do nothing, without its knowing."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def ask(self, path: str, question: Any, *, within_s: float = _PATIENCE_S) -> Any:
        """Ask it directly, past its gate."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v3{path}", json.dumps(question).encode()
        )
        with urllib.request.urlopen(request, timeout=within_s) as reply:
            return json.loads(reply.read().splitlines()[0])

    def leader(self) -> int:
        """Return the id of the leader that it knows; 0 for none, or no answer."""
        try:
            return int(self.ask("/maintenance/status", {}, within_s=1.0).get("leader", 0))
        except (OSError, ValueError):
            return 0

    def _signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)


@dataclass(kw_only=True)
class Cluster:
    """All of them."""

    etcds: list[Etcd]
    prefixes: int = 0
    made: list[EtcdCoordinator] = field(default_factory=list)
    clock: "RealTime" = field(default_factory=lambda: RealTime())  # noqa: PLW0108  it is defined below

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        return tuple(
            Endpoint(scheme="http", host="127.0.0.1", port=each.gate.port) for each in self.etcds
        )

    def fresh_prefix(self) -> str:
        self.prefixes += 1
        return f"/test-{self.prefixes}"

    def coordinator(
        self, name: str, prefix: str, *, ttl_s: float, first: Etcd | None = None
    ) -> EtcdCoordinator:
        """Return a member's; ``first`` is asked first."""
        order = sorted(self.etcds, key=lambda each: each is not first)
        access = Access(
            endpoints=tuple(
                Endpoint(scheme="http", host="127.0.0.1", port=each.gate.port) for each in order
            )
        )
        return self.coordinator_by(access, name, prefix, ttl_s=ttl_s)

    def coordinator_by(
        self, access: Access, name: str, prefix: str, *, ttl_s: float, clock: Clock | None = None
    ) -> EtcdCoordinator:
        """Return one that hangs up after the test."""
        member, clock = MemberName(name), clock or SystemClock()
        made = EtcdCoordinator(access, prefix=prefix, member=member, ttl_s=ttl_s, clock=clock)
        self.made.append(made)
        return made

    def hang_up(self) -> None:
        """Have all coordinators let go of their connections."""
        for each in self.made:
            each.hang_up()
        self.made.clear()

    def site(self) -> Site:
        """Return members that coordinate below a prefix of their own, by one clock that is put ahead."""
        prefix, access, clock = self.fresh_prefix(), Access(endpoints=self.endpoints), Ahead()
        return Site(
            make=lambda name: self.coordinator_by(access, name, prefix, ttl_s=_TTL_S, clock=clock),
            clock=clock,
            ttl_s=_TTL_S,
        )

    def leader(self) -> Etcd:
        """Return who leads, once all that answer agree about it."""
        for _ in range(600):
            leaders = {each.leader() for each in self.etcds if each.process and _answers(each)}
            found = [each for each in self.etcds if {each.id} == leaders]
            if found and found[0].process is not None:
                return found[0]
            self.clock.pass_s(0.05)
        raise AssertionError("no leader was elected")

    def isolate(self, etcd: Etcd) -> None:
        """Cut it off from the others, both ways."""
        for each in self.etcds:
            each.peers.let(_without(etcd) if each is not etcd else lambda _passage: False)

    def heal(self) -> None:
        """Bring everything back, and wait until it works."""
        for each in self.etcds:
            each.gate.open()
            each.peers.open()
            if each.process is None:
                each.start()
            each.go_on()
        self.settle()

    def settle(self) -> None:
        """Wait until each answers a question that needs the others."""
        for each in self.etcds:
            for _ in range(600):
                if _answers(each):
                    break
                self.clock.pass_s(0.05)
            else:
                raise AssertionError(each.log.read_text(encoding="utf-8")[-2000:])


class RealTime(SystemClock):
    """Time that passes by itself."""

    def pass_s(self, seconds: float) -> None:
        Event().wait(seconds)


def _without(etcd: Etcd) -> Any:
    name = f"{etcd.id:x}"

    def lets(passage: Passage) -> bool:
        return passage.source != name

    return lets


def _answers(etcd: Etcd) -> bool:
    try:
        etcd.ask("/kv/range", {"key": "YQ=="}, within_s=1.0)
    except (OSError, ValueError):
        return False
    return True


@contextmanager
def etcd_cluster() -> Iterator[Cluster]:
    """Give three that work."""
    with ExitStack() as stack:
        folder = stack.enter_context(quick_folder("etcd-"))
        names = ("a", "b", "c")
        ports = {
            each: [stack.enter_context(own_port()) for _ in range(3)] for each in names
        }  # for clients, for the others, and what the others are told
        members = ",".join(f"{each}=http://127.0.0.1:{ports[each][2]}" for each in names)
        etcds = []
        for name in names:
            client, peer, told = ports[name]
            command = [
                etcd_program(),
                f"--name={name}",
                f"--data-dir={folder / name}",
                f"--listen-client-urls=http://127.0.0.1:{client}",
                f"--advertise-client-urls=http://127.0.0.1:{client}",
                f"--listen-peer-urls=http://127.0.0.1:{peer}",
                f"--initial-advertise-peer-urls=http://127.0.0.1:{told}",
                f"--initial-cluster={members}",
                f"--initial-cluster-token={folder.name}",
                f"--election-timeout={ELECTION_S * 1000:.0f}",
                "--logger=zap",
                "--log-outputs=stderr",
            ]
            etcds.append(
                Etcd(
                    name=name,
                    command=command,
                    log=folder / f"{name}.log",
                    port=client,
                    gate=stack.enter_context(gate(0, client)),
                    peers=stack.enter_context(gate(told, peer)),
                )
            )
        for each in etcds:
            each.start()
            stack.callback(_end, each)
        cluster = Cluster(etcds=etcds)
        cluster.settle()
        found = etcds[0].ask("/cluster/member/list", {})["members"]
        for each in etcds:
            each.id = next(int(one["ID"]) for one in found if one["name"] == each.name)
        yield cluster


@contextmanager
def lone_etcd() -> Iterator[Endpoint]:
    """Give one that is of no cluster."""
    with ExitStack() as stack:
        folder = stack.enter_context(quick_folder("etcd-"))
        port, peer = (stack.enter_context(own_port()) for _ in range(2))
        etcd = Etcd(
            name="default",
            command=[
                etcd_program(),
                f"--data-dir={folder / 'data'}",
                f"--listen-client-urls=http://127.0.0.1:{port}",
                f"--advertise-client-urls=http://127.0.0.1:{port}",
                f"--listen-peer-urls=http://127.0.0.1:{peer}",
                f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
                f"--initial-cluster=default=http://127.0.0.1:{peer}",
                "--logger=zap",
                "--log-outputs=stderr",
            ],
            log=folder / "log",
            port=port,
            gate=stack.enter_context(gate(0, port)),
            peers=stack.enter_context(gate(0, peer)),
        )
        etcd.start()
        stack.callback(_end, etcd)
        Cluster(etcds=[etcd]).settle()
        yield Endpoint(scheme="http", host="127.0.0.1", port=port)


def _end(etcd: Etcd) -> None:
    if etcd.process is not None:
        etcd.kill()
