"""One run of a transfer over real folders: what arrives, once, whatever breaks where."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from outbound_site import (
    CLOCK,
    LARGE,
    SOURCE,
    TARGET,
    Crash,
    Owner,
    Site,
    consumed,
    site,
)

from mftgit.adapters.endpoint.contract import (
    EndpointFullError,
    EndpointLostError,
    LoginError,
)
from mftgit.member.outbound.given.context import RunContext
from mftgit.member.outbound.ownership.own import OwnershipEndedError
from mftgit.member.outbound.places.fenced import FencedEndpoint
from mftgit.member.outbound.records.intents import Intents, RecordUnreadableError
from mftgit.member.outbound.records.ledger import Ledger
from mftgit.member.outbound.runs.run import end_begun, has_work, run_once
from mftgit.member.outbound.runs.tally import RunOutcome
from mftgit.model.configuration.config import AfterSuccess, Overwrite
from mftgit.model.events.event import EventName
from mftgit.model.locations.location import LocalLocation
from mftgit.model.names import LocationName, MemberName
from mftgit.model.transfers.claim import ClaimId, format_claim
from mftgit.model.transfers.failover import Sign
from mftgit.model.transfers.intent import format_intents, parse_intents
from mftgit.model.transfers.run import DeliveryState, RunState
from mftgit.model.transfers.triggers import IntervalTrigger, WatchTrigger


def die_with(there: "Site", state: DeliveryState) -> None:
    """Run with an owner that is gone the moment a claimed file is as far as ``state``."""

    class Dying(Owner):
        def check(self) -> None:
            super().check()
            records = [path for path in there.records() if path.suffix == ".json"]
            reached = {parse_intents(path.read_bytes())[0].state for path in records} == {state}
            if reached and list(there.source.rglob(".mftgit/t/claims/*/*")):
                raise Crash

    with pytest.raises(Crash):
        there.run(Dying(1))


def no_effect_is_left(there: Site) -> None:
    """Check that nothing is left over of any delivery, and that the files arrived once each."""
    assert there.left_at_target() == []
    assert there.records() == []
    assert not list(there.source.glob(".mftgit/t/claims/*/*"))


def test_a_file_arrives_with_its_content_and_is_deleted_at_the_source(root: Path) -> None:
    there = site(root)
    there.put("a.csv", b"x" * 700_000)

    outcome = there.run(1)

    assert outcome == RunOutcome(
        outcome=RunState.SUCCEEDED, files=1, size_bytes=700_000, sign=Sign.ABLE
    )
    assert (there.target / "a.csv").read_bytes() == b"x" * 700_000
    assert there.left_at_source() == []
    assert there.delivered() == 1
    assert [event for event, _ in there.events] == [
        EventName.RUN_STARTED,
        EventName.DELIVERY_SUCCEEDED,
        EventName.RUN_FINISHED,
    ]
    assert [endpoint.closed for endpoint in there.opened] == [True, True]  # one for each location


def test_folders_below_the_source_are_made_at_the_destination(root: Path) -> None:
    there = site(root, recursive=True)
    there.put("one/two/a.csv", b"1")
    there.put("b.csv", b"2")

    assert there.run(1).files == 2

    assert (there.target / "one/two/a.csv").read_bytes() == b"1"
    assert (there.target / "b.csv").read_bytes() == b"2"


def test_a_file_that_is_kept_is_sent_once_and_again_when_it_changes(root: Path) -> None:
    there = site(root, after=AfterSuccess.KEEP, overwrite=Overwrite.OVERWRITE)
    there.put("a.csv", b"1", mtime_ns=10**18)
    assert there.run(1).files == 1
    assert there.run(1).outcome is RunState.IDLE
    assert there.run(2).outcome is RunState.IDLE

    there.put("a.csv", b"2", mtime_ns=10**18 + 1)

    assert there.run(3).files == 1
    assert (there.target / "a.csv").read_bytes() == b"2"
    assert there.left_at_source() == ["a.csv"]
    assert not (there.source / ".mftgit").exists()


def test_a_file_is_archived_beside_one_that_has_its_name(root: Path) -> None:
    there = site(root, after=AfterSuccess.ARCHIVE, overwrite=Overwrite.OVERWRITE)
    (there.source / "old").mkdir()
    (there.source / "old" / "a.csv").write_bytes(b"earlier")
    there.put("a.csv", b"1")

    there.run(1)

    archived = sorted(path.read_bytes() for path in (there.source / "old").iterdir())
    assert archived == [b"1", b"earlier"]


def test_a_name_that_is_taken_fails_and_the_file_is_put_back(root: Path) -> None:
    there = site(root)
    (there.target / "a.csv").write_bytes(b"theirs")
    there.put("a.csv", b"ours")
    there.put("b.csv", b"b")
    memory = there.memory()

    assert there.run(1, memory).outcome is RunState.PARTLY

    assert (there.target / "a.csv").read_bytes() == b"theirs"
    assert (there.source / "a.csv").read_bytes() == b"ours"
    assert (there.target / "b.csv").read_bytes() == b"b"
    assert there.records() == []
    assert "overwrite rule is fail" in str(there.happened(EventName.DELIVERY_FAILED)[0]["error"])
    assert not has_work(there.transfer, there.context(1, memory))  # not again before it changes
    there.put("a.csv", b"changed")
    assert has_work(there.transfer, there.context(1, memory))


def test_a_name_that_is_taken_is_skipped_and_the_source_is_done_with(root: Path) -> None:
    there = site(root, overwrite=Overwrite.SKIP)
    (there.target / "a.csv").write_bytes(b"theirs")
    there.put("a.csv", b"ours")

    there.run(1)

    assert (there.target / "a.csv").read_bytes() == b"theirs"
    assert there.left_at_source() == []
    assert there.delivered() == 0
    assert len(there.happened(EventName.DELIVERY_SKIPPED)) == 1


def test_a_kept_file_that_was_skipped_is_not_looked_at_again(root: Path) -> None:
    there = site(root, after=AfterSuccess.KEEP, overwrite=Overwrite.SKIP)
    (there.target / "a.csv").write_bytes(b"theirs")
    there.put("a.csv", b"ours")

    there.run(1)
    there.run(2)

    assert len(there.happened(EventName.DELIVERY_SKIPPED)) == 1


def test_a_name_that_is_taken_is_overwritten_or_avoided_as_the_transfer_says(root: Path) -> None:
    there = site(root, overwrite=Overwrite.RENAME)
    (there.target / "a.csv").write_bytes(b"theirs")
    there.put("a.csv", b"ours")
    there.run(1)
    assert sorted(path.read_bytes() for path in there.target.iterdir()) == [b"ours", b"theirs"]
    assert all(path.suffix == ".csv" for path in there.target.iterdir())

    there.transfer = replace(
        there.transfer,
        destination=replace(there.transfer.destination, overwrite=Overwrite.OVERWRITE),
    )
    there.put("a.csv", b"newer")
    there.run(2)
    assert (there.target / "a.csv").read_bytes() == b"newer"


@pytest.mark.parametrize(
    ("overwrite", "at_target", "delivered"),
    [
        (Overwrite.FAIL, [b"theirs"], 0),
        (Overwrite.SKIP, [b"theirs"], 0),
        (Overwrite.RENAME, [b"ours", b"theirs"], 1),
        (Overwrite.OVERWRITE, [b"ours"], 1),
    ],
)
def test_a_name_that_is_taken_during_the_sending_is_treated_by_the_rule_too(
    root: Path, overwrite: Overwrite, at_target: list[bytes], delivered: int
) -> None:
    there = site(root, overwrite=overwrite)
    there.put("a.csv", b"ours")

    def race(call: str) -> None:
        if call == "write":
            (there.target / "a.csv").write_bytes(b"theirs")

    there.after = race
    there.run(1)

    visible = [path for path in there.target.iterdir() if not path.name.startswith(".")]
    assert sorted(path.read_bytes() for path in visible) == at_target
    assert there.delivered() == delivered
    if overwrite is Overwrite.FAIL:  # the whole temporary waits for the name to be free
        (there.target / "a.csv").unlink()
        assert there.run(2).files == 1
        assert (there.target / "a.csv").read_bytes() == b"ours"
    assert there.records() == []


@pytest.mark.parametrize("content", [b"1", LARGE], ids=["small", "large"])
def test_a_file_that_changes_while_it_is_sent_is_not_published(root: Path, content: bytes) -> None:
    there = site(root, after=AfterSuccess.KEEP)
    there.put("a.csv", content, mtime_ns=10**18)

    def grow(call: str) -> None:
        if call == ("read" if len(content) == 1 else "write"):
            (there.source / "a.csv").write_bytes(content + b"2")

    there.after = grow
    assert there.run(1).outcome is RunState.FAILED
    assert there.left_at_target() == []
    assert there.records() == []

    there.after = lambda _: None
    assert there.run(1).files == 1
    assert (there.target / "a.csv").read_bytes() == content + b"2"


def test_a_fresh_file_is_waited_for_by_a_scheduled_run_and_left_by_a_watching_one(
    root: Path,
) -> None:
    there = site(root, stable_s=0.05)
    there.put("a.csv", b"1", mtime_ns=1)  # an old time of change proves nothing
    assert there.run(1).again_in_s is None

    there.transfer = replace(there.transfer, trigger=IntervalTrigger(every_s=3600))
    memory = there.memory()
    first = there.run(1, memory)
    assert (first.outcome, first.again_in_s) == (RunState.IDLE, 0.05)
    wait(0.06)
    second = run_once(there.transfer, there.context(1, memory), settled=True)
    assert (second.files, second.again_in_s) == (1, None)
    there.put("b.csv", b"2")
    assert run_once(there.transfer, there.context(1, memory), settled=True).again_in_s is None


def wait(seconds: float) -> None:
    """Let the clock go on."""
    until = CLOCK.boottime() + seconds
    while CLOCK.boottime() < until:
        Event().wait(0.01)


def test_looking_for_work_changes_nothing_and_finds_what_is_there(root: Path) -> None:
    there = site(root)
    memory = there.memory()
    assert not has_work(there.transfer, there.context(1, memory))
    there.put("a.csv", b"1")
    assert has_work(there.transfer, there.context(1, memory))
    assert there.left_at_source() == ["a.csv"]
    assert not there.state.exists()
    assert there.events == []
    there.run(1, memory)
    assert not has_work(there.transfer, there.context(1, memory))


def test_looking_finds_what_an_earlier_owner_began(root: Path) -> None:
    there = site(root)
    there.put("a.csv", b"1")
    die_with(there, DeliveryState.TAKEN)
    assert there.left_at_source() != ["a.csv"]
    assert has_work(there.transfer, there.context(2))


def test_hidden_and_temporary_files_are_left_where_they_are(root: Path) -> None:
    there = site(root, recursive=True)
    for name in (".hidden", "a.csv.part", ".folder/b.csv"):
        there.put(name, b"1")
    assert there.run(1).outcome is RunState.IDLE


def test_a_failing_file_does_not_keep_the_others_back_and_is_tried_again(root: Path) -> None:
    there = site(root)
    there.put("a.csv", b"1", mtime_ns=1)
    there.put("b.csv", b"2", mtime_ns=2)
    full = [EndpointFullError("no room")]

    def fill(call: str) -> None:
        if call == "write" and full:
            raise full.pop()

    there.after = fill
    memory = there.memory()
    assert there.run(1, memory).outcome is RunState.PARTLY
    assert there.left_at_target() == ["b.csv"]  # and no temporary
    assert not has_work(there.transfer, there.context(1, memory))  # it is put off
    assert there.run(1).files == 1
    assert there.left_at_target() == ["a.csv", "b.csv"]


def test_a_file_sent_again_does_not_overtake_the_one_that_is_under_way(root: Path) -> None:
    there = site(root, overwrite=Overwrite.OVERWRITE)
    there.put("a.csv", b"old")
    failures = [EndpointFullError("no room")]

    def fill(call: str) -> None:
        if call == "write" and failures:
            raise failures.pop()

    there.after = fill
    memory = there.memory()
    there.run(1, memory)
    there.put("a.csv", b"new")
    assert there.run(1, memory).files == 0
    memory.failures.clear()
    assert there.run(1, memory).files == 2
    assert (there.target / "a.csv").read_bytes() == b"new"


@pytest.mark.parametrize("location", [SOURCE, TARGET])
@pytest.mark.parametrize("error", [EndpointLostError("gone"), LoginError("who?")])
def test_a_lost_endpoint_ends_the_run_and_loses_nothing(
    root: Path, location: LocationName, error: Exception
) -> None:
    there = site(root)
    there.put("a.csv", b"1")
    there.put("b.csv", b"2")
    there.broken[location] = error
    memory = there.memory()

    assert there.run(1, memory).outcome is RunState.FAILED
    assert not has_work(there.transfer, there.context(1, memory))  # put off
    assert len(there.happened(EventName.DELIVERY_FAILED)) <= 1

    there.broken.clear()
    assert there.run(1, memory).files == 2


def test_a_reply_that_is_lost_at_any_call_loses_and_repeats_nothing(root: Path) -> None:
    for call in range(1, 30):
        there = consumed(root / str(call))
        for folder in (there.source, there.target):
            folder.mkdir(parents=True)
        there.put("a.csv", b"1")
        calls = iter(range(1, 1000))

        def lose(_: str, calls: Iterator[int] = calls, call: int = call) -> None:
            if next(calls) == call:
                raise EndpointLostError("the reply was lost")

        there.after = lose
        for _ in range(3):
            there.run(1)
        assert there.consumer is not None
        assert list(there.consumer.got.values()) == [1], call
        no_effect_is_left(there)


MODES = [
    (AfterSuccess.DELETE, Overwrite.OVERWRITE),
    (AfterSuccess.DELETE, Overwrite.FAIL),
    (AfterSuccess.ARCHIVE, Overwrite.RENAME),
    (AfterSuccess.KEEP, Overwrite.FAIL),
]


def crash() -> None:
    raise Crash


def effects(root: Path, after: AfterSuccess, overwrite: Overwrite) -> int:
    """Return how many effects a run has that takes files over and delivers them."""
    folder = root / "count"
    there = fill(folder, after, overwrite)
    owner = Owner(2)
    there.run(owner)
    return owner.effects


def fill(folder: Path, after: AfterSuccess, overwrite: Overwrite) -> Site:
    for name in ("source", "target"):
        (folder / name).mkdir(parents=True)
    there = consumed(folder, after=after, overwrite=overwrite)
    there.put("a.csv", b"1")
    there.put("b.csv", b"2")
    there.put("c.csv", LARGE)
    with suppress(Crash):
        there.run(Owner(1, at=12, then=crash))  # so that there is something to take over
    return there


def once_each(there: Site) -> None:
    assert there.consumer is not None
    assert there.consumer.got == Counter(
        {("a.csv", b"1"): 1, ("b.csv", b"2"): 1, ("c.csv", LARGE): 1}
    )
    assert there.delivered() == 3


@pytest.mark.parametrize(("after", "overwrite"), MODES)
def test_a_crash_before_any_effect_ends_as_one_delivery(
    root: Path, after: AfterSuccess, overwrite: Overwrite
) -> None:
    count = effects(root, after, overwrite)
    assert count > 15
    for at in range(1, count + 1):
        there = fill(root / str(at), after, overwrite)
        with pytest.raises(Crash):
            there.run(Owner(2, at=at, then=crash))
        there.run(3)
        once_each(there)
        no_effect_is_left(there)


@pytest.mark.parametrize(("after", "overwrite"), MODES)
def test_a_predecessor_that_wakes_before_any_effect_makes_no_duplicate(
    root: Path, after: AfterSuccess, overwrite: Overwrite
) -> None:
    count = effects(root, after, overwrite)
    for at in range(1, count + 1):
        there = fill(root / str(at), after, overwrite)

        def succeed(there: Site = there) -> None:
            there.run(3)

        there.run(Owner(2, at=at, then=succeed))  # and goes on, blind to its deadline
        there.run(4)
        once_each(there)
        assert there.records() == []


def every(step: int) -> pytest.MarkDecorator:
    """Try each of so many pairs of moments; all of them where there is time."""
    return pytest.mark.parametrize("step", [step, pytest.param(1, marks=pytest.mark.soak)])


def pairs(count: int, others: int, step: int) -> Iterator[tuple[int, int]]:
    """Give each ``step``-th pair of moments, so that all are in some."""
    for first in range(1, count + 1):
        for second in range(1 + first % step, others + 1, step):
            yield first, second


@every(12)
def test_two_predecessors_that_wake_one_after_the_other_make_no_duplicate(
    root: Path, step: int
) -> None:
    after, overwrite = AfterSuccess.DELETE, Overwrite.OVERWRITE
    count = effects(root, after, overwrite)
    for first, second in pairs(count, count, step):
        there = fill(root / f"{first}-{second}", after, overwrite)

        def last(there: Site = there) -> None:
            there.run(4)

        def middle(
            there: Site = there, second: int = second, last: Callable[[], None] = last
        ) -> None:
            there.run(Owner(3, at=second, then=last))

        there.run(Owner(2, at=first, then=middle))
        there.run(5)
        once_each(there)
        assert there.records() == []


@every(8)
def test_a_successor_that_crashes_while_its_predecessor_sleeps_makes_no_duplicate(
    root: Path, step: int
) -> None:
    after, overwrite = AfterSuccess.DELETE, Overwrite.FAIL
    count = effects(root, after, overwrite)
    for first, second in pairs(count, count, step):
        there = fill(root / f"{first}-{second}", after, overwrite)

        def middle(there: Site = there, second: int = second) -> None:
            with suppress(Crash):
                there.run(Owner(3, at=second, then=crash))

        there.run(Owner(2, at=first, then=middle))
        there.run(4)
        once_each(there)
        assert there.records() == []


@every(4)
def test_a_woken_predecessor_cannot_clear_away_what_its_successor_has_finished(
    root: Path, step: int
) -> None:
    def begun(folder: Path) -> Site:
        for name in ("source", "target"):
            (folder / name).mkdir(parents=True)
        there = consumed(folder)
        there.put("a.csv", b"1")

        def die(call: str) -> None:
            if call == "write":
                raise Crash

        there.after = die
        with pytest.raises(Crash):
            there.run(1)
        assert len(there.left_at_target()) == 1  # a temporary that no intent stands for
        there.after = lambda _: None
        return there

    counted = begun(root / "count")
    owner = Owner(2)
    counted.run(owner)
    for first, second in pairs(owner.effects, owner.effects + 2, step):
        there = begun(root / f"{first}-{second}")

        def middle(there: Site = there, second: int = second) -> None:
            with suppress(Crash):
                there.run(Owner(3, at=second, then=crash))

        there.run(Owner(2, at=first, then=middle))
        there.run(4)
        assert there.consumer is not None
        assert there.consumer.got == Counter({("a.csv", b"1"): 1}), (first, second)
        assert there.records() == []


def late_claims(root: Path) -> list[str]:
    """Return what a predecessor still got into its folder after its successor had taken over."""
    found = []
    for at in range(1, 20):
        folder = root / str(at)
        for name in ("source", "target"):
            (folder / name).mkdir(parents=True)
        there = site(folder)
        there.put("a.csv", b"1")

        def succeed(there: Site = there) -> None:
            there.transfer = replace(
                there.transfer, source=replace(there.transfer.source, include=("other",))
            )
            there.run(2)

        class LastEffect(Owner):
            def check(self) -> None:
                if self.effects == self._at:
                    raise Crash
                super().check()

        with suppress(Crash):
            there.run(LastEffect(1, at=at, then=succeed))
        found += [path.name for path in there.source.glob(".mftgit/t/claims/1/*")]
    return found


def test_a_late_claim_gets_through_only_where_old_folders_are_left_standing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert late_claims(root / "fenced") == []

    def leave_it(_: FencedEndpoint, path: str) -> bool:
        assert path
        return True

    monkeypatch.setattr(FencedEndpoint, "remove_folder", leave_it)
    assert late_claims(root / "unfenced") != []


def test_no_effect_comes_after_the_ownership_has_ended(root: Path) -> None:
    count = effects(root, AfterSuccess.DELETE, Overwrite.FAIL)
    for at in range(1, count + 1):
        there = fill(root / str(at), AfterSuccess.DELETE, Overwrite.FAIL)
        before: list[object] = []

        class Ending(Owner):
            def check(self) -> None:
                if self.effects + 1 == self._at and self.valid():
                    before.append(tree(there.root))  # noqa: B023  it is used within this turn
                    self.lose()
                super().check()

        outcome = there.run(Ending(2, at=at))
        assert outcome.outcome is RunState.ENDED
        assert before == [tree(there.root)], at


def tree(root: Path) -> dict[str, bytes]:
    """Return every file below ``root`` with its content, and every folder."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else b"<folder>"
        for path in root.rglob("*")
    }


