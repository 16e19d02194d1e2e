"""Files that their record alone claims: they stay at their place until they are delivered, and are dealt with then."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from outbound_site import LARGE, SOURCE, Consumer, Crash, Owner, Site, site
from sftp_server import PASSWORD, OnlyReadsAndDeletes, sftp_server

from mftgit.adapters.endpoint.contract import Endpoint, EndpointRefusedError
from mftgit.adapters.sftp.endpoint import connect
from mftgit.member.outbound.runs.run import end_begun, has_work, run_once
from mftgit.model.configuration.config import AfterSuccess, Batch, Claiming, Deduplicate, Overwrite
from mftgit.model.events.event import EventName
from mftgit.model.locations.location import Location
from mftgit.model.transfers.intent import parse_intents
from mftgit.model.transfers.retry import Retry
from mftgit.model.transfers.run import DeliveryState, RunState
from mftgit.model.transfers.source import Checksum, Marker

WHEN = 10**18


def by_record(
    root: Path,
    *,
    after: AfterSuccess = AfterSuccess.DELETE,
    overwrite: Overwrite = Overwrite.FAIL,
    consumed: bool = False,
) -> Site:
    """Return a site whose source takes no claim but by record."""
    for folder in ("source", "target"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    there = site(root, after=after, overwrite=overwrite)
    source = replace(there.transfer.source, claim=Claiming.RECORD)
    there.transfer = replace(
        there.transfer,
        source=source,
        archive_path="old" if after in {AfterSuccess.ARCHIVE, AfterSuccess.MOVE} else None,
    )
    there.consumer = Consumer(there.target) if consumed else None
    return there


def die_as(there: Site, state: DeliveryState) -> None:
    """Run with an owner that is gone the moment its records are as far as ``state``."""

    class Dying(Owner):
        def check(self) -> None:
            super().check()
            records = [path for path in there.records() if path.suffix == ".json"]
            if {parse_intents(path.read_bytes())[0].state for path in records} == {state}:
                raise Crash

    with pytest.raises(Crash):
        there.run(Dying(1))


def test_a_file_is_delivered_and_then_deleted_and_nothing_else_touches_the_source(
    root: Path,
) -> None:
    there = by_record(root)
    done: list[str] = []
    there.after = done.append
    there.put("a.csv", b"1")
    there.put("b.csv", LARGE)

    assert there.run(1).files == 2

    assert there.left_at_target() == ["a.csv", "b.csv"]
    assert list(there.source.iterdir()) == []
    assert there.records() == []
    assert "make_folder" not in done[: done.index("write")]


@pytest.mark.parametrize("after", [AfterSuccess.ARCHIVE, AfterSuccess.MOVE])
def test_a_file_is_set_aside_at_its_source_once_it_is_delivered(
    root: Path, after: AfterSuccess
) -> None:
    there = by_record(root, after=after)
    there.put("a.csv", b"1")
    there.run(1)
    assert [str(path.relative_to(there.source)) for path in there.source.rglob("*.csv")] == [
        "old/a.csv"
    ]
    assert not (there.source / ".mftgit").exists()


def test_a_name_sent_again_with_the_same_size_and_time_arrives_again(root: Path) -> None:
    there = by_record(root, consumed=True)
    memory = there.memory()
    for turn in range(3):
        there.put("a.dat", b"pay%02d" % turn, mtime_ns=WHEN)
        assert there.run(1, memory).files == 1
    assert there.consumer is not None
    assert there.consumer.got == Counter({("a.dat", b"pay%02d" % turn): 1 for turn in range(3)})


@pytest.mark.parametrize("when", ["write", "rename"])
def test_a_file_that_is_put_in_the_place_of_one_under_way_is_never_deleted(
    root: Path, when: str
) -> None:
    there = by_record(root, consumed=True)
    there.put("a.csv", b"old", mtime_ns=WHEN)

    def newer(what: str) -> None:
        if what == when:
            there.after = lambda _: None
            there.put("a.csv", b"new", mtime_ns=WHEN + 1)

    there.after = newer
    memory = there.memory()
    there.run(1, memory)
    assert there.left_at_source() == ["a.csv"]
    memory.failures.clear()
    there.run(1, memory)

    assert there.consumer is not None
    assert there.consumer.got[("a.csv", b"new")] == 1
    assert there.consumer.got[("a.csv", b"old")] <= 1
    assert there.left_at_source() == []
    assert there.records() == []


def test_a_file_that_changed_since_it_was_listed_is_sent_as_it_is_listed_next(root: Path) -> None:
    for name, content in (("small", b"new"), ("large", LARGE)):
        there = by_record(root / name)
        there.put("a.csv", b"old", mtime_ns=WHEN)

        memory = there.memory()

        class Late(Owner):
            """Goes on only after the file has changed that it has listed."""

            def check(self) -> None:
                super().check()
                if memory.sightings and self.effects > 0:  # noqa: B023
                    self.effects = -1000
                    there.put("a.csv", content, mtime_ns=WHEN + 1)  # noqa: B023

        outcome = there.run(Late(1), memory)
        assert "changed while it was sent" in outcome.errors[0]
        assert there.left_at_target() == []
        assert there.records() == []
        assert there.run(1, memory).files == 1  # it has another mark, and does not wait
        assert (there.target / "a.csv").read_bytes() == content
        assert there.left_at_source() == []


def refuse_to_delete(there: Site, *, no: list[bool]) -> None:
    """Have the source refuse to delete while ``no`` says so."""
    opening = there.open

    def opened(location: Location, make: bool = False) -> Endpoint:  # noqa: FBT001, FBT002
        endpoint = opening(location, make)
        if location.name == SOURCE:
            remove = endpoint.remove

            def refusing(path: str) -> None:
                if no[0]:
                    raise EndpointRefusedError(f"{path}: you may not")
                remove(path)

            endpoint.remove = refusing  # type: ignore[method-assign]
        return endpoint

    there.open = opened  # type: ignore[method-assign]


def test_a_delivered_file_that_cannot_be_deleted_is_not_sent_again_and_deleted_later_by_anybody(
    root: Path,
) -> None:
    there = by_record(root, consumed=True)
    no = [True]
    refuse_to_delete(there, no=no)
    there.transfer = replace(there.transfer, retry=Retry(attempts=1))
    there.put("a.csv", b"1")
    memory = there.memory()
    memory.retry = there.transfer.retry

    assert there.run(1, memory).outcome is not RunState.SUCCEEDED
    assert not has_work(there.transfer, there.context(1, memory))  # it waits
    for epoch in (1, 2, 3):
        memory = there.memory()
        assert "you may not" in there.run(epoch, memory).errors[0]
    assert there.happened(EventName.DELIVERY_GIVEN_UP) == []
    no[0] = False
    there.run(4)

    assert there.consumer is not None
    assert there.consumer.got == Counter({("a.csv", b"1"): 1})
    assert there.left_at_source() == []
    assert there.records() == []
    assert there.delivered() == 1


def effects_of(root: Path) -> tuple[int, list[int]]:
    """Return how many effects a run has, and which of them removes at the source."""
    there = filled(root)
    owner = Owner(1)
    removals: list[int] = []
    there.after = lambda what: removals.append(owner.effects) if what == "remove" else None
    assert there.run(owner).files == 3
    return owner.effects, removals


def filled(root: Path) -> Site:
    there = by_record(root, consumed=True)
    for name, content in (("a.csv", b"1"), ("b.csv", b"2"), ("large.csv", LARGE)):
        there.put(name, content, mtime_ns=WHEN)
    return there


ALL = Counter({("a.csv", b"1"): 1, ("b.csv", b"2"): 1, ("large.csv", LARGE): 1})


def came_once(there: Site, expected: Counter[tuple[str, bytes]]) -> None:
    for epoch in (98, 99):
        there.run(epoch)
    assert there.consumer is not None
    assert there.consumer.got == expected
    assert there.left_at_source() == []
    assert there.records() == []


def crash() -> None:
    raise Crash


def test_an_owner_that_dies_before_any_effect_loses_and_repeats_nothing(root: Path) -> None:
    count, _ = effects_of(root / "whole")
    for at in range(1, count + 1):
        there = filled(root / str(at))
        with pytest.raises(Crash):
            there.run(Owner(1, at=at, then=crash))
        came_once(there, ALL)


@pytest.mark.parametrize("what", ["write", "rename", "remove"])
def test_an_owner_that_dies_after_an_effect_was_carried_out_loses_and_repeats_nothing(
    root: Path, what: str
) -> None:
    for nth in range(1, 4):
        there = filled(root / str(nth))
        seen = Counter[str]()

        def dying(did: str, nth: int = nth, seen: Counter[str] = seen) -> None:
            seen[did] += 1
            if did == what and seen[did] == nth:
                raise Crash

        there.after = dying
        with pytest.raises(Crash):
            there.run(1)
        there.after = lambda _: None
        came_once(there, ALL)


def test_an_owner_that_wakes_late_harms_nothing_whatever_the_partner_has_put_there(
    root: Path,
) -> None:
    count, removals = effects_of(root / "whole")
    for at in range(1, count + 1):
        if at in removals:  # the one moment in which that cannot be promised, see docs/adr/0005
            continue
        there = filled(root / str(at))

        def meanwhile(there: Site = there) -> None:
            for epoch in (2, 3):
                there.run(epoch)
            assert there.left_at_source() == []
            there.put("a.csv", b"n", mtime_ns=WHEN)  # as large and as old as the former one
            there.put("large.csv", b"n", mtime_ns=WHEN + 1)

        there.run(Owner(1, at=at, then=meanwhile))
        assert {"a.csv", "large.csv"} <= set(there.left_at_source()), at
        came_once(there, ALL + Counter({("a.csv", b"n"): 1, ("large.csv", b"n"): 1}))


@pytest.mark.parametrize("content", [b"new", LARGE[:-1] + b"x"])
def test_a_file_with_the_size_and_time_of_one_whose_owner_died_after_its_deletion_arrives(
    root: Path, content: bytes
) -> None:
    there = by_record(root, consumed=True)
    former = bytes(len(content))
    there.put("a.csv", former, mtime_ns=WHEN)

    def dying(did: str) -> None:
        if did == "remove":
            raise Crash

    there.after = dying
    with pytest.raises(Crash):
        there.run(1)
    there.after = lambda _: None
    assert there.left_at_source() == []
    there.put("a.csv", content, mtime_ns=WHEN)
    came_once(there, Counter({("a.csv", former): 1, ("a.csv", content): 1}))


@pytest.mark.parametrize("state", [DeliveryState.TAKEN, DeliveryState.READY])
@pytest.mark.parametrize("change", ["renames now", "keeps now", "is gone"])
def test_what_was_begun_ends_as_its_record_says_when_the_transfer_changes(
    root: Path, state: DeliveryState, change: str
) -> None:
    there = by_record(root, consumed=True)
    there.put("a.csv", b"1")
    die_as(there, state)
    transfer = there.transfer
    if change == "is gone":
        end_begun(there.context(2))
        assert there.left_at_source() == ([] if state is DeliveryState.READY else ["a.csv"])
    elif change == "keeps now":
        there.transfer = replace(transfer, after_success=AfterSuccess.KEEP)
    else:
        there.transfer = replace(transfer, source=replace(transfer.source, claim=Claiming.RENAME))
    memory = there.memory()
    for _ in range(2):
        there.run(3, memory)
    assert there.consumer is not None
    assert there.consumer.got == Counter({("a.csv", b"1"): 1})
    kept = change == "keeps now" and state is DeliveryState.TAKEN
    assert there.left_at_source() == (["a.csv"] if kept else [])
    assert there.records() == []


def test_a_file_that_was_renamed_to_be_claimed_is_delivered_when_claims_are_by_record_now(
    root: Path,
) -> None:
    there = by_record(root, consumed=True)
    by_now = there.transfer
    there.transfer = replace(by_now, source=replace(by_now.source, claim=Claiming.RENAME))
    there.put("a.csv", b"1")
    die_as(there, DeliveryState.TAKEN)
    there.transfer = by_now
    came_once(there, Counter({("a.csv", b"1"): 1}))


def test_a_file_that_is_given_up_stays_at_its_place_until_it_changes(root: Path) -> None:
    there = by_record(root)
    there.transfer = replace(there.transfer, retry=Retry(attempts=2, first_s=0.0))
    (there.target / "a.csv").write_bytes(b"theirs")
    there.put("a.csv", b"ours", mtime_ns=WHEN)
    memory = there.memory()
    memory.retry = there.transfer.retry
    for _ in range(4):
        there.run(1, memory)

    (told,) = there.happened(EventName.DELIVERY_GIVEN_UP)
    assert told["moved_to"] is None
    assert there.left_at_source() == ["a.csv"]
    assert not has_work(there.transfer, there.context(1, memory))
    (there.target / "a.csv").unlink()
    there.put("a.csv", b"better", mtime_ns=WHEN + 1)
    assert there.run(1, memory).files == 1
    assert there.left_at_source() == []


def test_markers_checksum_files_and_skipped_files_go_with_files_that_stay(root: Path) -> None:
    there = by_record(root, overwrite=Overwrite.SKIP)
    source = replace(
        there.transfer.source,
        marker=Marker(suffix=".ready", replaces=False),
        checksum=Checksum(suffix=".sha256", required=True),
    )
    there.transfer = replace(there.transfer, source=source)
    digest = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
    (there.target / "b.csv").write_bytes(b"theirs")
    for name in ("a.csv", "b.csv"):
        there.put(name, b"1")
        there.put(f"{name}.sha256", f"{digest}  {name}\n".encode())
        there.put(f"{name}.ready", b"")

    assert there.run(1).files == 1

    assert there.left_at_source() == []
    assert there.left_at_target() == ["a.csv", "b.csv"]


def test_the_marker_of_a_newer_file_that_came_meanwhile_is_left(root: Path) -> None:
    there = by_record(root, consumed=True)
    marked = replace(there.transfer.source, marker=Marker(suffix=".ready", replaces=False))
    there.transfer = replace(there.transfer, source=marked)

    def put(content: bytes, at_ns: int) -> None:
        there.put("a.csv", content, mtime_ns=at_ns)
        there.put("a.csv.ready", b"")

    def put_a_newer_one(what: str) -> None:
        if what == "rename":
            there.after = lambda _: None
            put(b"newer", WHEN + 10**10)

    put(b"1", WHEN)
    there.after = put_a_newer_one
    there.run(1)
    assert there.left_at_source() == ["a.csv", "a.csv.ready"]
    there.run(1)
    assert there.left_at_source() == []
    assert there.consumer is not None
    assert sorted(content for _, content in there.consumer.got) == [b"1", b"newer"]


@pytest.mark.parametrize("claim", Claiming)
def test_the_checksum_file_of_a_newer_file_of_the_same_content_is_left(
    root: Path, claim: Claiming
) -> None:
    there = by_record(root, consumed=True)
    source = replace(
        there.transfer.source, claim=claim, checksum=Checksum(suffix=".sha256", required=True)
    )
    there.transfer = replace(there.transfer, source=source)
    digest = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"

    def put(at_ns: int) -> None:
        there.put("a.csv", b"1", mtime_ns=at_ns)
        there.put("a.csv.sha256", f"{digest}  a.csv\n".encode())

    def put_a_newer_one(what: str) -> None:
        if what == "write":
            there.after = lambda _: None
            put(WHEN + 10**10)

    put(WHEN)
    there.after = put_a_newer_one
    there.run(1)
    assert there.left_at_source() == ["a.csv", "a.csv.sha256"]
    there.run(1)
    assert there.left_at_source() == []
    assert there.consumer is not None
    assert there.consumer.got == Counter({("a.csv", b"1"): 2})


@pytest.mark.parametrize("taken", [False, True])
@pytest.mark.parametrize("after", [AfterSuccess.ARCHIVE, AfterSuccess.MOVE])
def test_a_file_that_is_put_in_the_place_of_one_that_is_being_archived_is_delivered_too(
    root: Path, after: AfterSuccess, *, taken: bool
) -> None:
    """It comes after the last look at the source and before the rename."""
    there = by_record(root, after=after, consumed=True)
    there.put("a.csv", b"old", mtime_ns=WHEN)
    if taken and after is AfterSuccess.ARCHIVE:
        (there.source / "old").mkdir()
        (there.source / "old" / "a.csv").write_bytes(b"long ago")

    def newer(what: str) -> None:
        if what == "make_folder" and (there.source / "old").is_dir():
            there.after = lambda _: None
            there.put("a.csv", b"newer", mtime_ns=WHEN + 1)

    def left() -> set[bytes]:
        return {path.read_bytes() for path in (there.source / "old").iterdir()} - {b"long ago"}

    there.after = newer
    there.run(1)
    assert (there.source / "a.csv").read_bytes() == b"newer"
    assert left() == set()
    there.run(1)
    assert there.consumer is not None
    assert there.consumer.got == Counter({("a.csv", b"old"): 1, ("a.csv", b"newer"): 1})
    assert not (there.source / "a.csv").exists()
    assert left() == {b"newer"}


def test_a_batch_that_cannot_be_whole_leaves_its_files_where_they_are(root: Path) -> None:
    there = by_record(root, consumed=False)
    there.transfer = replace(there.transfer, batch=Batch(at_least=2))
    (there.target / "b.csv").write_bytes(b"theirs")
    for name in ("a.csv", "b.csv"):
        there.put(name, b"1")
    there.run(1)
    assert there.left_at_source() == ["a.csv", "b.csv"]
    assert there.left_at_target() == ["b.csv"]
    (there.target / "b.csv").unlink()
    assert there.run(2).files == 2
    assert there.left_at_source() == []


def test_a_file_of_the_same_content_is_skipped_and_deleted(root: Path) -> None:
    there = by_record(root)
    there.transfer = replace(there.transfer, deduplicate=Deduplicate(within_days=1))
    there.put("a.csv", b"1")
    there.put("b.csv", b"1")
    there.run(1)
    assert there.left_at_target() == ["a.csv"]
    assert there.left_at_source() == []


@pytest.fixture
def partner(root: Path) -> Iterator[Callable[[Site], None]]:
    """Give what has a site's source be at a partner where files may be read and deleted, and nothing else."""
    secrets = root / "secrets"
    secrets.mkdir()
    (secrets / "password").write_text(PASSWORD + "\n", encoding="utf-8")
    (secrets / "password").chmod(0o600)
    with sftp_server(root / "source", OnlyReadsAndDeletes) as server:

        def be(there: Site) -> None:
            opening = there.open

            def opened(location: Location, make: bool = False) -> Endpoint:  # noqa: FBT001, FBT002
                if location.name == SOURCE:
                    return connect(server.location(), secrets_dir=secrets)
                return opening(location, make)

            there.open = opened  # type: ignore[method-assign]

        yield be


