"""What a change of one file costs in repositories of 100, 1,000 and 10,000 documents, and which step takes how long."""

import statistics
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import datetime
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeVar

from dulwich.objects import ObjectID

from bench import memory
from bench.members import CONTROLLER, Cluster, Log
from bench.support import Table, median_and_p99, ms, pause, say, stopwatch
from mftgit.adapters.clock import SystemClock
from mftgit.adapters.git.brought import History
from mftgit.adapters.git.send import write_pack
from mftgit.adapters.git.store import FETCHED, GitStore
from mftgit.cli.demo.processes import Processes
from mftgit.cli.rules import make_validator
from mftgit.member.verify import check_removals, check_signatures
from mftgit.model.configuration.config import Generation, Role
from mftgit.model.configuration.plan import plan
from mftgit.model.configuration.render import render
from mftgit.model.events.event import EventName
from mftgit.model.names import MAIN, MemberName, Revision
from mftgit.model.revisions.limits import Limits
from mftgit.model.revisions.push import RefUpdate
from mftgit.model.revisions.succession import check_succession
from mftgit.model.trust.trust import POLICY_FILES

SIZES: Final = (100, 1_000, 10_000)
QUICK_SIZES: Final = (100, 1_000)

_NODE: Final = "node-1"
_MEMBERS: Final = 10
_HERE: Final = 10
"""So many transfers are active on the node that runs; all of them are on a member of the steps."""

_CHANGED: Final = "transfers/transfer-1.yaml"
_SETTLE_S: Final = 1.5
_LOOK_S: Final = 0.1
_WITHIN_S: Final = 120.0
_STATIONS: Final = (
    EventName.REVISION_PUBLISHED,
    EventName.REVISION_FETCHED,
    EventName.REVISION_VERIFIED,
    EventName.REVISION_ACTIVATED,
)
_T = TypeVar("_T")


@dataclass(slots=True, kw_only=True)
class Pushes:
    """What was measured with ``documents`` documents, in seconds; one entry for each push."""

    documents: int
    push_s: list[float] = field(default_factory=list)
    active_after_push_s: list[float] = field(default_factory=list)
    between_s: list[list[float]] = field(default_factory=list)
    resident_mib: dict[str, float] = field(default_factory=dict)


def measure(work: Path, *, quick: bool) -> list[Table]:
    """See `bench.run`; one cluster after the other, then the steps one by one in this process."""
    sizes = QUICK_SIZES if quick else SIZES
    pushes = 3 if quick else 15
    found = [_cluster(work / f"{size}", size, pushes) for size in sizes]
    steps = {size: _steps(work / f"steps-{size}", size, 3 if quick else 9) for size in sizes}
    return [_table(found), _steps_table(steps)]


def documents(size: int) -> dict[str, str]:
    """Return a valid configuration of ``size`` documents: two transfers of three, a third of them with templates."""
    made = {"cluster.yaml": "name: bench\npoll_s: 30\n", "members/controller.yaml": "role: controller\n"}  # fmt: skip
    for number in range(1, _MEMBERS - 1):
        made[f"members/node-{number}.yaml"] = (
            f"role: node\nvariables: {{region: region-{number % 3}, port: {2200 + number % 3}}}\n"
        )
    locations = size // 3
    transfers = size - len(made) - locations
    for number in range(locations):
        made[f"locations/location-{number}.yaml"] = _location(number)
    for number in range(transfers):
        made[f"transfers/transfer-{number}.yaml"] = transfer(number, locations)
    return made


def _location(number: int) -> str:
    if number % 2 == 0:
        return (
            f"# Shared storage.\ntype: local\ndescription: Folder {number}\npath: share/{number}\n"
        )
    port = '"{{ port }}"' if number % 3 == 0 else "22"
    return (
        f"type: sftp\ndescription: Partner {number}\nhost: sftp-{number}.partner.example\nport: {port}\n"
        f"username: acme-{number}\npath: incoming\nauth:\n  - password: {{file: partner}}\n"
        "host_keys:\n  - SHA256:R2tJvYwQ0n3bXlMf8sZpKc5uHd1oEaWgT7iVyBqN4xU\n"
    )


def transfer(number: int, locations: int, *, stable_s: int = 2) -> str:
    """Return a transfer that fires once a year; the first few are active on the node that is measured."""
    path = "in/{{ region }}" if number % 3 == 0 else f"in/{number}"
    active = _NODE if number < _HERE else f"node-{2 + number % (_MEMBERS - 3)}"
    return (
        f"# Flow {number}.\ndescription: Files of flow {number}\n\n"
        f"source:\n  location: location-{2 * number % locations // 2 * 2}\n  path: out/{number}\n"
        f'  include: ["*.csv", "*.xml"]\n  exclude: ["draft-*"]\n  stable_s: {stable_s}\n\n'
        f'destination:\n  location: location-{(2 * number + 1) % locations}\n  path: "{path}"\n\n'
        "trigger:\n  cron: {expression: 30 1 1 1 *, timezone: Europe/Berlin}\n\n"
        f"after_success:\n  action: archive\n  path: sent/{number}\n\n"
        f"active_on: [{active}, node-8]\n"
    )