def test_a_name_sent_again_with_the_same_inode_size_and_time_arrives_again(root: Path) -> None:
    there = consumed(root)
    assert there.consumer is not None
    memory = there.memory()
    for turn in range(5):
        there.put("a.dat", b"pay%02d" % turn, mtime_ns=10**18)
        assert there.run(1, memory).files == 1
    assert there.consumer.got == Counter({("a.dat", b"pay%02d" % turn): 1 for turn in range(5)})


def test_the_record_of_the_lower_epoch_is_the_newer_one(root: Path) -> None:
    there = consumed(root)
    there.put("a.csv", b"1")
    die_with(there, DeliveryState.TAKEN)
    (record,) = there.records()
    taken = parse_intents(record.read_bytes())[0]
    assert taken.state is DeliveryState.TAKEN
    # Epoch 2 adopted it as TAKEN and stopped; then its old owner came as far as READY.
    (there.state / "intents/2").mkdir()
    (there.state / "intents/2" / record.name).write_bytes(format_intents([taken]))
    record.write_bytes(format_intents([replace(taken, state=DeliveryState.READY)]))

    Intents(there.state, Owner(3)).take_over()

    assert [intent.state for intent in Intents(there.state, Owner(3)).all()] == [
        DeliveryState.READY
    ]


def test_a_lower_epoch_stands_down_before_the_folders_of_a_higher_one(root: Path) -> None:
    there = site(root)
    there.put("a.csv", b"1")
    there.run(5)
    there.put("b.csv", b"2")
    assert there.run(4).outcome is RunState.ENDED
    assert there.left_at_source() == ["b.csv"]
    with pytest.raises(OwnershipEndedError, match="epoch 5 has taken over"):
        Intents(there.state, Owner(4)).take_over()