def test_files_are_fetched_from_a_partner_where_they_may_be_read_and_deleted_only(
    root: Path, partner: Callable[[Site], None]
) -> None:
    there = by_record(root, consumed=True)
    partner(there)
    many = {f"{number:03}.csv": b"%d" % number for number in range(100)} | {"large.csv": LARGE}
    for name, content in many.items():
        there.put(name, content)

    renaming = replace(there.transfer, source=replace(there.transfer.source, claim=Claiming.RENAME))
    wanted, there.transfer = there.transfer, renaming
    assert there.run(1).outcome is RunState.FAILED  # there it cannot be done with a rename
    there.transfer = wanted
    assert there.run(2).files == len(many)

    came_once(there, Counter(dict.fromkeys(many.items(), 1)))


def test_a_partner_that_refuses_to_delete_gets_nothing_sent_again(
    root: Path, partner: Callable[[Site], None]
) -> None:
    there = by_record(root, consumed=True)
    partner(there)
    there.put("a.csv", b"1")
    (there.source / ".nothing-is-deleted").touch()
    there.transfer = replace(
        there.transfer, source=replace(there.transfer.source, exclude=(".nothing-is-deleted",))
    )
    for epoch in (1, 2):
        assert there.run(epoch).errors
        assert [each for each in there.left_at_source() if each == "a.csv"] == ["a.csv"]
    (there.source / ".nothing-is-deleted").unlink()
    came_once(there, Counter({("a.csv", b"1"): 1}))


