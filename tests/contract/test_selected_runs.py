"""What a run selects from a real folder: sizes, ages, markers, order, and so many at a time."""

import os
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from clocks import SetClock
from owned import owned

from mftgit.adapters.endpoint.contract import Endpoint, FileEntry
from mftgit.adapters.local.endpoint import LocalEndpoint
from mftgit.member.outbound.given.context import Endpoints, Memory, RunContext
from mftgit.member.outbound.records.ledger import Ledger
from mftgit.member.outbound.runs.run import has_work, run_once
from mftgit.member.outbound.runs.select import Selection
from mftgit.member.outbound.runs.tally import RunOutcome
from mftgit.model.configuration.config import (
    AfterSuccess,
    Cluster,
    Destination,
    Generation,
    Member,
    Overwrite,
    Role,
    Source,
    Transfer,
)
from mftgit.model.events.event import EventName, Fact
from mftgit.model.locations.location import LocalLocation, Location
from mftgit.model.names import LocationName, MemberName, TransferName
from mftgit.model.transfers.run import RunState
from mftgit.model.transfers.source import Marker, Order, Regex
from mftgit.model.transfers.triggers import IntervalTrigger, WatchTrigger

HERE, THERE = LocationName("here"), LocationName("there")
READY = Marker(suffix=".ready")


@dataclass
class Site:
    """A source, a destination, and one owner's runs between them; the clock stands."""

    root: Path
    source: Source
    after: AfterSuccess = AfterSuccess.DELETE
    watch: bool = False
    clock: SetClock = field(default_factory=SetClock)
    sent: list[str] = field(default_factory=list)
    before_delivery: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        for name in ("here", "there"):
            (self.root / name).mkdir()
        self.memory = Memory(ledger=Ledger(self.root / "state" / "t"))

    @property
    def transfer(self) -> Transfer:
        return Transfer(
            name=TransferName("t"),
            source=self.source,
            destination=Destination(location=THERE, overwrite=Overwrite.FAIL),
            trigger=WatchTrigger() if self.watch else IntervalTrigger(every_s=3600),
            after_success=self.after,
        )

    def put(self, *names: str, content: str = "x", age_s: float = 0.0) -> None:
        for name in names:
            path = self.root / "here" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
            at = self.clock.now().timestamp() - age_s
            os.utime(path, (at, at))

    def context(self) -> RunContext:
        member = Member(name=MemberName("m"), role=Role.NODE)
        return RunContext(
            ownership=owned(1, self.clock),
            member=member.name,
            revision=None,
            generation=Generation(
                cluster=Cluster(name="c"),
                member=member,
                locations={
                    name: LocalLocation(name=name, path=str(name)) for name in (HERE, THERE)
                },
                transfers={TransferName("t"): self.transfer},
            ),
            state=self.root / "state" / "t",
            clock=self.clock,
            open_endpoint=self.open,
            record=self.record,
            memory=self.memory,
        )

    def open(self, location: Location, _make: bool) -> Endpoint:  # noqa: FBT001  see OpenEndpoint
        return LocalEndpoint(self.root / location.path)

    def record(self, event: EventName, /, *facts: Mapping[str, Fact]) -> None:
        if event is EventName.DELIVERY_SUCCEEDED:
            for each in facts:
                self.before_delivery(str(each["path"]))
                self.sent.append(str(each["path"]))

    def run(self, *, settled: bool = False) -> RunOutcome:
        return run_once(self.transfer, self.context(), settled=settled)

    def has_work(self) -> bool:
        return has_work(self.transfer, self.context())

    def left(self) -> list[str]:
        folder = self.root / "here"
        return sorted(
            str(path.relative_to(folder))
            for path in folder.rglob("*")
            if path.is_file() and ".mftgit" not in path.parts
        )


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(root=tmp_path, source=Source(location=HERE, stable_s=0.0))


def test_a_regular_expression_takes_what_it_matches_and_no_more(site: Site) -> None:
    site.source = replace(site.source, include=(Regex(regex=r"report-\d+\.csv"),))
    site.put("report-1.csv", "report-x.csv", "report-2.csv.tmp")
    site.run()
    assert site.sent == ["report-1.csv"]


def test_files_below_the_depth_are_left_alone(site: Site) -> None:
    site.source = replace(site.source, recursive=True, depth=1)
    site.put("a", "x/b", "x/y/c")
    site.run()
    assert site.left() == ["x/y/c"]


def test_a_file_that_is_too_young_is_taken_once_it_is_old_enough(site: Site) -> None:
    site.source = replace(site.source, min_age_s=60.0, max_size_bytes=3)
    site.put("young", "big", content="123", age_s=59)
    site.put("big", content="1234", age_s=100)
    outcome = site.run()
    assert (outcome.outcome, outcome.again_in_s) == (RunState.IDLE, None)
    site.clock.pass_s(1)
    site.run()
    assert site.left() == ["big"]


def test_a_file_that_is_too_old_is_left_alone(site: Site) -> None:
    site.source = replace(site.source, max_age_s=60.0)
    site.put("old", age_s=61)
    site.put("fresh", age_s=60)
    site.run()
    assert site.sent == ["fresh"]