def test_a_torn_line_of_the_ledger_is_ignored_and_closed_off(root: Path) -> None:
    there = site(root, after=AfterSuccess.KEEP)
    there.put("a.csv", b"1")
    there.run(1)
    ledger = there.state / "ledger" / "1.jsonl"
    with ledger.open("ab") as stream:
        stream.write(b'{"id": "1-9-to')
    assert there.delivered() == 1
    there.put("b.csv", b"2")

    assert there.run(1).files == 1

    assert there.delivered() == 2
    assert there.run(1).outcome is RunState.IDLE
    whole = [json.loads(line) for line in ledger.read_bytes().splitlines() if line.endswith(b"}")]
    assert [line["path"] for line in whole] == ["a.csv", "b.csv"]


def test_the_ledger_is_read_on_from_where_it_was(root: Path) -> None:
    there = site(root)
    ledger = Ledger(there.state)
    for turn in range(3):
        there.put(f"{turn}.csv", b"1")
        there.run(turn + 1)
        ledger.refresh()
        assert ledger.delivered == turn + 1


def test_a_name_that_is_too_long_for_a_claim_survives_a_takeover(root: Path) -> None:
    there = consumed(root)
    assert there.consumer is not None
    name = "ü" * 120 + ".csv"
    there.put(name, b"1")
    die_with(there, DeliveryState.TAKEN)
    assert there.left_at_source() != [name]
    there.run(2)
    assert there.consumer.got == Counter({(name, b"1"): 1})
    no_effect_is_left(there)


