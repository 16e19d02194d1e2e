"""What members' events tell of files is counted once, found again, and counted anew where that is lost."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from clocks import SetClock

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.volume_records import VolumeRecords
from mftgit.controller.members import volumes as counting
from mftgit.controller.members.volumes import Volumes
from mftgit.model.events.event import EventName, Fact
from mftgit.model.monitoring.volume import ALL, Amount, Flow, Step
from mftgit.model.names import MemberName


@dataclass
class Ground:
    clock: SetClock
    events: EventStore
    volumes: Volumes
    path: Path

    def tell(self, event: EventName, **facts: Fact) -> None:
        self.events.append(event, facts=facts)

    def last(self, flow: Flow, name: str) -> Amount:
        return self.volumes.bars(flow, name, Step.HOUR)[-1].amount

    def again(self) -> Volumes:
        return Volumes(VolumeRecords(self.path), self.events, clock=self.clock)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    clock = SetClock()
    path = tmp_path / "volumes.sqlite"
    member = MemberName("controller")
    with closing(EventStore(tmp_path / "e.sqlite", member=member, now=clock.now)) as events:
        made = Ground(
            clock=clock,
            events=events,
            volumes=Volumes(VolumeRecords(path), events, clock=clock),
            path=path,
        )
        yield made
        made.volumes.stop()


def test_a_damaged_file_makes_way_and_all_is_counted_anew(ground: Ground) -> None:
    ground.tell(EventName.DELIVERY_SUCCEEDED, transfer="a", size_bytes=7, path="x")
    ground.volumes.look()
    ground.volumes.stop()
    ground.path.write_bytes(b"no database" * 1000)
    ground.volumes = ground.again()
    ground.volumes.look()
    assert ground.last(Flow.DELIVERY, "a") == Amount(files=1, size_bytes=7)


def test_files_are_counted_once_by_transfer_and_hour_also_over_a_restart(ground: Ground) -> None:
    for size in (100, 200):
        ground.tell(EventName.DELIVERY_SUCCEEDED, transfer="a", size_bytes=size, path="x")
    ground.tell(EventName.DELIVERY_FAILED, transfer="a", path="y")
    ground.tell(EventName.DELIVERY_SUCCEEDED, transfer="b", size_bytes=5, path="z")
    ground.tell(EventName.RUN_STARTED, transfer="a")
    ground.volumes.look()
    ground.volumes.look()
    again = ground.again()
    again.look()
    again.stop()
    assert ground.last(Flow.DELIVERY, "a") == Amount(files=2, size_bytes=300, failures=1)
    assert ground.last(Flow.DELIVERY, ALL) == Amount(files=3, size_bytes=305, failures=1)
    ground.clock.pass_s(3600)
    ground.tell(EventName.DELIVERY_SUCCEEDED, transfer="a", size_bytes=1, path="x")
    ground.volumes.look()
    found = ground.volumes.bars(Flow.DELIVERY, "a", Step.HOUR)
    assert [each.amount.size_bytes for each in found[-2:]] == [300, 1]
    assert ground.volumes.bars(Flow.DELIVERY, "a", Step.DAY)[-1].amount.size_bytes == 301


def test_who_looks_learns_that_there_is_more_to_tell_and_of_nothing_else(ground: Ground) -> None:
    ground.tell(EventName.LOGIN_FAILED, who="eve")
    ground.volumes.look()
    before = ground.volumes.changes
    ground.tell(EventName.RUN_FINISHED, transfer="t", outcome="succeeded", files=1, size_bytes=1)
    ground.volumes.look()
    assert (before, ground.volumes.changes) == (0, 1)
    (told,), _ = ground.volumes.newest(Flow.RUN, "t", limit=5)
    assert told.event is EventName.RUN_FINISHED


def test_deliveries_are_found_newest_first_by_word_and_outcome_page_by_page(
    ground: Ground,
) -> None:
    for number in range(450):
        ground.tell(EventName.DELIVERY_SUCCEEDED, transfer="a", size_bytes=1, path=f"f-{number}")
        ground.tell(EventName.DELIVERY_SUCCEEDED, transfer="b", size_bytes=1, path=f"g-{number}")
    ground.tell(EventName.DELIVERY_FAILED, transfer="a", path="f-7", error="no route")
    ground.volumes.look()

    def paths(before: int | None = None, **rest: object) -> tuple[list[object], int | None]:
        found, at = ground.volumes.newest(Flow.DELIVERY, "a", before=before, limit=200, **rest)  # type: ignore[arg-type]
        return [each.facts["path"] for each in found], at

    first, at = paths()
    second, at = paths(at)
    third, at = paths(at)
    assert at is None
    assert first[0] == "f-7"
    assert first[1:] + second + third == [f"f-{number}" for number in reversed(range(450))]
    assert paths(text="F-7")[0] == ["f-7", *(f"f-7{each}" for each in "9876543210"), "f-7"]
    assert paths(named=frozenset({EventName.DELIVERY_FAILED})) == (["f-7"], None)
    assert paths(text="route") == (["f-7"], None)


def test_a_search_that_finds_nothing_looks_at_so_many_and_can_be_gone_on_with(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "_MOST_LOOKED", 10)
    for number in range(15):
        ground.tell(EventName.DELIVERY_SUCCEEDED, transfer="a", size_bytes=1, path=f"f-{number}")
    ground.volumes.look()
    found, at = ground.volumes.newest(Flow.DELIVERY, "a", text="f-2", limit=50)
    assert (found, at is None) == ([], False)
    found, at = ground.volumes.newest(Flow.DELIVERY, "a", text="f-2", before=at, limit=50)
    assert ([each.facts["path"] for each in found], at) == (["f-2"], None)


def test_where_the_log_is_another_one_everything_is_counted_anew(
    ground: Ground, tmp_path: Path
) -> None:
    for _ in range(3):
        ground.tell(EventName.DELIVERY_SUCCEEDED, transfer="a", size_bytes=100, path="x")
    ground.volumes.look()
    member = MemberName("controller")
    with closing(EventStore(tmp_path / "f.sqlite", member=member, now=ground.clock.now)) as other:
        other.append(
            EventName.DELIVERY_SUCCEEDED, facts={"transfer": "a", "size_bytes": 1, "path": "y"}
        )
        volumes = Volumes(VolumeRecords(ground.path), other, clock=ground.clock)
        volumes.look()
        assert volumes.bars(Flow.DELIVERY, "a", Step.HOUR)[-1].amount.size_bytes == 1
        volumes.stop()


def test_what_is_long_ago_is_let_go_of(ground: Ground) -> None:
    ground.tell(EventName.UPLOAD_FINISHED, account="acme", size_bytes=1, path="x")
    ground.volumes.look()
    since = rfc3339(ground.clock.now())[:13]
    records = ground.volumes._records
    assert records.hours(Flow.UPLOAD, "acme", since=since) != []
    ground.volumes.forget()
    assert records.hours(Flow.UPLOAD, "acme", since=since) != []
    ground.clock.pass_s((counting.KEPT_DAYS + 1) * 86_400)
    ground.volumes.forget()
    assert records.hours(Flow.UPLOAD, "acme", since=since) == []
    assert records.positions(Flow.UPLOAD, "acme", before=None, limit=9) != []


def test_an_event_that_is_not_in_the_log_any_more_is_passed_over(ground: Ground) -> None:
    for number in range(3):
        ground.tell(EventName.UPLOAD_FINISHED, account="acme", size_bytes=1, path=f"{number}")
    ground.volumes.look()
    with ground.events._database.write() as connection:
        connection.execute("DELETE FROM events WHERE position = 2")
    found, _ = ground.volumes.newest(Flow.UPLOAD, "acme", limit=9)
    assert [each.facts["path"] for each in found] == ["2", "0"]
    assert ground.events.last_position() == 3
