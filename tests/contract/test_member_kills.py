"""A node is killed before every step of what it does: it ends as one that was never killed, and tells it once."""

import json
import multiprocessing
import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cluster import Cluster, cluster
from controller_site import Node, open_node, open_parts
from kills import die_before
from node_site import ONE, TWO
from waiting import until

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.registry.orders import OrderRecords
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.main import mftgit
from mftgit.member.kept import read_orders
from mftgit.member.orders import OrderWatch
from mftgit.model.events.event import EventName
from mftgit.model.members.orders import Verb
from mftgit.model.members.passed_orders import Asked, OrderState, Settled
from mftgit.model.members.record import Stage
from mftgit.model.names import MemberName, TransferName

pytestmark = [pytest.mark.needs("git"), pytest.mark.long, pytest.mark.timeout(1200)]

FIRST = {
    "cluster.yaml": b"name: c\n",
    "members/controller.yaml": b"role: controller\n",
}
FAILING = {"cluster.yaml": b"name: c\nconfirm: {within_s: 1, command: check}\n"}
NODE = MemberName("node-1")
_FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """What a node is and has told, once it was started again and has come to rest."""

    stage: str
    runs: str | None
    transfers: list[str]
    told: Counter[tuple[str, str | None]]
    files: set[str]


class Ground:
    """A controller as a process, and the state folder of a node of it, to be copied."""

    def __init__(self, made: Cluster) -> None:
        self.made = made
        documents = made.root / "documents"
        for path, content in (FIRST | ONE).items():
            (documents / path).parent.mkdir(parents=True, exist_ok=True)
            (documents / path).write_bytes(content)
        made.init(documents)
        made.start_controller()
        made.join("node-1")
        self.folder = StateFolder(made.dir("node-1"))
        check = self.folder.commands / "check"
        check.parent.mkdir()
        check.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
        check.chmod(0o755)
        self.before_each: Callable[[], object] = lambda: None
        self.clone = made.clone()
        self.first = made.git("rev-parse", "HEAD", cwd=self.clone).stdout.strip()
        assert run(self.folder, follow) == 0

    def push(self, changes: dict[str, bytes]) -> str:
        return self.made.push(self.clone, {path: text.decode() for path, text in changes.items()})

    def kill_at_every_step(
        self, act: Callable[[Node], None], *, fresh: Callable[[Node], None]
    ) -> Iterator[tuple[str | None, After]]:
        """Let copies of the node ``act`` and be killed before each step in turn; give each as it is afterwards.

        ``fresh`` is what a node does that starts again. The last one was not killed, and its step is None.
        """
        for at in range(1, 400):
            folder = StateFolder(self.made.root / f"copy-{at}")
            shutil.copytree(self.folder.root, folder.root)
            self.before_each()
            told = self.made.root / f"step-{at}"
            ended = run(folder, act, at=at, told=told)
            step = told.read_text(encoding="utf-8") if told.exists() else None
            assert (ended == 0) is (step is None), (step, ended)
            found = self.made.root / f"after-{at}"
            assert run(folder, partial(tell, step=fresh, found=found)) == 0, step
            yield step, parse(found)
            shutil.rmtree(folder.root)
            if step is None:
                return
        raise AssertionError("it never came to its end")


def follow(node: Node) -> None:
    """Start, and look until nothing is under way."""
    node.intake.resume()
    node.look()


def tell(node: Node, *, step: Callable[[Node], None], found: Path) -> None:
    step(node)
    events = [each for _, each in node.events.after(0, limit=10_000)]
    value = {
        "stage": node.intake.record.stage.value,
        "runs": node.intake.runs,
        "transfers": node.transfers(),
        "told": [(each.event.value, each.revision) for each in events],
        "files": [each.name for each in node.folder.root.iterdir()],
    }
    found.write_text(json.dumps(value), encoding="utf-8")


def parse(found: Path) -> After:
    value: Any = json.loads(found.read_text(encoding="utf-8"))
    told = Counter((str(event), revision) for event, revision in value.pop("told"))
    return After(told=told, files=set(value.pop("files")), **value)


def run(
    folder: StateFolder, act: Callable[[Node], None], *, at: int = 0, told: Path = Path("none")
) -> int | None:
    """Let a node ``act`` in a process of its own; with ``at``, it dies before that step. Return how it ended."""
    process = _FORK.Process(target=_live, args=(folder, act, at, told), daemon=True)
    process.start()
    process.join(120)
    assert process.exitcode is not None
    return process.exitcode


def _live(folder: StateFolder, act: Callable[[Node], None], at: int, told: Path) -> None:
    main = threading.current_thread()
    if at:
        die_before(at, told, counts=lambda: threading.current_thread() is main)
    node = open_node(*open_parts(folder))
    act(node)
    node.close()
    os._exit(0)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with cluster(tmp_path) as made:
        yield Ground(made)


def outcomes(told: Counter[tuple[str, str | None]], revision: str) -> Counter[str]:
    names = ("RevisionActivated", "RevisionRefused", "RevisionRolledBack", "RevisionSuperseded")
    return Counter({name: told[name, revision] for name in names if told[name, revision]})