def test_a_name_that_is_not_utf_8_arrives(root: Path) -> None:
    there = consumed(root)
    assert there.consumer is not None
    name = os.fsdecode(b"caf\xe9.csv")
    there.put(name, b"1")
    there.run(1)
    assert there.consumer.got == Counter({(name, b"1"): 1})


def test_a_claim_whose_record_is_lost_is_sent_by_what_its_name_tells(root: Path) -> None:
    there = consumed(root)
    assert there.consumer is not None
    claims = there.source / ".mftgit/t/claims/1"
    claims.mkdir(parents=True)
    (claims / format_claim(ClaimId("1-1-aa"), "deep/a.csv")).write_bytes(b"1")
    (claims / format_claim(ClaimId("1-2-aa"), "x" * 250)).write_bytes(b"2")
    (claims / "notes.txt").write_bytes(b"not ours")

    outcome = there.run(2)

    assert outcome.outcome is RunState.PARTLY
    assert "give it its name by hand" in outcome.errors[0]
    assert there.consumer.got == Counter({("a.csv", b"1"): 1})


def test_a_record_that_cannot_be_read_stops_the_transfer(root: Path) -> None:
    there = site(root)
    there.put("a.csv", b"1")
    there.run(1)
    (there.state / "intents/1/1-9-aa.json").write_bytes(b"{}")
    with pytest.raises(RecordUnreadableError, match="not a record"):
        Intents(there.state, Owner(1)).all()
    there.put("b.csv", b"2")
    assert there.run(1).outcome is RunState.FAILED
    assert there.left_at_source() == ["b.csv"]


