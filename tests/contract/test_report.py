"""What a node reports arrives, whatever became of its log or of the controller's, and whatever is in its way."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from clocks import SetClock
from controller_site import NODE, NOW, Node, Site, controller_site

from mftgit.adapters.events.store import EventStore
from mftgit.adapters.registry.registry import Registry
from mftgit.errors import TransientError
from mftgit.member.report import (
    LONGEST_LOOK_S,
    LOOK_S,
    RENEWED_EVERY_S,
    STATUS_EVERY_S,
    Reporter,
    pause_s,
)
from mftgit.model.configuration.config import Role
from mftgit.model.events.event import Event, EventName
from mftgit.model.members.messages import (
    MAX_REPORT_BYTES,
    MemberState,
    MemberStatus,
)
from mftgit.model.names import MemberName, TransferName
from mftgit.model.transfers.status import TransferState, TransferStatus

STATUS = MemberStatus(
    name=NODE,
    role=Role.NODE,
    state=MemberState.ACTIVE,
    active_revision=None,
    attempted_revision=None,
    reason=None,
)
TRANSFER = TransferStatus(
    name=TransferName("one"),
    owner=NODE,
    epoch=None,
    state=TransferState.RUNNING,
    last_run=None,
    delivered=0,
)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as made:
        yield made


@pytest.fixture
def node(site: Site) -> Node:
    return site.node()


def write(node: Node, *texts: str) -> None:
    for text in texts:
        node.events.append(EventName.RUN_STARTED, facts={"text": text})


def report(node: Node, status: MemberStatus = STATUS) -> None:
    Reporter(node.upstream, node.events, status=lambda: status)._send()


def arrived(site: Site) -> list[str]:
    found = [each for _, each in site.events.after(0, limit=10_000) if each.member == NODE]
    assert max(Counter(each.seq for each in found).values(), default=1) == 1
    return [str(each.facts["text"])[:9] for each in found]


def with_log(site: Site, node: Node, change: Callable[[Path], object]) -> Node:
    """Stop the node, change its event log, and open it again."""
    node.close()
    site.nodes.remove(node)
    change(node.folder.events)
    return site.node()


class Busy:
    """A way to the controller, during each use of which something more happens."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node.upstream, name)

    def send_events(self, events: list[Event]) -> int:
        taken = self._node.upstream.send_events(events)
        write(self._node, f"during {events[-1].seq}")
        return taken


def test_what_happens_during_a_report_is_gathered_for_the_next_one(site: Site, node: Node) -> None:
    reporter = Reporter(Busy(node), node.events, status=lambda: STATUS)
    write(node, "first")
    reporter._send()
    assert arrived(site) == ["first"]
    reporter._send()
    assert arrived(site) == ["first", "during 1"]


def test_reports_that_follow_each_other_gather_for_longer(node: Node) -> None:
    clock = SetClock()
    reporter = Reporter(node.upstream, node.events, status=lambda: STATUS, clock=clock)
    at_first = reporter._settle_s()
    write(node, "first")
    reporter._send()
    assert reporter._settle_s() > at_first
    clock.pass_s(2.0)
    assert reporter._settle_s() == at_first


def test_counts_of_deliveries_are_told_every_two_seconds_and_what_matters_at_once(
    site: Site, node: Node
) -> None:
    clock = SetClock()
    told = [STATUS]
    reporter = Reporter(node.upstream, node.events, status=lambda: told[-1], clock=clock)

    def arrives(status: MemberStatus) -> bool:
        told.append(status)
        reporter._send()
        with closing(Registry(site.folder.registry, now=NOW)) as registry:
            return status in {each.status for each in registry.members()}

    def delivered(count: int) -> MemberStatus:
        return replace(told[-1], transfers=(replace(TRANSFER, delivered=count),))

    assert arrives(STATUS)
    assert not arrives(delivered(1))
    assert arrives(replace(told[-1], state=MemberState.CONFIRMING))
    assert not arrives(delivered(2))
    clock.pass_s(STATUS_EVERY_S)
    assert arrives(told[-1])
    clock.pass_s(STATUS_EVERY_S)
    renewed = replace(told[-1], renewed_at="2026-11-23T08:00:03.000Z")
    assert not arrives(renewed)
    clock.pass_s(RENEWED_EVERY_S)
    assert arrives(renewed)
    assert not arrives(delivered(3))
    assert arrives(replace(told[-1], renewed_at=None))
    assert not arrives(delivered(4))
    reporter.stop()
    assert arrives(told[-1])


