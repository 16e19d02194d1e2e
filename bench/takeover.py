"""From the SIGKILL of a transfer's owner to the first file that the next member delivers."""

import getpass
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from etcd_cluster import etcd_cluster
from sshd import Sshd, running_sshd

from bench.members import Cluster, moment
from bench.support import Table, pause, say
from mftgit.adapters.clock import SystemClock
from mftgit.cli.demo.processes import Processes
from mftgit.model.events.event import EventName
from mftgit.model.ownership.etcd_values import lease_s
from mftgit.model.ownership.lease import renew_every_s, wait_s, watch_every_s
from mftgit.resources import read_sample

ROUNDS: Final = 20
QUICK_ROUNDS: Final = 3
TTLS_S: Final = (2.0, 5.0, 10.0)
GOAL_S: Final = 0.3
"""What a takeover may take beyond the ttl."""

ETCD_LATE_S: Final = 0.5
"""So long etcd may take to see that a lease has ended: it looks twice a second."""

_SHARED: Final = (
    "kills are spread evenly over the renewal period (ttl / 3), the first right after a renewal",
    "by the rule: one ttl and two looks of the watcher; a renewal period less at the soonest",
)
_ETCD: Final = (
    "kills come at any time of the renewal period (ttl / 3)",
    "by the rule: what etcd keeps of the ttl, half a second, and a look; a renewal period less at the soonest",
    "or as with the shared folder, where that is sooner",
    "three etcds on the same machine, their data in memory",
)
_TRANSFER: Final = "invoices"
_NODES: Final = ("node-1", "node-2")
_LOOK_S: Final = 0.005
_SETTLE_S: Final = 1.0
_WITHIN_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """One round, in seconds after the kill; ``phase`` is how far the renewal period had run, 0 to 1."""

    phase: float
    lease_s: float
    delivery_s: float


def measure(work: Path, *, quick: bool) -> list[Table]:
    """See `bench.run`; the sample configuration with a real sshd as the partner, made anew for each ttl."""
    return [_table(_measure(work, (), quick=quick), _SHARED, _by_the_rule)]


def measure_with_etcd(work: Path, *, quick: bool) -> list[Table]:
    """Measure the same over three etcds, on this machine and in memory."""
    with etcd_cluster() as etcds:
        urls = [str(each) for each in etcds.endpoints]
        return [_table(_measure(work, urls, quick=quick), _ETCD, _by_etcd)]


def _measure(work: Path, etcd: Sequence[str], *, quick: bool) -> dict[float, list[Takeover]]:
    rounds = QUICK_ROUNDS if quick else ROUNDS
    found: dict[float, list[Takeover]] = {}
    for ttl_s in TTLS_S[:1] if quick else TTLS_S:
        root = work / f"ttl-{ttl_s:.0f}"
        for name in ("cluster", "logs", "sshd"):
            (root / name).mkdir(parents=True)
        with running_sshd(root / "sshd") as partner:
            processes = Processes(root / "logs")
            with processes.guarded():
                site = _Site(root / "cluster", processes, partner, ttl_s=ttl_s, etcd=etcd)
                site.wait()
                found[ttl_s] = [site.kill_owner(number / rounds) for number in range(rounds)]
    return found


class _Site:
    """A controller and two nodes, both running, and a partner."""

    def __init__(
        self,
        root: Path,
        processes: Processes,
        partner: Sshd,
        *,
        ttl_s: float,
        etcd: Sequence[str],
    ) -> None:
        self._etcd = etcd
        self._processes = processes
        self._ttl_s = ttl_s
        self._clock = SystemClock()
        self._incoming = partner.folder / "incoming"
        self._incoming.mkdir()
        self._cluster = Cluster(root, processes, _documents(partner, ttl_s, etcd))
        self._inbox = self._cluster.files / "inbox"
        self._inbox.mkdir()
        self._sent = 0
        self._cluster.start_controller()
        self._cluster.join(_NODES)
        for name in _NODES:
            key = self._cluster.folder(name).secrets / "partner.key"
            key.touch(mode=0o600)
            key.write_bytes((partner.secrets_dir / "client").read_bytes())
            self._cluster.start(name)

    def wait(self) -> None:
        """Wait until somebody delivers, and both members run."""
        arrives = self._put()
        self._until("somebody delivers", arrives.exists)
        began = datetime(1970, 1, 1, tzinfo=UTC)
        for name in _NODES:
            self._until(f"{name} runs", lambda name=name: self._has_started(name, began))  # type: ignore[misc]

    def kill_owner(self, phase: float) -> Takeover:
        """Kill the owner when ``phase`` of a renewal period has passed since it renewed; start it again after all.

        It has nothing under way then. A file is there from the kill on.
        """
        pause(renew_every_s(self._ttl_s) + _SETTLE_S)  # so that its heir has seen its session
        owner, taken_before = self._owner()
        if not self._etcd:  # of which nobody sees when it is asked
            beat = self._beat(owner)
            self._until("the owner renews", lambda: self._beat(owner) != beat)
        pause(phase * renew_every_s(self._ttl_s))
        killed_at = self._clock.now()
        self._processes.kill(owner)
        arrives = self._put()
        self._until("the file arrives", arrives.exists)
        delivered_at = datetime.fromtimestamp(arrives.stat().st_ctime, tz=UTC)  # of its rename
        heir, taken_at = self._owner()
        if heir == owner or taken_at <= taken_before:
            raise RuntimeError(f"{heir} has the transfer and did not take it over from {owner}")
        self._cluster.start(owner)
        self._until(f"{owner} is back", lambda: self._has_started(owner, killed_at))
        found = Takeover(
            phase=phase,
            lease_s=(taken_at - killed_at).total_seconds(),
            delivery_s=(delivered_at - killed_at).total_seconds(),
        )
        say(f"ttl {self._ttl_s:.0f} s: {found}")
        return found

    def _put(self) -> Path:
        """Put a file into the inbox and return where it arrives."""
        self._sent += 1
        fresh = self._inbox / ".fresh"
        fresh.write_bytes(b"x" * 10_000)
        name = f"file-{self._sent:06d}.csv"
        fresh.rename(self._inbox / name)
        return self._incoming / name

    def _until(self, what: str, reached: Callable[[], bool]) -> None:
        for _ in range(int(_WITHIN_S / _LOOK_S)):
            if reached():
                return
            self._processes.check()
            pause(_LOOK_S)
        raise RuntimeError(f"waited {_WITHIN_S:.0f} s in vain: {what}")

    def _beat(self, member: str) -> str:
        """Return the last sign of life of a member's last session."""
        sessions = self._cluster.files / ".mftgit" / "coordination" / "sessions"
        last = max(sessions.glob(f"{member}.*/own"), key=lambda own: own.stat().st_mtime_ns)
        return max(path.name for path in last.parent.glob("beat-*"))

    def _owner(self) -> tuple[str, datetime]:
        """Return who was the last to take the transfer, and when."""
        taken = []
        for name in _NODES:
            with self._cluster.log(name) as log:
                taken += [
                    (moment(each), name)
                    for each in log.all(EventName.OWNERSHIP_TAKEN)
                    if each.facts["transfer"] == _TRANSFER
                ]
        at, name = max(taken)
        return name, at

    def _has_started(self, member: str, since: datetime) -> bool:
        with self._cluster.log(member) as log:
            return any(moment(each) > since for each in log.all(EventName.MEMBER_STARTED))