def test_a_file_claimed_under_another_revision_is_put_back_to_be_kept(root: Path) -> None:
    there = site(root)
    there.put("a.csv", b"1")
    die_with(there, DeliveryState.TAKEN)
    there.transfer = replace(there.transfer, after_success=AfterSuccess.KEEP)
    assert there.run(2).files == 1
    assert there.left_at_source() == ["a.csv"]
    assert there.left_at_target() == ["a.csv"]


def begun(root: Path, state: DeliveryState) -> Site:
    """Return a site whose owner died with a file on its way, as far as ``state``."""
    there = site(root)
    there.put("a.csv", b"1")
    die_with(there, state)
    return there


BEGUN = [DeliveryState.TAKEN, DeliveryState.READY]


def move(there: Site, location: LocationName, path: str) -> None:
    """Push another path for a location."""
    there.paths[location] = path
    (there.root / path).mkdir(exist_ok=True)


@pytest.mark.parametrize("state", BEGUN)
def test_a_file_on_its_way_when_its_destination_is_moved_arrives_once(
    root: Path, state: DeliveryState
) -> None:
    there = begun(root, state)
    move(there, TARGET, "elsewhere")
    memory = there.memory()

    for _ in range(2):
        there.run(50, memory)

    at = "target" if state is DeliveryState.READY else "elsewhere"
    found = [*there.target.iterdir(), *(root / "elsewhere").iterdir()]
    assert [(path.parent.name, path.name, path.read_bytes()) for path in found] == [
        (at, "a.csv", b"1")
    ]
    assert there.delivered() == 1
    assert there.records() == []
    assert there.left_at_source() == []