@pytest.mark.parametrize(
    ("order", "descending", "expected"),
    [
        (Order.TIME, False, ["old", "a", "b"]),
        (Order.TIME, True, ["b", "a", "old"]),
        (Order.NAME, False, ["a", "b", "old"]),
        (Order.SIZE, True, ["old", "b", "a"]),
    ],
)
def test_files_are_sent_in_the_order_that_is_asked_for(
    site: Site, order: Order, expected: list[str], *, descending: bool
) -> None:
    site.source = replace(site.source, order=order, descending=descending)
    site.put("b", "a")
    site.put("old", content="xx", age_s=10)
    site.run()
    assert site.sent == expected


@pytest.mark.parametrize("watch", [True, False])
def test_what_one_run_does_not_take_the_next_ones_do_at_once(site: Site, *, watch: bool) -> None:
    site.watch = watch
    site.source = replace(site.source, order=Order.NAME, at_most=2)
    site.put(*"abcde")
    files: list[int] = []
    again_in_s: float | None = 0.0
    while again_in_s is not None:
        assert again_in_s == 0.0
        outcome = site.run(settled=bool(files))
        files.append(outcome.files)
        again_in_s = outcome.again_in_s
    assert files == [2, 2, 1]
    assert site.sent == list("abcde")
    open_runs = list(site.root.glob("state/t/intents/*/open-run"))
    assert open_runs == []


def test_files_that_fail_do_not_keep_the_others_from_their_turn(site: Site) -> None:
    site.source = replace(site.source, order=Order.NAME, at_most=2)
    site.put(*"abcd")
    for name in "ab":
        (site.root / "there" / name).write_text("taken", encoding="utf-8")
    assert site.run().again_in_s == 0.0
    assert site.run(settled=True).again_in_s is None
    assert site.sent == ["c", "d"]


@pytest.mark.parametrize(
    ("marker", "its"), [(READY, "a.csv.ready"), (replace(READY, replaces=True), "a.ready")]
)
def test_a_file_waits_for_its_marker_which_is_removed_and_never_sent(
    site: Site, marker: Marker, its: str
) -> None:
    site.source = replace(site.source, marker=marker)
    site.put("a.csv")
    assert not site.has_work()
    assert site.run().outcome is RunState.IDLE
    site.put(its)
    assert site.has_work()
    site.run()
    assert site.sent == ["a.csv"]
    assert site.left() == []
    assert not site.has_work()


def test_a_marker_waits_for_every_file_that_it_stands_for(site: Site) -> None:
    site.source = replace(site.source, marker=replace(READY, replaces=True))
    (site.root / "there" / "a.xml").write_text("taken", encoding="utf-8")
    site.put("a.csv", "a.xml", "a.ready")
    site.run()
    assert site.left() == ["a.ready", "a.xml"]
    (site.root / "there" / "a.xml").unlink()
    site.clock.pass_s(60)
    site.run()
    assert site.left() == []


def test_the_marker_of_a_kept_file_is_removed_and_a_new_one_is_for_a_new_file(site: Site) -> None:
    site.after = AfterSuccess.KEEP
    site.source = replace(site.source, marker=READY)
    site.put("a", "a.ready")
    site.run()
    assert site.left() == ["a"]
    site.put("a.ready")  # as where the run was cut short before it could remove it
    assert site.has_work()
    site.run()
    assert (site.left(), site.sent) == (["a"], ["a"])


def test_a_marker_that_a_crash_has_left_behind_is_removed(site: Site) -> None:
    class Crash(BaseException):
        pass

    def crash(_: str) -> None:
        raise Crash

    site.source = replace(site.source, marker=READY)
    site.put("a", "a.ready")
    site.before_delivery = crash
    with pytest.raises(Crash):
        site.run()
    assert site.left() == ["a.ready"]
    site.before_delivery = lambda _: None
    site.memory = Memory(ledger=Ledger(site.root / "state" / "t"))
    site.run()
    assert (site.left(), site.sent) == ([], ["a"])


def test_a_marker_without_a_file_that_was_ever_delivered_is_left_alone(site: Site) -> None:
    site.source = replace(site.source, marker=READY, include=("*.csv",))
    site.put("early.csv.ready", "other.txt", "other.txt.ready")
    site.run()
    assert site.left() == ["early.csv.ready", "other.txt", "other.txt.ready"]
    assert not site.has_work()


def test_a_marker_of_a_file_that_another_selection_delivered_is_left_where_the_file_is(
    site: Site,
) -> None:
    site.source = replace(site.source, marker=READY)
    site.put("a", "a.ready")
    site.run()
    site.put("a", "a.ready")
    site.source = replace(site.source, exclude=("a",))
    site.run()
    assert site.left() == ["a", "a.ready"]


class Large:
    """A folder of so many files, of which only the listing is asked."""

    def __init__(self, files: int) -> None:
        self._files = files

    def list_files(self, _folder: str, **_how: object) -> Iterator[FileEntry]:
        for at in range(self._files):
            yield FileEntry(path=f"{at:08}.csv", size_bytes=10**6 + at, mtime_ns=10**18 + at)


def test_a_large_folder_costs_a_bounded_amount_of_memory_for_each_file(site: Site) -> None:
    files = 20_000
    site.source = replace(site.source, at_most=10)
    opened: Any = Large(files)
    context = replace(site.context(), open_endpoint=lambda _location, _make: opened)
    endpoints = Endpoints(context)
    tracemalloc.start()
    try:
        selection = Selection(site.transfer, context, endpoints)
        taken = [path for path, _ in selection.fresh(set())]
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken == [f"{at:08}.csv" for at in range(10)]
    assert peak_bytes / files < 500
