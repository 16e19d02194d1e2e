"""A controller and three nodes that serve the same accounts behind a real HAProxy, and OpenSSH's clients of it."""

import hashlib
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster import Cluster, cluster, environment
from haproxy import FROM, Balancer, running_haproxy
from ports import own_port
from ssh_keys import make_key, program

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.state_folder import StateFolder
from mftgit.adapters.tls.pki import fingerprint
from mftgit.cli.records import open_records
from mftgit.member.join import join
from mftgit.model.configuration.config import Role
from mftgit.model.members.token import JoinToken
from mftgit.model.names import MemberName

NODES = ("node-1", "node-2", "node-3")
ACCOUNT = "acme"
CLIENT = "127.0.0.5"
ATTACKER = "127.0.0.6"
WAIT_S = 90.0


@dataclass(kw_only=True)
class Balanced:
    """What a test looks at."""

    made: Cluster
    balancer: Balancer
    ports: Mapping[str, int]
    health: Mapping[str, int]

    @property
    def home(self) -> Path:
        return self.made.files / "homes" / ACCOUNT

    # Clients

    def command(
        self, *options: str, port: int | None = None, at: str = CLIENT, key: str = ACCOUNT
    ) -> list[str]:
        """Return the words of a client that knows the host key of before, if there is one."""
        return [
            program("sftp"), "-q", "-F", "none", "-b", "-", "-P", str(port or self.balancer.port),
            "-i", str(self.made.root / key), "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR",
            "-o", "StrictHostKeyChecking=accept-new", "-o", "HostKeyAlias=sftp.example",
            "-o", f"UserKnownHostsFile={self.made.root / 'known_hosts'}", "-o", "UpdateHostKeys=no",
            "-o", f"BindAddress={at}", *options, f"{ACCOUNT}@127.0.0.1",
        ]  # fmt: skip

    def start(self, *commands: str, options: tuple[str, ...] = ()) -> "subprocess.Popen[str]":
        """Start a client whose input stays open after ``commands``."""
        process = subprocess.Popen(
            self.command(*options),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            cwd=self.made.root,
            env=environment(self.made.home),
        )
        self.tell(process, *commands)
        return process

    def tell(self, process: "subprocess.Popen[str]", *commands: str) -> None:
        assert process.stdin is not None
        process.stdin.write("".join(f"{each}\n" for each in commands))
        process.stdin.flush()

    def end(self, process: "subprocess.Popen[str]") -> "subprocess.CompletedProcess[str]":
        out, _ = process.communicate(timeout=WAIT_S)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout=out)

    def run(
        self, *commands: str, options: tuple[str, ...] = (), **where: Any
    ) -> "subprocess.CompletedProcess[str]":
        """Run a client to its end."""
        return subprocess.run(
            self.command(*options, **where),
            input="".join(f"{each}\n" for each in commands),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            timeout=WAIT_S,
            check=False,
            cwd=self.made.root,
            env=environment(self.made.home),
        )

    def put(self, name: str, content: bytes) -> "subprocess.CompletedProcess[str]":
        (self.made.root / name).write_bytes(content)
        return self.run(f"put {name}")

    # Members

    def start_node(self, name: str) -> None:
        """Start a member, and wait until the balancer sends clients there."""
        self.made.start(name)
        self.made.until(f"{name} serves", lambda: self.balancer.is_up(name))

    def events(self, name: str, *nodes: str) -> list[tuple[str, dict[str, Any]]]:
        """Return the events that nodes wrote themselves, each with its node."""
        return [
            (node, each)
            for node in nodes or NODES
            for each in self.made.events(node)
            if each["event"] == name
        ]

    def serving(self) -> str:
        """Return the node that has the one client that there is, once those of before are gone."""
        found: list[str] = []

        def reached() -> bool:
            found[:] = [name for name in NODES for _ in range(self.balancer.sessions(name))]
            return len(found) == 1

        self.made.until("one client is served", reached)
        return found[0]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@contextmanager
def balanced(root: Path, *, defence: str = "") -> Iterator[Balanced]:
    """Run all of them."""
    with ExitStack() as stack:
        made = stack.enter_context(cluster(root))
        ports = {name: stack.enter_context(own_port()) for name in NODES}
        health = {name: stack.enter_context(own_port()) for name in NODES}
        for key in (ACCOUNT, "host", "stranger"):
            make_key(root / key, "ed25519")
        documents = _documents(root, ports, health, defence)
        for path, text in documents.items():
            (root / "documents" / path).parent.mkdir(parents=True, exist_ok=True)
            (root / "documents" / path).write_text(text, encoding="utf-8")
        made.init(root / "documents")
        made.start_controller()
        (made.files / "homes").mkdir()
        for name in NODES:
            _join(made, name)
            secret = made.dir(name) / "secrets" / "host"
            secret.write_bytes((root / "host").read_bytes())
            secret.chmod(0o600)
            made.start(name)
        members = [(name, ports[name], health[name]) for name in NODES]
        balancer = stack.enter_context(running_haproxy(root, members))
        site = Balanced(made=made, balancer=balancer, ports=ports, health=health)
        for name in NODES:
            made.until(f"{name} serves", lambda name=name: balancer.is_up(name))  # type: ignore[misc]
        yield site


def _join(made: Cluster, name: str) -> None:
    """Let a node join by what the commands call, which takes a tenth of the time of two processes."""
    with open_records(StateFolder(made.dir("controller"))) as records:
        secret = records.registry.invite(MemberName(name), Role.NODE)
    authority = fingerprint(Path(made.access["ca_file"]).read_bytes())
    join(
        StateFolder(made.dir(name)),
        controller_url=made.access["url"],
        token=JoinToken(member=MemberName(name), ca_sha256=authority, secret=secret),
        files_root=made.files,
        now=SystemClock().now,
    )


def _documents(
    root: Path, ports: Mapping[str, int], health: Mapping[str, int], defence: str
) -> dict[str, str]:
    key = (root / f"{ACCOUNT}.pub").read_text(encoding="ascii").strip()
    nodes = {
        f"members/{name}.yaml": (
            f"role: node\nvariables: {{sftp: {ports[name]}, health: {health[name]}}}\n"
        )
        for name in NODES
    }
    return nodes | {
        "cluster.yaml": "name: c\nconfirm: {within_s: 300}\n",  # a worker may take long to begin
        "members/controller.yaml": "role: controller\n",
        "locations/homes.yaml": "type: local\npath: homes\n",
        "locations/taken.yaml": "type: local\npath: taken\n",
        f"accounts/{ACCOUNT}.yaml": (
            f"home: {{location: homes, path: '{{account}}'}}\nlogin:\n  keys: ['{key}']\n"
            "permissions:\n  - {path: /, allow: full}\nmax_sessions: 3\n"
        ),
        "services/sftp.yaml": (
            "type: sftp\nactive_on: nodes\nprocesses: 1\n"
            "listen: {address: 127.0.0.1, port: '{{ sftp }}'}\n"
            "health: {address: 127.0.0.1, port: '{{ health }}'}\n"
            f"host_keys: [{{file: host}}]\nproxy_protocol: {{from: [{FROM}]}}\n"
            f"defence: {{{defence}}}\ndrain_s: 120\n"
        ),
        "transfers/taken.yaml": (
            f"source: {{location: homes, path: {ACCOUNT}/out, stable_s: 0}}\n"
            "destination: {location: taken}\n"
            "trigger: {watch: {every_s: 3600, by: polling}}\n"
            "after_success: {action: delete}\nactive_on: nodes\n"
        ),
    }