@pytest.mark.parametrize("state", BEGUN)
@pytest.mark.parametrize("how", ["location", "folder"])
def test_a_file_on_its_way_when_its_source_is_moved_arrives_or_goes_back(
    root: Path, state: DeliveryState, how: str
) -> None:
    there = begun(root, state)
    if how == "location":
        move(there, SOURCE, "elsewhere")
    else:
        (there.source / "sub").mkdir()
        moved = replace(there.transfer.source, path="sub")
        there.transfer = replace(there.transfer, source=moved)
    new = root / "elsewhere" if how == "location" else there.source / "sub"
    (new / "b.csv").write_bytes(b"2")
    memory = there.memory()

    assert there.run(50, memory).files == (2 if state is DeliveryState.READY else 1)
    assert there.run(50, memory).outcome is RunState.IDLE  # and goes on to run

    back = state is DeliveryState.TAKEN
    assert (there.source / "a.csv").exists() is back
    assert there.left_at_target() == (["b.csv"] if back else ["a.csv", "b.csv"])
    assert there.records() == []


def test_a_file_that_cannot_go_back_is_told_and_waits(root: Path) -> None:
    there = begun(root, DeliveryState.TAKEN)
    there.put("a.csv", b"newer")
    move(there, SOURCE, "elsewhere")
    outcome = there.run(50)
    assert "another file has its name there" in outcome.errors[0]
    (there.source / "a.csv").unlink()
    there.run(51)
    assert (there.source / "a.csv").read_bytes() == b"1"


def test_a_source_that_was_moved_by_hand_with_all_that_is_in_it_is_gone_on_with(root: Path) -> None:
    there = begun(root, DeliveryState.TAKEN)
    there.source.rename(root / "elsewhere")
    there.paths[SOURCE] = "elsewhere"
    assert there.run(50).files == 1
    assert there.left_at_target() == ["a.csv"]
    assert there.records() == []


def test_a_former_source_that_is_gone_proves_nothing(root: Path) -> None:
    there = site(root)
    (there.source / "sub").mkdir()
    there.transfer = replace(there.transfer, source=replace(there.transfer.source, path="sub"))
    there.put("sub/a.csv", b"1")
    die_with(there, DeliveryState.TAKEN)
    there.transfer = replace(there.transfer, source=replace(there.transfer.source, path="."))
    (there.source / "sub").rename(root / "unmounted")
    assert "bring the folder back" in there.run(50).errors[0]
    assert len(there.records()) == 1
    (root / "unmounted").rename(there.source / "sub")
    there.run(51)
    assert there.left_at_source() == ["a.csv"]
    assert there.records() == []


def test_a_former_destination_that_is_away_holds_back_no_other_file(root: Path) -> None:
    there = begun(root, DeliveryState.READY)
    move(there, TARGET, "elsewhere")
    there.target.rename(root / "unmounted")
    there.put("b.csv", b"2")
    outcome = there.run(50)
    assert (outcome.outcome, outcome.files) == (RunState.PARTLY, 1)
    assert not there.target.exists()  # nothing made it up
    assert len(there.records()) == 1
    (root / "unmounted").rename(there.target)
    assert there.run(51).files == 1
    assert (there.target / "a.csv").read_bytes() == b"1"


