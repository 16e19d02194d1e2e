"""From the SIGKILL of a transfer's owner to the first file that the next member delivers."""

import getpass
import json
import re
import statistics
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sshd import Sshd, running_sshd

from bench.members import Cluster, moment
from bench.support import Table, pause, say
from mftgit.adapters.clock import SystemClock
from mftgit.cli.demo.processes import Processes
from mftgit.model.events import EventName
from mftgit.model.lease import renew_every_s, wait_s, watch_every_s
from mftgit.resources import read_sample

ROUNDS: Final = 5
TTLS_S: Final = (4.0, 2.0)

_TRANSFER: Final = "invoices"
_NODES: Final = ("node-1", "node-2")
_STABLE_S: Final = 0.5  # of the sample's transfer
_EVERY_S: Final = 1.0
_DROP_EVERY_S = 0.2
_LOOK_S = 0.02
_WITHIN_S = 60.0
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """One round, in seconds after the kill; ``phase`` is how far the renewal period had run, 0 to 1."""

    phase: float
    lease_s: float
    delivery_s: float


def measure(work: Path, *, quick: bool) -> list[Table]:
    """See `bench.run`; the sample configuration with a real sshd as the partner, made anew for each ttl."""
    found: dict[float, list[Takeover]] = {}
    for ttl_s in TTLS_S[1:] if quick else TTLS_S:
        root = work / f"ttl-{ttl_s:.0f}"
        for name in ("cluster", "logs", "sshd"):
            (root / name).mkdir(parents=True)
        with running_sshd(root / "sshd") as partner:
            processes = Processes(root / "logs")
            with processes.guarded():
                site = _Site(root / "cluster", processes, partner, ttl_s=ttl_s)
                with _dropping(site.inbox):
                    site.wait()
                    rounds = 2 if quick else ROUNDS
                    found[ttl_s] = [site.kill_owner(number / rounds) for number in range(rounds)]
    return [_table(found)]


class _Site:
    """A controller and two nodes, both running."""

    def __init__(self, root: Path, processes: Processes, partner: Sshd, *, ttl_s: float) -> None:
        self._processes = processes
        self._ttl_s = ttl_s
        self._clock = SystemClock()
        (partner.folder / "incoming").mkdir()
        self._cluster = Cluster(root, processes, _documents(partner, ttl_s))
        self.inbox = self._cluster.files / "inbox"
        self.inbox.mkdir()
        self._cluster.start_controller()
        self._cluster.join(_NODES)
        for name in _NODES:
            key = self._cluster.folder(name).secrets / "partner.key"
            key.touch(mode=0o600)
            key.write_bytes((partner.secrets_dir / "client").read_bytes())
            self._cluster.start(name)

    def wait(self) -> None:
        """Wait until somebody delivers."""
        self._until("somebody delivers", lambda: bool(self._delivered(_LONG_AGO)))

    def kill_owner(self, phase: float) -> Takeover:
        """Kill the owner when ``phase`` of a renewal period has passed since it renewed; start it again after all."""
        beat = self._beat()
        owner = beat.split()[0]
        self._until("the owner renews", lambda: self._beat() != beat)
        pause(phase * renew_every_s(self._ttl_s))
        killed_at = self._clock.now()
        self._processes.kill(owner)
        heir = next(name for name in _NODES if name != owner)
        self._until(f"{heir} delivers", lambda: heir in self._delivered(killed_at))
        delivered_at = self._delivered(killed_at)[heir]
        taken_at = self._taken_at(heir, killed_at)
        self._cluster.start(owner)
        self._until(f"{owner} is back", lambda: self._is_back(owner, killed_at))
        pause(self._ttl_s)  # so that it has seen the lease of its heir
        found = Takeover(
            phase=phase,
            lease_s=(taken_at - killed_at).total_seconds(),
            delivery_s=(delivered_at - killed_at).total_seconds(),
        )
        say(f"ttl {self._ttl_s:.0f} s: {found}")
        return found

    def _until(self, what: str, reached: Callable[[], bool]) -> None:
        for _ in range(int(_WITHIN_S / _LOOK_S)):
            if reached():
                return
            self._processes.check()
            pause(_LOOK_S)
        raise RuntimeError(f"waited {_WITHIN_S:.0f} s in vain: {what}")

    def _beat(self) -> str:
        """Return what the owner last wrote: its name, a number that rises, and more."""
        lease = self._cluster.files / ".mftgit" / "leases" / f"lease-{_TRANSFER}"
        return max(lease.glob("beat-*")).read_text(encoding="utf-8")

    def _delivered(self, since: datetime) -> dict[str, datetime]:
        """Return when each member first wrote a delivery into the ledger after ``since``."""
        ledger = self._cluster.files / ".mftgit" / "transfers" / _TRANSFER / "ledger"
        first: dict[str, datetime] = {}
        for path in sorted(ledger.glob("*.jsonl")):
            for text in path.read_text(encoding="utf-8").splitlines():
                line = json.loads(text)
                at = datetime.fromisoformat(line["ended_at"])
                if at > since:
                    first[line["member"]] = min(at, first.get(line["member"], at))
        return first

    def _taken_at(self, member: str, since: datetime) -> datetime:
        with self._cluster.log(member) as log:
            return next(
                moment(each)
                for each in log.all(EventName.OWNERSHIP_TAKEN)
                if each.facts["transfer"] == _TRANSFER and moment(each) > since
            )

    def _is_back(self, member: str, since: datetime) -> bool:
        with self._cluster.log(member) as log:
            return any(moment(each) > since for each in log.all(EventName.MEMBER_STARTED))