# From a push to a member, real processes


def _cluster(work: Path, size: int, pushes: int) -> Pushes:
    (work / "logs").mkdir(parents=True)
    processes = Processes(work / "logs")
    found = Pushes(documents=size)
    with processes.guarded():
        cluster = Cluster(work, processes, documents(size))
        cluster.start_controller()
        cluster.join([_NODE])
        folder = cluster.folder(_NODE)
        folder.write_secret(folder.secrets / "partner", b"of no server\n")
        cluster.start(_NODE)
        with cluster.log(CONTROLLER) as controller, cluster.log(_NODE) as node:
            _until_active(cluster, node, cluster.revision())
            say(f"{size:,} documents; {pushes} pushes")
            for number in range(pushes + 1):
                pause(_SETTLE_S)
                _push(cluster, (controller, node), found, number)
            found.resident_mib = {
                name: memory.resident(pid).rss for name, pid in memory.find_members(cluster.root).items()
            }  # fmt: skip
    return found


def _push(cluster: Cluster, logs: tuple[Log, Log], found: Pushes, number: int) -> None:
    """Push once; the first push after a start warms up what every later one has, and is left out."""
    controller, node = logs
    content = transfer(1, found.documents // 3, stable_s=10 + number)
    pushed = cluster.push(_CHANGED, content)
    active = _until_active(cluster, node, pushed.revision)
    if number == 0:
        return
    published = controller.at(EventName.REVISION_PUBLISHED, pushed.revision, by=CONTROLLER)
    times = [published, *(node.at(each, pushed.revision, by=_NODE) for each in _STATIONS[1:])]
    known = [at for at in times if at is not None]
    if len(known) != len(_STATIONS):
        raise RuntimeError(f"not every station told of {pushed.revision}")
    found.push_s.append(pushed.took_s)
    found.active_after_push_s.append((active - pushed.returned_at).total_seconds())
    found.between_s.append([(later - at).total_seconds() for at, later in pairwise(known)])


def _until_active(cluster: Cluster, log: Log, revision: str) -> datetime:
    for _ in range(int(_WITHIN_S / _LOOK_S)):
        at = log.at(EventName.REVISION_ACTIVATED, revision, by=_NODE)
        if at is not None:
            return at
        cluster.check()
        pause(_LOOK_S)
    raise RuntimeError(f"{revision} is not active after {_WITHIN_S:.0f} s")


def _table(found: list[Pushes]) -> Table:
    rows = []
    for each in found:
        stations = [ms(statistics.median(times)) for times in zip(*each.between_s, strict=True)]
        total = statistics.median(sum(times) for times in each.between_s)
        rows.append(
            (
                f"{each.documents:,}",
                ms(statistics.median(each.push_s)),
                *median_and_p99(each.active_after_push_s),
                ms(total),
                *stations,
                f"{each.resident_mib[CONTROLLER]:.0f} MiB",
                f"{each.resident_mib[_NODE]:.0f} MiB",
            )
        )
    return Table(
        title="A change of one file, from `git push` to active on a node",
        columns=(
            "documents", "git push", "returned -> active p50", "p99", "published -> active", "fetched", "verified",
            "activated", "controller's memory", "node's memory",
        ),
        rows=rows,
        notes=(
            f"{len(found[0].push_s)} pushes each, medians, after one that does not count; a node of {_HERE} transfers",
            "fetched, verified, activated: from the event before, by the node; published: by the controller",
        ),
        raw=[asdict(each) for each in found],
    )  # fmt: skip


# Step by step, in this process


class _Steps:
    """The hosted repository, a member's copy and a clone, and the steps of a push with the time that each takes."""

    def __init__(self, work: Path, size: int) -> None:
        self._documents = {path: text.encode() for path, text in documents(size).items()}
        self._size = size
        self._clone = work / "clone"
        self.taken: dict[str, list[float]] = {}
        self._gate, self._copy = (GitStore.create(work / name) for name in ("gate.git", "copy.git"))
        self._gate_validator, self._validator = make_validator(), make_validator()
        self._history = History()
        now = SystemClock().now()
        self._tip = self._gate.commit_documents(
            self._documents, message="First", author="Bench <bench@example.invalid>", now=now, parent=None
        )  # fmt: skip
        self._git("clone", "--quiet", str(work / "gate.git"), str(self._clone), at=work)
        self._gate_validator.validate(self._gate.tree(self._tip))
        self._generations: dict[str, Generation] = {}
        self._take_in(None, self._tip)

    def push(self, number: int) -> None:
        """Change one file and follow it, from the pack that git sends to the plan."""
        content = transfer(1, self._size // 3, stable_s=10 + number)
        (self._clone / _CHANGED).write_text(content, encoding="utf-8")
        self._git("commit", "--quiet", "--all", "--message", f"Change {number}")
        before, self._tip = self._tip, Revision(self._git("rev-parse", "HEAD").decode().strip())
        pack = self._git(
            "pack-objects", "--thin", "--revs", "--stdout", "--delta-base-offset", "--quiet",
            given=f"{self._tip}\n^{before}\n".encode(),
        )  # fmt: skip
        self._receive(pack, before)
        self._take_in(before, self._tip)

    def _receive(self, pack: bytes, before: Revision) -> None:
        limits, tip = Limits(), self._tip
        with self._gate.quarantine() as quarantine:
            self._timed("gate: take the pack in", lambda: quarantine.take(BytesIO(pack), limits))
            fault = self._timed("gate: check the objects", lambda: quarantine.fault(tip))
            tree = self._timed("gate: read the tree", lambda: quarantine.tree(tip, limits))
            found = self._timed("gate: validate", lambda: self._gate_validator.validate(tree))
            paths = self._timed("gate: list what was", lambda: self._gate.documents(before))
            self._timed(
                "gate: what may not follow",
                lambda: check_succession(self._gate.pick(before, POLICY_FILES), paths, tree),
            )
            self._timed("gate: leave out what is not needed", lambda: quarantine.keep_only([tip]))
            update = RefUpdate(ref=MAIN, old=before, new=tip)
            moved = self._timed("gate: swap", lambda: self._gate.move([update], quarantine))
        if fault or found.problems or not moved:
            raise RuntimeError(f"not taken: {fault} {found.problems[:3]} {moved}")

    def _take_in(self, before: Revision | None, tip: Revision) -> None:
        pack = self._send(before, tip)
        with self._copy.quarantine() as quarantine:
            self._timed("member: take the pack in", lambda: quarantine.take(pack, Limits()))
            fault = self._timed("member: check the objects", lambda: quarantine.fault(tip))
            update = RefUpdate(ref=FETCHED, old=before, new=tip)
            moved = self._timed("member: swap", lambda: self._copy.move([update], quarantine))
        if fault or not moved:
            raise RuntimeError(f"not fetched: {fault}")
        if before is not None:
            self._timed("member: lineage", lambda: self._copy.is_ancestor(before, tip))
        self._timed(
            "member: signatures", lambda: check_signatures(self._copy, anchor=before, tip=tip)
        )
        tree = self._timed("member: read the tree", lambda: self._copy.tree(tip))
        found = self._timed("member: validate", lambda: self._validator.validate(tree))
        for name, many in ((_NODE, "ten"), ("node-8", "all")):
            member = MemberName(name)
            after = self._timed(
                f"member: render, {many} transfers active",
                lambda member=member: render(found, member, Role.NODE),  # type: ignore[misc]
            )
            active = self._generations.get(name)
            self._timed(f"member: plan, {many} transfers active", lambda: plan(active, after))  # noqa: B023
            self._generations[name] = after
        self._timed("member: removals", lambda: check_removals(self._copy, anchor=before, tip=tip))
        self._timed("member: look at the store", lambda: self._copy.check(tip))

    def _send(self, before: Revision | None, tip: Revision) -> BytesIO:
        pack = BytesIO()
        with self._gate.repo() as repo:
            store, haves = repo.object_store, [ObjectID(before.encode())] if before else []
            wants = [ObjectID(tip.encode())]
            missing = self._timed(
                "controller: find what the member lacks",
                lambda: self._history.missing(store, wants=wants, haves=haves, shallow=()),
            )
            self._timed(
                "controller: pack it",
                lambda: write_pack(pack.write, store, missing, ofs_delta=True),
            )
        return pack

    def _timed(self, what: str, call: Callable[[], _T]) -> _T:
        with stopwatch() as one:
            result = call()
        self.taken.setdefault(what, []).append(one[0])
        return result

    def _git(self, *words: str, at: Path | None = None, given: bytes = b"") -> bytes:
        me = ("-c", "user.name=Bench", "-c", "user.email=bench@example.invalid")
        done = subprocess.run(
            ["git", *me, *words], cwd=at or self._clone, input=given, capture_output=True, timeout=120, check=True
        )  # fmt: skip
        return done.stdout

    def close(self) -> None:
        """Close both repositories."""
        self._gate.close()
        self._copy.close()


def _steps(work: Path, size: int, pushes: int) -> dict[str, list[float]]:
    """Return the seconds of each step for each push but the first two: the start, and what warms up."""
    work.mkdir()
    say(f"{size:,} documents, step by step")
    with closing(_Steps(work, size)) as steps:
        for number in range(pushes + 1):
            steps.push(number)
    return {what: values[-pushes:] for what, values in steps.taken.items()}


def _steps_table(found: dict[int, dict[str, list[float]]]) -> Table:
    names = list(dict.fromkeys(name for steps in found.values() for name in steps))
    order = ("gate", "controller", "member")
    names.sort(key=lambda name: order.index(name.partition(":")[0]))
    return Table(
        title="The same, step by step in one process",
        columns=("step", *(f"{size:,}" for size in found)),
        rows=[
            (name, *(ms(statistics.median(steps[name])) for steps in found.values()))
            for name in names
        ],
        notes=(f"medians of {min(map(len, found[min(found)].values()))}; git makes the packs",),
        raw={str(size): steps for size, steps in found.items()},
    )
