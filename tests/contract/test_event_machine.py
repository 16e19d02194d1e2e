"""Whatever a member goes through, every event of it arrives or is counted, and no number stands for two events.

Its log is trimmed, put back from a copy, cut off from the controller and told lies about what arrived; the controller
lets go of events too.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from clocks import SetClock
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mftgit.adapters.channel import NumbersTakenError
from mftgit.adapters.events import index as event_index
from mftgit.adapters.events.store import ACKNOWLEDGED, ROLLOUT, EventStore
from mftgit.controller.members.collect import Collect
from mftgit.errors import TransientError
from mftgit.member.event_upkeep import EventUpkeep
from mftgit.member.report import Reporter
from mftgit.model.events.event import Event, EventName
from mftgit.model.events.retention import EventLimits
from mftgit.model.names import MemberName

NODE, CONTROLLER = MemberName("node-1"), MemberName("controller")
NAMES = [EventName.RUN_FINISHED, EventName.OWNERSHIP_TAKEN, EventName.RUN_FAILED]
LARGE, SMALL = 10**9, 2500


class Wire:
    """The way to the controller; it can be cut before or after what is sent was taken in."""

    def __init__(self, collect: Collect) -> None:
        self._collect = collect
        self.cut: str | None = None

    def send_events(self, events: Sequence[Event]) -> int:
        if self.cut == "before":
            raise TransientError("cut off")
        body = json.dumps({"events": [each.as_json() for each in events]}).encode()
        answer = self._collect.events(NODE, body)
        if self.cut == "after":
            raise TransientError("cut off")
        if "error" in answer:
            raise NumbersTakenError(
                answer["error"], acknowledged=answer["acknowledged"], last_seq=answer["last_seq"]
            )
        return int(answer["acknowledged"])


class Place:
    """One log with its upkeep."""

    def __init__(self, path: Path, member: MemberName, clock: SetClock) -> None:
        self.path, self.member, self.clock = path, member, clock
        self.limits = EventLimits(
            keep_days=2, member_keep_days=1, max_bytes=LARGE, member_max_bytes=LARGE
        )
        self.open()

    def open(self) -> None:
        self.store = EventStore(self.path, member=self.member, now=self.clock.now)
        self.upkeep = EventUpkeep(
            self.store,
            limits=lambda: self.limits,
            is_controller=self.member == CONTROLLER,
            clock=self.clock,
            rest_s=0,
        )

    def texts(self) -> set[int]:
        every = self.store.after(0, limit=100_000)
        return {int(cast("int", each.facts["text"])) for _, each in every if "text" in each.facts}


class Logs(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.clock = SetClock()
        self.node = Place(self.folder / "node.sqlite", NODE, self.clock)
        self.controller = Place(self.folder / "controller.sqlite", CONTROLLER, self.clock)
        nothing = cast("Any", None)
        collect = Collect(
            nothing,
            self.controller.store,
            nothing,
            report=nothing,
            kept=lambda _events, _at: None,
            cluster_id="c",
            controller=CONTROLLER,
        )
        self.wire = Wire(collect)
        self.written = 0
        self.stood_for: dict[int, object] = {}
        self.due: set[int] = set()
        self.arrived: set[int] = set()
        self.lost: set[int] = set()
        self.copied: set[int] | None = None

    @rule(count=st.integers(1, 12), name=st.sampled_from(NAMES))
    def write(self, count: int, name: EventName) -> None:
        numbers = range(self.written, self.written + count)
        self.node.store.append_each(name, [{"text": each} for each in numbers])
        self.written += count
        self.due |= set(numbers)

    @rule(cut=st.sampled_from([None, "before", "after"]))
    def report(self, cut: str | None) -> None:
        self.wire.cut = cut
        reporter = Reporter(cast("Any", self.wire), self.node.store, status=cast("Any", None))
        try:
            limit = 5
            while batch := reporter._batch(limit):
                limit = min(5, reporter._report(batch))
        except TransientError:
            pass
        self.arrived |= self.controller.texts()
        for _, each in self.controller.store.after(0, limit=100_000):
            if "text" in each.facts:
                text = each.facts["text"]
                assert self.stood_for.setdefault(each.seq, text) == text, "a number was used again"

    @rule(is_full=st.booleans())
    def node_upkeep(self, *, is_full: bool) -> None:
        self.node.limits = replace(self.node.limits, member_max_bytes=SMALL if is_full else LARGE)
        before, counted = self.node.texts(), self.node.store.keeping.dropped()
        self.node.upkeep.look()
        gone = before - self.node.texts() - self.arrived
        assert len(gone) <= self.node.store.keeping.dropped() - counted
        self.lost |= gone

    @rule(days=st.integers(0, 3))
    def controller_upkeep(self, days: int) -> None:
        for reader in (ACKNOWLEDGED, ROLLOUT):
            store = self.controller.store
            store.advance(reader, store.keeping.last_position())
        for _ in range(days):
            self.clock.pass_s(86_400)
            self.controller.upkeep.look()

    @rule()
    def copy(self) -> None:
        self.node.store.close()
        shutil.copy(self.node.path, self.folder / "copy.sqlite")
        self.node.open()
        self.copied = self.node.texts()

    @precondition(lambda self: self.copied is not None)
    @rule()
    def put_back(self) -> None:
        """What was written after the copy and did not arrive is gone with the disk."""
        self.node.store.close()
        shutil.copy(self.folder / "copy.sqlite", self.node.path)
        self.node.open()
        self.due &= self.arrived | self.node.texts()

    @rule()
    def restart(self) -> None:
        self.node.store.close()
        self.node.open()

    @invariant()
    def numbers_rise_with_what_is_to_be_sent(self) -> None:
        store = self.node.store
        waiting = [each.seq for _, each in store.after(store.progress(ACKNOWLEDGED), limit=9999)]
        assert waiting == sorted(set(waiting))

    def teardown(self) -> None:
        if not hasattr(self, "wire"):
            return
        self.report(None)
        assert self.due - self.lost <= self.arrived
        self.node.store.close()
        self.controller.store.close()
        shutil.rmtree(self.folder)


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_index, "BLOCK", 4)
        yield


def test_what_a_member_that_was_put_back_writes_is_not_taken_for_what_the_controller_let_go_of() -> (
    None
):
    logs = Logs()
    logs.begin()
    logs.write(5, NAMES[0])
    logs.copy()
    logs.write(4, NAMES[0])
    logs.report(None)
    logs.controller_upkeep(3)
    assert logs.controller.texts() == set()
    logs.put_back()
    logs.write(4, NAMES[2])
    logs.report(None)
    assert logs.controller.texts() >= {9, 10, 11, 12}
    logs.teardown()


TestLogs = Logs.TestCase
TestLogs.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