def test_a_file_that_cannot_be_deleted_is_not_sent_again_when_the_source_is_a_folder_above_or_below(
    root: Path,
) -> None:
    for number, (old, new) in enumerate([("in", "."), (".", "in"), ("in", "in/deep")]):
        there = by_record(root / str(number), consumed=True)
        refuse_to_delete(there, no=[True])
        there.put("in/deep/a.csv", b"1")
        source = replace(there.transfer.source, path=old, recursive=True)
        there.transfer = replace(there.transfer, source=source)
        there.run(1)
        there.transfer = replace(there.transfer, source=replace(source, path=new))
        memory = there.memory()
        for _ in range(2):
            there.run(2, memory)
            assert not has_work(there.transfer, there.context(2, memory))
        assert there.consumer is not None
        assert there.consumer.got == Counter({("a.csv", b"1"): 1}), (old, new)


def test_failures_of_many_records_are_written_down_a_few_times_and_not_once_for_each(
    root: Path,
) -> None:
    there = by_record(root)
    refuse_to_delete(there, no=[True])
    for number in range(150):
        there.put(f"{number}.csv", b"1")
    memory, written = there.memory(), set[int]()
    there.run(1, memory)
    memory.failures.clear()
    context = replace(
        there.context(1, memory),
        record=lambda *_: written.add((there.state / "failures.json").stat().st_mtime_ns),
    )
    run_once(there.transfer, context)
    assert len(written) <= 3