def _documents(partner: Sshd, ttl_s: float, etcd: Sequence[str]) -> dict[str, str]:
    """Return the sample, its partner being ``partner``, with nothing in it that waits but for the lease."""
    made = {path: content.decode() for path, content in read_sample().items()}
    for path, pattern, wanted in (
        ("locations/partner.yaml", r"(?m)^port: .*$", f"port: {partner.port}"),
        ("locations/partner.yaml", r"(?m)^username: .*$", f"username: {getpass.getuser()}"),
        ("locations/partner.yaml", r"(?m)^path: .*$", f"path: {partner.folder}/incoming"),
        ("locations/partner.yaml", r"SHA256:\S+", partner.host_keys["ed25519"]),
        ("cluster.yaml", r"ttl_s: \d+", f"ttl_s: {ttl_s:.0f}"),
        (f"transfers/{_TRANSFER}.yaml", r"stable_s: [\d.]+", "stable_s: 0"),
    ):
        made[path], times = re.subn(pattern, wanted, made[path])
        if times != 1:
            raise RuntimeError(
                f"the sample's {path} has {pattern!r} {times} times: expected it once"
            )
    if etcd:
        where = f"type: etcd, etcd: {{endpoints: [{', '.join(etcd)}], prefix: /ttl-{ttl_s:.0f}}}"
        coordinator = f"coordinator: {{{where}, ttl_s: {ttl_s:.0f}}}\n"
        made["cluster.yaml"] = re.sub(
            r"(?m)^coordinator:\n(?:  .*\n)+", coordinator, made["cluster.yaml"]
        )
    return made


def _by_the_rule(ttl_s: float) -> tuple[float, float]:
    """Return the soonest and the latest takeover, in seconds after the kill."""
    soonest = wait_s(ttl_s) - renew_every_s(ttl_s)
    return soonest, wait_s(ttl_s) + 2 * watch_every_s(ttl_s, others=1)


def _by_etcd(ttl_s: float) -> tuple[float, float]:
    by_members = _by_the_rule(ttl_s)
    by_itself = (
        lease_s(ttl_s) - renew_every_s(ttl_s),
        lease_s(ttl_s) + ETCD_LATE_S + watch_every_s(ttl_s, others=1),
    )
    return min(by_members[0], by_itself[0]), min(by_members[1], by_itself[1])


def _table(
    found: dict[float, list[Takeover]],
    notes: tuple[str, ...],
    rule: Callable[[float], tuple[float, float]],
) -> Table:
    rows = []
    for ttl_s, rounds in found.items():
        lease = [each.lease_s for each in rounds]
        delivery = [each.delivery_s for each in rounds]
        soonest, latest = rule(ttl_s)
        rows.append(
            (
                f"{ttl_s:.0f} s",
                f"{len(rounds)}",
                f"{soonest:.2f} to {latest:.2f} s",
                f"{statistics.median(lease):.2f} s",
                f"{max(lease):.2f} s",
                f"{statistics.median(delivery):.2f} s",
                f"{max(delivery):.2f} s",
                f"{ttl_s + GOAL_S:.2f} s",
                f"{statistics.median(one - other for one, other in zip(delivery, lease, strict=True)):.2f} s",
            )
        )
    return Table(
        title="SIGKILL of the owner until the next member owns the transfer, and delivers",
        columns=(
            "ttl", "rounds", "by the rule", "owned: median", "max", "first file there: median", "max", "goal",
            "of it the delivery: median",
        ),
        rows=rows,
        notes=(
            *notes,
            "owned: the new owner's OwnershipTaken event; there: the time of the rename at the partner, an sshd",
            "the delivery: fence at both ends, connection, login, one file that was there before",
        ),
        raw={f"{ttl_s:.0f}": [asdict(each) for each in rounds] for ttl_s, rounds in found.items()},
    )  # fmt: skip