def check_each(
    found: Iterator[tuple[str | None, After]], check: Callable[[str | None, After], None]
) -> str:
    steps = []
    for step, after in found:
        check(step, after)
        torn = {name for name in after.files if name.endswith(".new")}
        assert torn == set(), step
        steps.append(str(step))
    return "\n".join(steps)


def test_a_node_that_is_killed_before_any_step_of_an_activation_has_the_revision_in_the_end(
    ground: Ground,
) -> None:
    new = ground.push(TWO)

    def check(step: str | None, after: After) -> None:
        assert (after.stage, after.runs) == (Stage.CONFIRMED.value, new), step
        assert after.transfers == ["one", "two"], step
        assert outcomes(after.told, new) == Counter({"RevisionActivated": 1}), step
        assert after.told["RevisionVerified", new] == 1, step

    found = check_each(ground.kill_at_every_step(follow, fresh=follow), check)
    for station in ("socket.connect", "store.git", ".record.json", "write events.sqlite"):
        assert station in found, found


def test_a_node_that_is_killed_before_any_step_of_a_roll_back_is_back_in_the_end(
    ground: Ground,
) -> None:
    bad = ground.push(TWO | FAILING)

    def begin(node: Node) -> None:
        node.intake.resume()
        node.intake.look()
        assert node.intake.record.stage is Stage.CONFIRMING
        until(lambda: node.intake.due_in_s == 0.0)

    assert run(ground.folder, begin) == 0

    def check(step: str | None, after: After) -> None:
        assert (after.stage, after.runs) == (Stage.ROLLED_BACK.value, ground.first), step
        assert after.transfers == ["one"], step
        assert outcomes(after.told, bad) == Counter({"RevisionRolledBack": 1}), step

    found = check_each(ground.kill_at_every_step(follow, fresh=follow), check)
    assert found.count(".record.json") >= 4, found


def test_a_node_that_is_killed_before_any_step_of_an_order_has_carried_it_out_once(
    ground: Ground,
) -> None:
    second = ground.push(TWO)
    assert run(ground.folder, follow) == 0
    order(ground.folder, "rollback")

    def check(step: str | None, after: After) -> None:
        assert (after.stage, after.runs) == (Stage.ROLLED_BACK.value, ground.first), step
        assert after.transfers == ["one"], step
        assert sum(count for (name, _), count in after.told.items() if name == ORDERED) == 1, step
        assert after.told["RevisionRecalled", second] == 1, step
        assert outcomes(after.told, second) == Counter({"RevisionActivated": 1}), step

    check_each(ground.kill_at_every_step(follow, fresh=follow), check)


def test_a_node_that_is_killed_before_any_step_of_an_order_of_the_controller_does_it_at_most_once(
    ground: Ground,
) -> None:
    def give() -> None:
        """Give it as the controller does, whose records another process may write to; what a copy left is over."""
        path = ground.made.dir("controller") / "registry.sqlite"
        asked = Asked(member=NODE, verb=Verb.RUN_TRANSFER, transfer=TransferName("one"))
        with closing(OrderRecords(path, now=SystemClock().now)) as records:
            left = [
                Settled(number=each.number, state=OrderState.REFUSED, outcome=None)
                for each in records.newest(limit=100)
            ]
            records.settle(NODE, left)
            records.give(asked, by="operator alice")

    def obey(node: Node) -> None:
        node.intake.resume()
        taken = OrderWatch(
            node.upstream.orders,
            folder=node.folder,
            clock=SystemClock(),
            told=lambda *_told, **_rest: None,
            obey=lambda: None,
        )
        taken.look()
        node.look()

    def check(step: str | None, after: After) -> None:
        told = Counter({name: count for (name, _), count in after.told.items() if name in SETTLED})
        assert sum(told.values()) == 1, (step, told)
        begun = EventName.RUN_STARTED.value
        assert sum(count for (name, _), count in after.told.items() if name == begun) <= 1, step

    ground.before_each = give
    found = check_each(ground.kill_at_every_step(obey, fresh=obey), check)
    for station in (".orders.json", ".record.json", "write events.sqlite"):
        assert station in found, found


REFUSED = EventName.ORDER_REFUSED.value
ORDERED = EventName.ORDER_CARRIED_OUT.value
SETTLED = {ORDERED, REFUSED}


def order(folder: StateFolder, *words: str) -> None:
    done = CliRunner().invoke(mftgit, [*words, "--dir", str(folder.root)])
    assert done.exit_code == 0, done.output


def test_an_order_whose_command_is_killed_before_any_step_is_given_or_not_and_the_next_one_is(
    ground: Ground,
) -> None:
    def give(node: Node) -> None:
        order(node.folder, "suspend")

    def give_another(node: Node) -> None:
        assert len(read_orders(node.folder.orders).given) in {0, 1}
        order(node.folder, "drain")
        node.intake.resume()
        assert node.intake.operator.orders.draining

    def check(step: str | None, after: After) -> None:
        given = sum(count for (name, _), count in after.told.items() if name == ORDERED)
        assert given in ({2} if step is None else {1, 2}), step

    check_each(ground.kill_at_every_step(give, fresh=give_another), check)
