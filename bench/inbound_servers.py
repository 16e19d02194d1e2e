"""The two servers that `inbound` holds against each other, and what they take: OpenSSH's sshd, and a member."""

import getpass
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ports import own_port
from ssh_keys import make_key
from sshd import running_sshd

from bench.inbound_clients import CIPHER
from bench.members import Cluster
from bench.memory import resident
from bench.support import pause, say
from mftgit.cli.demo.processes import Processes

_NODE: Final = "node-1"
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_SSHD_OPTIONS: Final = (
    f"Ciphers {CIPHER}",
    "MaxStartups 5000",
    "LogLevel ERROR",
    "ForceCommand internal-sftp",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the processes of a server have taken, those that have ended included, and the memory that they have now."""

    cpu_s: float
    pss_mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where a client finds its own folder: as ``user(n)`` below ``remote(n)``, which is ``local(n)`` here."""

    name: str
    port: int
    pid: int
    key: Path
    homes: Path
    accounts: bool

    def user(self, number: int) -> str:
        """Return who the client is."""
        return f"c{number}" if self.accounts else getpass.getuser()

    def remote(self, number: int) -> str:
        """Return the client's folder as it names it."""
        return "/" if self.accounts else f"{self.local(number)}/"

    def local(self, number: int) -> Path:
        """Return the client's folder on this machine."""
        return self.homes / f"c{number}"

    def empty(self, clients: int) -> None:
        """Have an empty folder for each client."""
        for number in range(clients):
            shutil.rmtree(self.local(number), ignore_errors=True)
            self.local(number).mkdir(parents=True)

    def cpu_s(self) -> float:
        """Return the CPU seconds of all its processes."""
        return sum(_cpu_s(pid) for pid in _tree(self.pid))

    def pss_mib(self) -> float:
        """Return the memory of all its processes, shared pages divided among who shares them."""
        found = 0.0
        for pid in _tree(self.pid):
            try:
                found += resident(pid).pss
            except (OSError, KeyError):
                continue  # it has ended
        return found

    def settle(self) -> None:
        """Wait until what clients have left behind is over."""
        before = -1.0
        for _ in range(100):
            now = self.cpu_s()
            if now - before < 0.02:  # two ticks
                return
            before = now
            pause(0.3)


@contextmanager
def sshd(work: Path) -> Iterator[Server]:
    """Run OpenSSH's sshd with internal-sftp, which writes files under their names and flushes nothing."""
    with running_sshd(work, options=_SSHD_OPTIONS) as server:
        yield Server(
            name="sshd internal-sftp",
            port=server.port,
            pid=server.pid,
            key=server.secrets_dir / "client",
            homes=server.folder,
            accounts=False,
        )


@contextmanager
def member(work: Path, *, accounts: int, flush: bool) -> Iterator[Server]:
    """Run a controller and a node that serves ``accounts``, each confined to its home, with all events written."""
    work.mkdir()
    make_key(work / "client", "ed25519")
    processes = Processes(work)
    with processes.guarded(), own_port() as port:
        key = (work / "client.pub").read_text(encoding="ascii").strip()
        cluster = Cluster(work, processes, _documents(port, key, accounts, flush=flush))
        cluster.start_controller()
        cluster.join([_NODE])
        make_key(cluster.folder(_NODE).secrets / "host", "ed25519")
        cluster.start(_NODE)
        log = work / f"{_NODE}.log"
        processes.wait_until("the node serves", lambda: _listens(port), within_s=60)
        say(f"a member serves {accounts} accounts, its log is {log}")
        yield Server(
            name=f"mftgit{'' if flush else ', flush: false'}",
            port=port,
            pid=_member_pid(cluster.folder(_NODE).root),
            key=work / "client",
            homes=cluster.files / "homes",
            accounts=True,
        )
        cluster.check()


def _documents(port: int, key: str, accounts: int, *, flush: bool) -> dict[str, str]:
    many = "limits: {connections: 5000, per_source: 5000, unauthenticated: 5000}\n"
    served = {
        f"accounts/c{number}.yaml": f"groups: [all]\nlogin:\n  keys: ['{key}']\n"
        for number in range(accounts)
    }
    return {
        "cluster.yaml": "name: bench\n",
        "members/controller.yaml": "role: controller\n",
        f"members/{_NODE}.yaml": "role: node\n",
        "locations/homes.yaml": "type: local\npath: homes\n",
        "groups/all.yaml": (
            "home: {location: homes, path: '{account}'}\nmax_sessions: 1000\n"
            "permissions:\n  - {path: /, allow: full}\n"
        ),
        "services/sftp.yaml": (
            f"type: sftp\nactive_on: [{_NODE}]\nlisten: {{address: 127.0.0.1, port: {port}}}\n"
            f"host_keys: [{{file: host}}]\n{many}uploads: {{flush: {str(flush).lower()}}}\n"
        ),
    } | served


def _listens(port: int) -> bool:
    # No connection is made: it would count as one that fails to log in.
    ports = (
        line.split()[1:4:2] for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]
    )
    return any(address.endswith(f":{port:04X}") and state == "0A" for address, state in ports)


def _member_pid(folder: Path) -> int:
    return int((folder / "lock").read_text(encoding="ascii").split()[0])


def _tree(pid: int) -> list[int]:
    """Return ``pid`` and the processes below it."""
    below: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                below.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for each in found:
        found += below.get(each, [])
    return found


def _cpu_s(pid: int) -> float:
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) / _TICKS_PER_S if fields else 0.0


def _stat(pid: int) -> list[str]:
    """Return the fields of proc(5)'s stat after the name; the third one of that page is the first here."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []
