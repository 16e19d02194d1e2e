"""A cluster of real processes in network namespaces, a partner that takes every file away at once, and what arrived.

Controller, nodes and the partner's sshd are each in a namespace of their own. Sources, local destinations and leases
are on one folder, which the members share. Duplicates are counted where files arrive, losses by what was put out.
"""

import hashlib
import itertools
import json
import os
import random
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final

from arrivals import Arrivals
from cluster import Cluster, cluster
from etcd_parts import Etcds, running_etcds
from holding_partner import Holding, holding_partner
from netns import Network, Part, network
from sshd import Sshd

SUPPORT: Final = Path(__file__).parent
NO_FENCE: Final = {"FAULTS_NO_FENCE": "1"}
NO_DEADLINE: Final = {"FAULTS_NO_DEADLINE": "1"}
TTL_S: Final = 2
TO_PARTNER: Final = ("free", "preferred")  # transfers
LOCAL: Final = "local"
PULLED: Final = "pulled"  # from the partner, where nothing is renamed: claimed by record
TRANSFERS: Final = (*TO_PARTNER, LOCAL, PULLED)
SIZES: Final = (0, 1, 2_000, 2_000, 30_000, 400_000)

_TRANSFER: Final = """\
source: {{{source}, stable_s: 0}}
destination: {{location: {to}, path: {name}, overwrite: overwrite}}
trigger: {{watch: {{every_s: 1}}}}
retry: {{first_s: 1, longest_s: 2}}
after_success: {{action: delete}}
active_on: nodes
"""


def _transfer(name: str, *, to: str) -> str:
    return _TRANSFER.format(name=name, source=f"location: outgoing, path: {name}", to=to)


def clock_rate(rate: float) -> dict[str, str]:
    """Return what lets the clock that a member's leases go by run so fast."""
    return {"FAULTS_CLOCK_RATE": str(rate)}


def wall_clock(seconds: int) -> dict[str, str]:
    """Return what sets a member's wall clock so far off, for all that runs in its process.

    Of files, times are what the storage says. The other clocks are left alone: Python waits by them with
    sem_clockwait, which libfaketime does not know, so that each wait would end at another time than it was to.
    """
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": f"{seconds:+d}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }


class FaultSite:
    """The cluster and everything around it; made by `fault_site`."""

    def __init__(
        self,
        made: Cluster,
        net: Network,
        partner: Sshd,
        parts: Mapping[str, Part],
        hold: Holding,
        etcds: Etcds | None = None,
    ) -> None:
        self.made = made
        self.net = net
        self.partner = partner
        self.parts = parts
        self.hold = hold
        self.etcds = etcds
        self.nodes = [name for name in parts if name.startswith("node-")]
        self.arrivals = Arrivals()
        self.environments: dict[str, dict[str, str]] = {}
        self._received = made.root / "received"
        self._numbers = itertools.count()
        self._over = Event()
        self._reader = Thread(target=self._take_away)
        self._places = {
            **{name: partner.folder / name for name in TO_PARTNER},
            LOCAL: made.files / "incoming" / LOCAL,
            PULLED: made.files / "incoming" / PULLED,
        }
        self._sources = {name: made.files / "outgoing" / name for name in (*TO_PARTNER, LOCAL)} | {
            PULLED: partner.folder / "outgoing" / PULLED
        }

    # Members

    def begin(self) -> None:
        """Make the cluster, and wait until every member runs its revision."""
        self._received.mkdir()
        for place in (*self._places.values(), *self._sources.values()):
            place.mkdir(parents=True)
        self._reader.start()
        self._write_documents()
        made = self.made
        made.init(made.root / "documents")
        with self.parts["controller"].inside():
            made.start_controller()
        for name in self.nodes:
            with self.parts[name].inside():
                made.join(name)
            key = made.dir(name) / "secrets" / "partner.key"
            key.touch(mode=0o600)
            key.write_bytes((self.partner.secrets_dir / "client").read_bytes())
            self.start(name)
        made.until_active(made.status()["revision"], "controller", *self.nodes)

    def start(self, name: str) -> None:
        """Start a member in its namespace; what it last said counts no more."""
        (self.made.dir(name) / "status.json").unlink(missing_ok=True)
        words = [f"{key}={value}" for key, value in self.environments.get(name, {}).items()]
        with self.parts[name].inside():
            self.made.start(name, *(["env", *words] if words else []))

    def restart_with(self, name: str, variables: Mapping[str, str]) -> None:
        """Start a member anew with variables that its process sees; see injected/sitecustomize.py."""
        self.made.kill(name)
        self.environments[name] = {"PYTHONPATH": str(SUPPORT / "injected"), **variables}
        self.start(name)

    def undo(self) -> None:
        """Start those anew that were started with variables, without."""
        for name in list(self.environments):
            self.restart_with(name, {})
            del self.environments[name]

    def owner(self, transfer: str, *, but: str | None = None) -> str | None:
        """The node that says that it owns ``transfer``, other than ``but``: one that is stopped says so still."""
        for name in self.nodes:
            if name != but and self.says(name, transfer).get("owner") == name:
                return name
        return None

    def says(self, name: str, transfer: str) -> dict[str, Any]:
        """What a node last said of a transfer, on its own disk; nothing if it has said nothing yet."""
        try:
            content = (self.made.dir(name) / "status.json").read_bytes()
        except FileNotFoundError:
            return {}
        told: list[dict[str, Any]] = json.loads(content)["member"]["transfers"]
        return next((each for each in told if each["name"] == transfer), {})

    def until_owned(self, transfer: str, *, but: str | None = None) -> str:
        """Wait until there is an `owner`, and return its name."""
        found: list[str] = []  # a moment later there may be none

        def is_owned() -> bool:
            owner = self.owner(transfer, but=but)
            found.extend([owner] if owner else [])
            return bool(found)

        self.made.until(f"{transfer} is owned, not by {but}", is_owned)
        return found[0]

    def stop(self, name: str) -> None:
        self.made.signal(name, signal.SIGSTOP)

    def wake(self, name: str) -> None:
        self.made.signal(name, signal.SIGCONT)

    def let_sleep(self, name: str, *, ttls: float) -> None:
        """Stop a member for so many times the ttl, and wake it."""
        self.stop(name)
        self._over.wait(ttls * TTL_S)
        self.wake(name)

    def hold_back(self, what: str) -> tuple[str, str]:
        """Put out a file for ``free``, and have the partner hold its rename back; return its name, and the owner's."""
        self.hold.next_rename(what)
        (name,) = self.put("free")
        self.made.until("the partner holds a rename back", lambda: self.hold.held_for)
        addresses = {self.parts[each].address: each for each in self.nodes}
        return name, addresses[str(self.hold.held_for)]

    def sleep_mid_rename(self, what: str, *, wakes_first: bool = False) -> int:
        """Stop an owner while a rename of its is at the partner, until others have its transfer; return its outcome.

        ``what``: ``request``, the partner carries it out late; ``reply``, it has carried it out at once. With
        ``wakes_first`` the owner is awake again by then.
        """
        name, owner = self.hold_back(what)
        self.stop(owner)
        self.until_owned("free", but=owner)
        self.made.until("the file arrives", lambda: self.has("free", name))
        if wakes_first:
            self.wake(owner)
        self.hold.let_go()
        self.made.until("the rename has come to its end", lambda: self.hold.outcome is not None)
        outcome = self.hold.outcome
        assert outcome is not None
        self.wake(owner)
        (after,) = self.put("free")
        self.made.until("another file arrives", lambda: self.has("free", after))
        self.hold.forget()
        return outcome

    # Files

    def put(self, *transfers: str, files: int = 1, size_bytes: int | None = None) -> list[str]:
        """Put out files for each of ``transfers``, whole at once; return their names."""
        names = [f"{next(self._numbers):05d} ü.dat" for _ in range(files)]
        for transfer, name in itertools.product(transfers, names):
            content = os.urandom(random.choice(SIZES) if size_bytes is None else size_bytes)
            self.arrivals.sent[transfer, name] = hashlib.sha256(content).hexdigest()
            fresh = self.made.root / "fresh"
            fresh.write_bytes(content)
            fresh.rename(self._sources[transfer] / name)
        return names

    def has(self, transfer: str, *names: str) -> bool:
        counted = self.arrivals.counted()
        return all(counted[transfer, name] for name in names)

    def until_all_arrived(self, *, within_s: float = 120.0) -> None:
        self.made.until(
            "every file has arrived", lambda: not self.arrivals.lost(), within_s=within_s
        )

    def check(self, *, within_s: float = 120.0) -> None:
        """See that everything arrives, once and whole; `heal` first."""
        self.until_all_arrived(within_s=within_s)
        self.made.until("no source has a file or a claim", lambda: not self._left())
        assert self.arrivals.repeated() == {}
        assert self.arrivals.torn() == []

    def heal(self) -> None:
        """Let all be well again: the ways, the partner, the processes."""
        self.net.mend()
        if self.etcds is not None:
            self.etcds.heal()
        if not self.hold.is_idle:
            self.hold.let_go()
        for name in ("controller", *self.nodes):
            if name in self.made.running:
                self.wake(name)
            else:
                self.start(name)

    def end(self) -> None:
        self.hold.forget()
        self._over.set()
        if self._reader.ident is not None:
            self._reader.join()

    def _left(self) -> list[Path]:
        claims = self.made.files.glob("outgoing/*/.mftgit/*/claims/*/*")
        files = [path for place in self._sources.values() for path in place.iterdir()]
        return [path for path in (*claims, *files) if path.is_file()]

    def _take_away(self) -> None:
        """Take each file by a rename, so that one which arrives again in this moment is another one."""
        number = 0
        while not self._over.wait(0.003):
            for transfer, place in self._places.items():
                for path in place.iterdir():
                    if path.name[0] != ".":
                        number += 1
                        taken = path.rename(self._received / str(number))
                        digest = hashlib.sha256(taken.read_bytes()).hexdigest()
                        taken.unlink()
                        self.arrivals.got.append((transfer, path.name, digest))

    def _write_documents(self) -> None:
        where = {"type": "shared-folder"} if self.etcds is None else self.etcds.coordinator()
        coordinator = where | {"ttl_s": TTL_S}
        partner = f"""\
type: sftp
host: {self.parts["partner"].address}
port: {self.partner.port}
username: root
path: {self.partner.folder}
timeout_s: 2
host_keys: ["{self.partner.host_keys["ed25519"]}"]
auth: [{{private_key: {{file: partner.key}}}}]
"""
        documents = {
            "cluster.yaml": f"name: c\ncoordinator: {json.dumps(coordinator)}\n",
            "members/controller.yaml": "role: controller\n",
            "locations/outgoing.yaml": "type: local\npath: outgoing\n",
            "locations/incoming.yaml": "type: local\npath: incoming\n",
            "locations/partner.yaml": partner,
            "transfers/free.yaml": _transfer("free", to="partner"),
            "transfers/preferred.yaml": _transfer("preferred", to="partner")
            + f"prefer: [{', '.join(reversed(self.nodes))}]\n",
            "transfers/local.yaml": _transfer(LOCAL, to="incoming"),
            "transfers/pulled.yaml": _TRANSFER.format(
                name=PULLED,
                source=f"location: partner, path: outgoing/{PULLED}, claim: record",
                to="incoming",
            ),
        } | {f"members/{name}.yaml": "role: node\n" for name in self.nodes}
        for path, text in documents.items():
            place = self.made.root / "documents" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")


@contextmanager
def fault_site(root: Path, *, nodes: int = 2, etcd: bool = False) -> Iterator[FaultSite]:
    """Run a cluster for the time of the block; every node has what it needs and runs.

    Leases are on the shared folder or, with ``etcd``, in three etcds, each in a namespace of its own too.
    """
    with ExitStack() as stack:
        net = stack.enter_context(network())
        names = ["controller", *(f"node-{number + 1}" for number in range(nodes)), "partner"]
        parts = {name: net.part(name) for name in names}
        hold = Holding(root / "hold")
        with parts["partner"].inside():
            partner = stack.enter_context(holding_partner(root / "partner", parts["partner"], hold))
        etcds = None
        if etcd:
            own = [net.part(f"etcd-{number + 1}") for number in range(3)]
            etcds = stack.enter_context(running_etcds(own))
        made = stack.enter_context(cluster(root))
        made.host = parts["controller"].address
        site = FaultSite(made, net, partner, parts, hold, etcds)
        stack.callback(site.end)
        site.begin()
        yield site