def _documents(partner: Sshd, ttl_s: float) -> dict[str, str]:
    """Return the sample, its partner being ``partner``."""
    made = {path: content.decode() for path, content in read_sample().items()}
    for path, pattern, wanted in (
        ("locations/partner.yaml", r"(?m)^port: .*$", f"port: {partner.port}"),
        ("locations/partner.yaml", r"(?m)^username: .*$", f"username: {getpass.getuser()}"),
        ("locations/partner.yaml", r"(?m)^path: .*$", f"path: {partner.folder}/incoming"),
        ("locations/partner.yaml", r"SHA256:\S+", partner.host_keys["ed25519"]),
        ("cluster.yaml", r"ttl_s: \d+", f"ttl_s: {ttl_s:.0f}"),
    ):
        made[path], times = re.subn(pattern, wanted, made[path])
        if times != 1:
            raise RuntimeError(
                f"the sample's {path} has {pattern!r} {times} times: expected it once"
            )
    return made


@contextmanager
def _dropping(inbox: Path) -> Iterator[None]:
    """Put a small file into ``inbox`` again and again while the body runs."""
    stop = threading.Event()

    def drop() -> None:
        number = 0
        while not stop.wait(_DROP_EVERY_S):
            number += 1
            fresh = inbox / f".{number}"
            fresh.write_bytes(b"x" * 10_000)
            fresh.rename(inbox / f"file-{number:06d}.csv")

    thread = threading.Thread(target=drop, name="drop", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _table(found: dict[float, list[Takeover]]) -> Table:
    rows = []
    for ttl_s, rounds in found.items():
        lease = [each.lease_s for each in rounds]
        delivery = [each.delivery_s for each in rounds]
        soonest = wait_s(ttl_s) - renew_every_s(ttl_s)
        latest = wait_s(ttl_s) + 2 * watch_every_s(ttl_s)
        rows.append(
            (
                f"{ttl_s:.0f} s",
                f"{len(rounds)}",
                f"{statistics.median(lease):.2f} s",
                f"{max(lease):.2f} s",
                f"{soonest:.2f} to {latest:.2f} s",
                f"{statistics.median(delivery):.2f} s",
                f"{max(delivery):.2f} s",
                f"{latest + _EVERY_S + _STABLE_S:.2f} s",
            )
        )
    return Table(
        title="SIGKILL of the owner until the next member owns the transfer, and delivers",
        columns=(
            "ttl", "rounds", "owned: median", "max", "by the rule",
            "first delivery: median", "max", "bound",
        ),
        rows=rows,
        notes=(
            "kills are spread evenly over the renewal period (ttl / 3), the first right after a renewal",
            "by the rule: at most ttl x 1.02 and two looks of ttl / 10 each; a renewal period less at the soonest",
            (f"bound of the delivery: the same, {_EVERY_S:.0f} s between two listings and {_STABLE_S} s of seeing a "
             "file unchanged (the sample's values); the delivery itself comes on top"),
            "owned: the new owner's OwnershipTaken event; delivered: its first line in the ledger, after the rename",
        ),
        raw={f"{ttl_s:.0f}": [asdict(each) for each in rounds] for ttl_s, rounds in found.items()},
    )  # fmt: skip