@pytest.mark.parametrize("state", BEGUN)
def test_what_was_begun_of_a_transfer_that_is_gone_is_published_or_goes_back(
    root: Path, state: DeliveryState
) -> None:
    there = begun(root, state)
    context = there.context(50)
    assert has_work(None, context)

    end_begun(context)

    assert not has_work(None, there.context(50, context.memory))
    back = state is DeliveryState.TAKEN
    assert there.left_at_source() == (["a.csv"] if back else [])
    assert there.left_at_target() == ([] if back else ["a.csv"])
    assert there.records() == []


def test_a_member_that_has_a_location_elsewhere_finds_what_another_began(root: Path) -> None:
    there = begun(root, DeliveryState.READY)
    # To m1 the target is "target"; m2 has the same storage under another path.
    (root / "mounted").symlink_to(there.target)
    there.paths[TARGET] = "mounted"
    there.elsewhere = {
        MemberName("m1"): {TARGET: LocalLocation(name=TARGET, path="target")},
    }
    there.opened.clear()
    outcome = run_once(there.transfer, there.context(50, member="m2"))
    assert outcome.files == 1
    assert there.left_at_target() == ["a.csv"]


def test_a_place_that_only_its_member_knows_is_left_to_it(root: Path) -> None:
    there = site(root)
    there.elsewhere = {MemberName("m2"): {TARGET: LocalLocation(name=TARGET, path="of-m2")}}
    there.put("a.csv", b"1")
    die_with(there, DeliveryState.READY)
    move(there, TARGET, "new")
    there.elsewhere = {}
    outcome = run_once(there.transfer, there.context(2, member="m2"))
    assert "m1 began it at a place of the location there that is not in this revision" in str(
        outcome.errors
    )
    assert len(there.records()) == 1
    there.run(3)
    assert there.left_at_target() == ["a.csv"]


def test_a_temporary_that_somebody_removes_before_it_is_published_is_sent_again(root: Path) -> None:
    for after in (AfterSuccess.DELETE, AfterSuccess.KEEP):
        there = fill_site(root / after.value, after)
        there.put("a.csv", b"1")

        def clean_up(call: str, there: Site = there) -> None:
            if call == "write":
                for path in there.target.iterdir():
                    path.unlink()

        there.after = clean_up
        assert "was removed before it was renamed" in there.run(1).errors[0]
        assert there.delivered() == 0
        there.after = lambda _: None
        assert there.run(2).files == 1
        assert there.left_at_target() == ["a.csv"]


def fill_site(folder: Path, after: AfterSuccess) -> Site:
    for name in ("source", "target"):
        (folder / name).mkdir(parents=True)
    return site(folder, after=after)


def test_a_rename_whose_reply_was_lost_and_that_is_repeated_counts_once(root: Path) -> None:
    there = site(root)
    there.put("a.csv", b"1" * 300_000)

    class Repeated(Owner):
        """NFS: the client sends the rename again, and is told that there is no such file."""

        def check(self) -> None:
            super().check()
            hidden = [path for path in there.target.iterdir() if path.name.endswith(".part")]
            if hidden and hidden[0].stat().st_size == 300_000 and ready(there):
                hidden[0].rename(there.target / "a.csv")

    assert there.run(Repeated(1)).files == 1
    assert there.left_at_target() == ["a.csv"]


def ready(there: Site) -> bool:
    return any(
        parse_intents(path.read_bytes())[0].state is DeliveryState.READY
        for path in there.records()
        if path.suffix == ".json"
    )


def test_a_delivery_is_told_of_also_when_its_owner_dies_beside_the_ledger(root: Path) -> None:
    count = effects(root, AfterSuccess.DELETE, Overwrite.OVERWRITE)
    for at in range(1, count + 1):
        there = fill(root / str(at), AfterSuccess.DELETE, Overwrite.OVERWRITE)
        with suppress(Crash):
            there.run(Owner(2, at=at, then=crash))
        there.run(3)
        told = {fact["path"] for fact in there.happened(EventName.DELIVERY_SUCCEEDED)}
        assert told == {"a.csv", "b.csv", "c.csv"}, at


@pytest.mark.parametrize("folder", [".mftgit/t/claims", ".mftgit"])
def test_a_folder_of_claims_that_somebody_removed_is_raised_again(root: Path, folder: str) -> None:
    there = site(root)
    there.put("a.csv", b"1")
    memory = there.memory()
    there.run(4, memory)
    shutil.rmtree(there.source / folder)
    there.put("b.csv", b"2")
    there.run(4, memory)
    assert there.run(4, memory).files + len(there.left_at_target()) >= 2
    assert there.left_at_target() == ["a.csv", "b.csv"]


def test_shared_state_that_somebody_removed_is_made_again(root: Path) -> None:
    there = site(root)
    there.put("a.csv", b"1")
    memory = there.memory()
    there.run(4, memory)
    shutil.rmtree(there.state)
    there.put("b.csv", b"2")
    assert there.run(4, memory).outcome is RunState.ENDED
    assert there.run(4, memory).files == 1


def test_an_epoch_below_what_the_storage_knows_is_told(root: Path) -> None:
    there = site(root)
    there.put("a.csv", b"1")
    there.run(7)
    outcome = there.run(3)
    assert (outcome.outcome, outcome.superseded_by) == (RunState.ENDED, 7)
    assert there.run(8).outcome is RunState.IDLE


