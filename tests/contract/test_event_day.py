"""A day without the controller loses nothing: a busy member's events wait in its log, and arrive once and in order."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from clocks import SetClock
from controller_site import NODE, Site, controller_site

from mftgit.adapters.events.store import EventStore
from mftgit.errors import MftgitError
from mftgit.member.event_upkeep import EventUpkeep
from mftgit.member.report import Reporter
from mftgit.model.configuration.config import Role
from mftgit.model.events.event import Event, EventName, Fact
from mftgit.model.events.retention import EventLimits
from mftgit.model.members.messages import MemberState, MemberStatus

DAY_S = 24 * 3600.0
TRIES = 24
RUNS, FILES_OF_A_RUN = 100_000, 5
"""What docs/reference/events.md says of a day: 500,000 files in 100,000 runs, which are 700,000 events."""

STATUS = MemberStatus(
    name=NODE,
    role=Role.NODE,
    state=MemberState.ACTIVE,
    active_revision=None,
    attempted_revision=None,
    reason=None,
)


@dataclass(frozen=True, kw_only=True)
class Day:
    """What became of it."""

    written: int
    dropped: int
    size_bytes: int
    arrived: list[int]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as made:
        yield made


def run_of(number: int) -> Iterator[tuple[EventName, Mapping[str, Fact]]]:
    """Give the events of one run, as large as they are."""
    transfer = f"transfer-{number % 300}"
    yield EventName.RUN_STARTED, {"transfer": transfer}
    for file in range(FILES_OF_A_RUN):
        delivered: dict[str, Fact] = {
            "transfer": transfer,
            "id": f"{number:08x}{file:08x}",
            "path": f"in/invoice-{number:09}-{file}.pdf",
            "destination": "bank",
            "final": f"/upload/invoice-{number:09}-{file}.pdf",
            "size_bytes": 123_456,
            "sha256": f"{number:064x}",
        }
        yield EventName.DELIVERY_SUCCEEDED, delivered
    finished: dict[str, Fact] = {
        "transfer": transfer,
        "outcome": "succeeded",
        "files": FILES_OF_A_RUN,
        "size_bytes": 617_280,
        "errors": [],
    }
    yield EventName.RUN_FINISHED, finished


def pass_day(site: Site, limits: EventLimits, *, runs: int, looks: int) -> Day:
    """Have a member write for a day while the controller is gone, and report when it is back."""
    node, clock = site.node(), SetClock()
    site.stop()
    with closing(EventStore(node.folder.events, member=NODE, now=clock.now)) as log:
        upkeep = EventUpkeep(log, limits=lambda: limits, is_controller=False, clock=clock, rest_s=0)
        reporter = Reporter(node.upstream, log, status=lambda: STATUS, clock=clock)
        for look in range(looks):
            numbers = range(look * runs // looks, (look + 1) * runs // looks)
            log.append_all([each for number in numbers for each in run_of(number)])
            clock.pass_s(DAY_S / looks)
            upkeep.look()
            if look % (looks // TRIES) == 0:
                with pytest.raises(MftgitError):
                    reporter._send()
        written, size_bytes = log.last_seq(NODE), log.keeping.size_bytes()
        site.start()
        reporter._send()
    return Day(
        written=written,
        dropped=upkeep.dropped,
        size_bytes=size_bytes,
        arrived=[each.seq for each in arrived(site)],
    )


def arrived(site: Site) -> Iterator[Event]:
    position = 0
    while page := site.events.after(position):
        position = page[-1][0]
        yield from (event for _, event in page if event.member == NODE)


def check_nothing_is_lost(day: Day, *, runs: int) -> None:
    assert day.written == runs * (FILES_OF_A_RUN + 2)
    assert day.dropped == 0
    assert day.arrived == list(range(1, day.written + 1))


def one_of(parts: int) -> EventLimits:
    """Return the limits that hold where nothing is said, divided."""
    usual = EventLimits()
    return replace(usual, member_max_bytes=usual.member_max_bytes // parts)


def test_a_hundredth_of_a_day_fits_twice_into_a_hundredth_of_the_log(site: Site) -> None:
    limits = one_of(100)
    day = pass_day(site, limits, runs=RUNS // 100, looks=144)
    check_nothing_is_lost(day, runs=RUNS // 100)
    assert day.size_bytes < limits.member_max_bytes / 2


def test_what_a_log_has_no_room_for_is_told_as_lost(site: Site) -> None:
    day = pass_day(site, one_of(1000), runs=RUNS // 100, looks=24)
    told = [each for each in arrived(site) if each.event is EventName.EVENTS_DROPPED]
    assert day.dropped > 0
    assert told
    assert len(day.arrived) == day.written - day.dropped


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_day_without_the_controller_loses_nothing(site: Site) -> None:
    day = pass_day(site, EventLimits(), runs=RUNS, looks=24 * 60)
    check_nothing_is_lost(day, runs=RUNS)
    assert day.size_bytes < EventLimits().member_max_bytes / 2
