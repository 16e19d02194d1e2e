"""A schedule whose owner is killed around its firing, with real processes and real leases: one run for each firing."""

import sys
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event

import pytest
from cluster import Cluster

from mftgit.adapters.clock import SystemClock, rfc3339

LAUNCHER = Path(__file__).parents[1] / "support" / "odd_clock.py"
NODES = ["node-1", "node-2"]
DOCUMENTS = {
    "cluster.yaml": "name: c\ncoordinator: {type: shared-folder, ttl_s: 6}\n",
    "members/controller.yaml": "role: controller\n",
    "members/node-1.yaml": "role: node\n",
    "members/node-2.yaml": "role: node\n",
    "locations/here.yaml": "type: local\npath: here\n",
    "locations/there.yaml": "type: local\npath: there\n",
    "transfers/t.yaml": """source: {location: here, stable_s: 0}
destination: {location: there}
trigger: {cron: {expression: "* * * * *"}}
after_success: {action: delete}
active_on: nodes
""",
}


class Scheduled:
    """The cluster, and the clock on the wall that its nodes have; the controller does not let them in any more."""

    def __init__(self, made: Cluster) -> None:
        self.made = made
        self.ahead = timedelta()
        for path, content in DOCUMENTS.items():
            place = made.root / "documents" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(content, encoding="utf-8")
        made.init(made.root / "documents")
        self.clock = sys.executable, str(LAUNCHER), str(made.root / "seconds")
        made.start_controller()
        for name in NODES:
            made.join(name)
            self.start(name)
        made.until_active(made.status()["revision"], *NODES)

    def start(self, name: str) -> None:
        self.made.start(name, *self.clock)

    def kill(self, name: str) -> None:
        self.made.kill(name)
        (self.made.dir(name) / "status.json").unlink()  # it says nothing any more

    def now(self) -> datetime:
        return SystemClock().now() + self.ahead

    def set_to_second(self, second: float) -> datetime:
        """Set the clocks forward to this second of a minute; return when the next one begins."""
        now = self.now()
        step = timedelta(seconds=(second - now.second - now.microsecond / 1e6) % 60)
        self.ahead += step
        fresh = self.made.root / "seconds.new"
        fresh.write_text(str(self.ahead.total_seconds()), encoding="ascii")
        fresh.rename(self.made.root / "seconds")
        return (now + step).replace(second=0, microsecond=0) + timedelta(minutes=1)

    def until_no_firing_is_near(self) -> None:
        """Wait, so that a file that is dropped now is left to the firing that clocks are set forward to."""
        while not 3 <= self.now().second < 45:
            Event().wait(0.1)

    def owner(self) -> str:
        self.made.until("somebody owns it", lambda: any(map(self.owns, NODES)))
        return next(filter(self.owns, NODES))

    def owns(self, name: str) -> bool:
        if not (self.made.dir(name) / "status.json").exists():
            return False
        found = self.made.transfer("t", on=name, seen_by=name)
        return found is not None and found["owner"] == name

    def until_owned_by(self, name: str) -> None:
        self.made.until(f"{name} owns it", lambda: self.owns(name))

    def until_there(self, name: str) -> None:
        """Wait until it runs again, and looks who owns the transfer."""
        self.made.until(f"{name} says so", (self.made.dir(name) / "status.json").exists)
        self.made.until(
            f"{name} runs", lambda: self.made.member(name, seen_by=name)["state"] == "active"
        )

    def runs(self, due_at: datetime) -> list[tuple[str, bool]]:
        """Return who began a run for a firing, and whether that was caught up, as the nodes themselves tell."""
        told = [event for name in NODES for event in self.made.events(name)]
        return [
            (each["member"], each["caught_up"])
            for each in told
            if each["event"] == "RunStarted" and each["due_at"] == rfc3339(due_at)
        ]

    def drop(self, name: str) -> None:
        fresh = self.made.files / name
        fresh.write_text(name, encoding="utf-8")
        (self.made.files / "here").mkdir(exist_ok=True)
        fresh.rename(self.made.files / "here" / name)


@pytest.fixture
def scheduled(empty: Cluster) -> Scheduled:
    return Scheduled(empty)


@pytest.mark.long
def test_an_owner_that_is_killed_right_before_or_after_a_firing_leaves_one_run_for_it(
    scheduled: Scheduled,
) -> None:
    for before in (True, False):
        owner = scheduled.owner()
        scheduled.until_no_firing_is_near()
        scheduled.drop(f"before-{before}")
        if before:
            scheduled.kill(owner)
            due_at = scheduled.set_to_second(59)
        else:
            due_at = scheduled.set_to_second(58)
            scheduled.made.until("a run begins", lambda due=due_at: scheduled.runs(due))  # type: ignore[misc]
            ((owner, _),) = scheduled.runs(due_at)
            scheduled.kill(owner)
        (other,) = set(NODES) - {owner}
        scheduled.until_owned_by(other)
        arrived = scheduled.made.files / "there" / f"before-{before}"
        scheduled.made.until("the file arrives", arrived.exists)
        Event().wait(3.0)  # for a run too many
        assert scheduled.runs(due_at) == [(other, True) if before else (owner, False)]
        scheduled.start(owner)
        scheduled.until_there(owner)
    told = [event for name in NODES for event in scheduled.made.events(name)]
    due = Counter(each["due_at"] for each in told if each["event"] == "RunStarted")
    due.pop(None, None)  # a run that was cut short is gone on with
    assert set(due.values()) == {1}