def scheduled(root: Path) -> Site:
    there = site(root, watch=False)
    for name in ("a.csv", "b.csv", "c.csv"):
        there.put(name, name.encode() + LARGE)
    return there


def test_a_scheduled_run_that_is_cut_short_is_gone_on_with_by_whoever_comes_next(
    root: Path,
) -> None:
    for at in range(1, 60):
        folder = root / f"cut-{at}"
        for name in ("source", "target"):
            (folder / name).mkdir(parents=True)
        cut = scheduled(folder)
        try:
            cut.run(Owner(1, at=at, then=crash))
        except Crash:
            pass
        else:
            break
        opened = bool(list(cut.state.glob("intents/*/open-run")))
        context = cut.context(2)
        if has_work(cut.transfer, context, fresh=False):
            run_once(cut.transfer, context, fresh=False)
        arrived = [path for path in cut.left_at_target() if not path.startswith(".")]
        assert arrived == (["a.csv", "b.csv", "c.csv"] if opened else []), at
    else:
        raise AssertionError("it never came to its end")


def test_a_scheduled_run_that_was_stopped_is_gone_on_with_unless_nobody_wants_it(
    root: Path,
) -> None:
    for unwanted, say in ((False, lambda: False), (True, lambda: True)):
        folder = root / str(unwanted)
        for name in ("source", "target"):
            (folder / name).mkdir(parents=True)
        there = scheduled(folder)
        context = replace(there.context(1), unwanted=say)

        def stop(call: str, context: RunContext = context) -> None:
            if call == "write":
                context.stopping.set()

        there.after = stop
        assert run_once(there.transfer, context).files == 1
        there.after = lambda _: None
        assert has_work(there.transfer, there.context(2), fresh=False) is not unwanted


def test_a_scheduled_run_that_failed_waits_for_the_next_firing(root: Path) -> None:
    there = scheduled(root)
    there.broken[TARGET] = EndpointLostError("away")
    memory = there.memory()
    assert there.run(1, memory).outcome is RunState.FAILED
    assert not list(there.state.glob("intents/*/open-run"))


def test_a_destination_folder_that_is_gone_is_no_proof_of_a_publication(root: Path) -> None:
    there = site(root)
    there.transfer = replace(
        there.transfer, destination=replace(there.transfer.destination, path="in")
    )
    there.put("a.csv", b"1")

    def unmount(call: str) -> None:
        if call == "write":
            (there.target / "in").rename(there.root / "unmounted")

    there.after = unmount
    assert there.run(1).outcome is RunState.FAILED
    (there.root / "unmounted").rename(there.target / "in")
    there.after = lambda _: None
    assert there.run(1).files == 1
    assert there.left_at_target() == ["a.csv"]


def test_a_run_that_is_told_to_stop_takes_no_further_file(root: Path) -> None:
    there = site(root)
    there.put("a.csv", LARGE)
    there.put("b.csv", LARGE)
    context = there.context(1)

    def stop(call: str) -> None:
        if call == "write":
            context.stopping.set()

    there.after = stop
    assert run_once(there.transfer, context).files == 1
    assert len(there.left_at_source()) == 1


def test_a_file_that_is_to_be_kept_and_cannot_go_back_is_told(root: Path) -> None:
    there = begun(root, DeliveryState.TAKEN)
    there.put("a.csv", b"newer")
    there.transfer = replace(there.transfer, after_success=AfterSuccess.KEEP)
    assert "another file has its name there" in there.run(50).errors[0]
    (there.source / "a.csv").unlink()
    there.run(51)
    assert (there.target / "a.csv").read_bytes() == b"1"


@pytest.mark.parametrize("after", [AfterSuccess.DELETE, AfterSuccess.ARCHIVE, AfterSuccess.KEEP])
def test_a_claim_whose_record_is_lost_and_that_was_delivered_is_not_sent_again(
    root: Path, after: AfterSuccess
) -> None:
    there = consumed(root)
    there.put("a.csv", b"1")

    class DiesAfterTheLedger(Owner):
        def check(self) -> None:
            super().check()
            if there.delivered():
                raise Crash

    with pytest.raises(Crash):
        there.run(DiesAfterTheLedger(1))
    shutil.rmtree(there.state / "intents")
    there.transfer = replace(
        there.transfer,
        after_success=after,
        archive_path="old" if after is AfterSuccess.ARCHIVE else None,
    )
    there.run(2)
    assert there.consumer is not None
    assert there.consumer.got == Counter({("a.csv", b"1"): 1})
    assert there.left_at_source() == ([] if after is AfterSuccess.DELETE else ["a.csv"])


def test_a_watch_closes_the_run_that_a_schedule_had_opened(root: Path) -> None:
    there = scheduled(root)
    with pytest.raises(Crash):
        there.run(Owner(1, at=14, then=crash))
    assert list(there.state.glob("intents/*/open-run"))
    there.transfer = replace(there.transfer, trigger=WatchTrigger())
    memory = there.memory()
    there.run(2, memory)
    assert not list(there.state.glob("intents/*/open-run"))
    assert not has_work(there.transfer, there.context(2, memory))