def test_the_status_is_left_on_this_machine_also_while_the_controller_is_away_for_long(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mftgit.member.report.LOOK_S", 0.01)
    said = []

    def status() -> MemberStatus:
        said.append(STATUS)
        if len(said) == 3:
            reporter._stopping.set()
        return STATUS

    reporter = Reporter(node.upstream, node.events, status=status)
    reporter._back_off(6)
    assert len(said) == 3


def test_a_lost_log_loses_no_event_that_is_written_later(site: Site, node: Node) -> None:
    write(node, "a", "b", "c")
    report(node)
    node = with_log(site, node, Path.unlink)
    write(node, "d", "e")
    report(node)
    write(node, "f")
    report(node)
    assert arrived(site) == ["a", "b", "c", "d", "e", "f"]
    own = [each.seq for _, each in node.events.after(0)]
    assert own == [4, 5, 6]  # the same names on both sides


def test_a_log_that_was_put_back_from_a_copy_loses_no_event_and_repeats_none(
    site: Site, node: Node, tmp_path: Path
) -> None:
    write(node, "a", "b")
    report(node)
    write(node, "c")
    node = with_log(site, node, lambda path: shutil.copy(path, tmp_path / "copy"))
    write(node, "d")
    report(node)
    node = with_log(site, node, lambda path: shutil.copy(tmp_path / "copy", path))
    write(node, "e", "f")
    report(node)
    assert arrived(site) == ["a", "b", "c", "d", "e", "f"]


def test_two_copies_of_one_node_that_report_in_turn_lose_no_event(
    site: Site, node: Node, tmp_path: Path
) -> None:
    write(node, "a")
    report(node)
    node = with_log(site, node, lambda path: shutil.copy(path, tmp_path / "copy"))
    twin = EventStore(tmp_path / "copy", member=NODE, now=NOW)
    for number in range(3):
        write(node, f"node {number}")
        twin.append(EventName.RUN_STARTED, facts={"text": f"twin {number}"})
        report(node)
        Reporter(node.upstream, twin, status=lambda: STATUS)._send()
    twin.close()
    both = [f"{who} {number}" for who in ("node", "twin") for number in range(3)]
    assert sorted(arrived(site)) == ["a", *both]


def test_a_controller_that_lost_its_log_takes_reports_as_before(site: Site, node: Node) -> None:
    write(node, "a")
    report(node)
    site.stop()
    site.events.close()
    site.folder.events.unlink()
    site.events = EventStore(site.folder.events, member=site.folder.read_bootstrap().name, now=NOW)
    site.start()
    write(node, "b")
    report(node)
    assert arrived(site) == ["b"]


def test_events_that_are_refused_are_passed_over_and_keep_no_other_back(
    site: Site, node: Node
) -> None:
    write(node, "a", "b")
    stranger = Event(member=MemberName("other"), seq=1, at="x", event=EventName.RUN_STARTED)
    node.events.collect([stranger])
    write(node, "c", "x" * MAX_REPORT_BYTES, "d")
    report(node)
    assert arrived(site) == ["a", "b", "c", "d"]
    write(node, "e")
    report(node)
    assert arrived(site)[-1] == "e"


def test_a_report_is_bounded_by_bytes(site: Site, node: Node) -> None:
    texts = [f"{number} ".ljust(3 << 20, "x") for number in range(7)]
    write(node, *texts)
    assert len(Reporter(node.upstream, node.events, status=lambda: STATUS)._batch(500)) == 1
    report(node)
    assert arrived(site) == [each[:9] for each in texts]


def test_a_status_that_is_refused_keeps_no_event_back(site: Site, node: Node) -> None:
    write(node, "a")
    report(node, replace(STATUS, reason="x" * MAX_REPORT_BYTES))
    assert arrived(site) == ["a"]


def test_a_controller_that_cannot_write_is_no_fault_of_the_report(site: Site, node: Node) -> None:
    write(node, "a", "b")
    with site.refusing(site.folder.events, "events"):
        with pytest.raises(TransientError):
            report(node)
        assert node.events.progress("acknowledged") == 0
    report(node)
    assert arrived(site) == ["a", "b"]


def test_a_status_that_takes_long_is_looked_at_less_often() -> None:
    assert pause_s(0.001) == LOOK_S
    assert pause_s(0.01) == pytest.approx(2.0)
    assert pause_s(60.0) == LONGEST_LOOK_S
