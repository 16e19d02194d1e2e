"""A file that fails again and again is set aside, and keeps no other from being delivered."""

import json
from pathlib import Path

import pytest
from failing_site import refuse, run_as_others, run_when_due, trying
from outbound_site import LARGE, Crash, Owner

from mftgit.adapters.endpoint.contract import EndpointRefusedError
from mftgit.member.outbound.given.context import FAILED_RUNS, FEW_FAILURES, FORGOTTEN_S
from mftgit.model.configuration.config import AfterSuccess, Overwrite
from mftgit.model.events.event import EventName


@pytest.mark.parametrize("content", [b"poison", LARGE], ids=["small", "large"])
def test_a_file_that_fails_too_often_is_moved_aside_and_told_of(root: Path, content: bytes) -> None:
    there, memory = trying(root)
    there.put("bad", content)
    refuse(there, "bad")
    run_when_due(there, memory, 3)
    assert len(there.happened(EventName.DELIVERY_FAILED)) == 3
    assert not (there.source / "aside").exists()
    there.put("good", b"1")
    assert run_when_due(there, memory, 1) == 1
    (told,) = there.happened(EventName.DELIVERY_GIVEN_UP)
    assert (told["path"], told["moved_to"]) == ("bad", "aside/bad")
    assert (there.source / "aside" / "bad").read_bytes() == content
    assert there.records() == []
    assert there.left_at_target() == ["good"]
    assert run_when_due(there, memory, 2) == 0
    assert len(there.happened(EventName.DELIVERY_GIVEN_UP)) == 1


def test_a_file_whose_name_stays_taken_is_moved_aside_too(root: Path) -> None:
    there, memory = trying(root)
    assert there.transfer.destination.overwrite is Overwrite.FAIL
    (there.target / "a").write_bytes(b"is there")
    there.put("a", b"1")
    run_when_due(there, memory, 4)
    assert (there.source / "aside" / "a").read_bytes() == b"1"
    assert len(there.happened(EventName.DELIVERY_GIVEN_UP)) == 1
    assert there.records() == []


def test_a_kept_file_is_left_alone_until_it_changes(root: Path) -> None:
    there, memory = trying(root, after=AfterSuccess.KEEP)
    there.put("bad", b"1")
    refuse(there, "bad")
    run_when_due(there, memory, 6)
    assert len(there.happened(EventName.DELIVERY_FAILED)) == 3
    (told,) = there.happened(EventName.DELIVERY_GIVEN_UP)
    assert told["moved_to"] is None
    there.after = lambda _: None
    assert run_when_due(there, memory, 1) == 0
    there.put("bad", b"22")
    assert run_when_due(there, memory, 1) == 1


def test_a_file_of_that_name_in_quarantine_is_not_replaced(root: Path) -> None:
    there, memory = trying(root)
    (there.source / "aside").mkdir()
    (there.source / "aside" / "bad").write_bytes(b"an earlier one")
    there.put("bad", b"1")
    refuse(there, "bad")
    run_when_due(there, memory, 4)
    assert (there.source / "aside" / "bad").read_bytes() == b"an earlier one"
    assert len(list((there.source / "aside").iterdir())) == 2


def test_failures_of_long_ago_are_forgotten_and_the_others_are_not(root: Path) -> None:
    _, memory = trying(root)
    for number in range(FEW_FAILURES - 1):
        memory.failed(f"old-{number}", (1, 1), 0.0)
    memory.failed("young", (1, 1), 2 * FORGOTTEN_S)
    assert len(memory.failures) == FEW_FAILURES
    memory.failed("new", (1, 1), 2.5 * FORGOTTEN_S)
    assert set(memory.failures) == {"young", "new"}


@pytest.mark.parametrize("content", [b"poison", LARGE], ids=["small", "large"])
def test_tries_count_on_where_members_take_over_from_each_other(root: Path, content: bytes) -> None:
    there, _ = trying(root)
    there.put("bad", content)
    refuse(there, "bad")
    run_as_others(there, range(1, 4))
    assert len(there.happened(EventName.DELIVERY_FAILED)) == 3
    assert not (there.source / "aside").exists()
    run_as_others(there, range(4, 5))
    assert (there.source / "aside" / "bad").read_bytes() == content
    assert len(there.happened(EventName.DELIVERY_GIVEN_UP)) == 1
    assert there.records() == []


def test_a_name_that_stays_taken_counts_on_after_a_takeover(root: Path) -> None:
    there, _ = trying(root)
    (there.target / "a").write_bytes(b"is there")
    there.put("a", b"1")
    run_as_others(there, range(1, 5))
    assert (there.source / "aside" / "a").read_bytes() == b"1"


def test_a_kept_file_that_was_given_up_stays_so_after_a_takeover_until_it_changes(
    root: Path,
) -> None:
    there, _ = trying(root, after=AfterSuccess.KEEP)
    there.put("bad", b"1")
    refuse(there, "bad")
    run_as_others(there, range(1, 6))
    assert len(there.happened(EventName.DELIVERY_FAILED)) == 3
    there.after = lambda _: None
    assert there.left_at_target() == []
    there.put("bad", b"22")
    run_as_others(there, range(6, 7))
    assert there.left_at_target() == ["bad"]


def test_an_owner_that_is_killed_during_a_try_leaves_the_count(root: Path) -> None:
    there, _ = trying(root)
    there.put("bad", b"1")
    refuse(there, "bad")
    run_as_others(there, range(1, 3))

    def crash(call: str) -> None:
        if call == "write":
            raise Crash

    there.after = crash
    with pytest.raises(Crash):
        run_as_others(there, range(3, 4))
    refuse(there, "bad")
    run_as_others(there, range(4, 6))
    assert (there.source / "aside" / "bad").exists()


def test_only_failures_are_written_down_and_a_success_removes_them(root: Path) -> None:
    there, memory = trying(root)
    kept = there.state / "failures.json"
    there.put("good", b"1")
    there.run(1, memory)
    assert not kept.exists()
    there.put("bad", b"1")
    refuse(there, "bad")
    run_when_due(there, memory, 1)
    assert kept.exists()
    there.after = lambda _: None
    assert run_when_due(there, memory, 1) == 1
    assert not kept.exists()


def test_failures_that_cannot_be_read_or_written_stop_no_delivery(root: Path) -> None:
    there, memory = trying(root)
    kept = there.state / "failures.json"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"torn")
    there.put("bad", b"1")
    refuse(there, "bad")
    there.run(1, memory)
    kept.unlink()
    kept.mkdir()  # which no file can replace
    there.put("good", b"1")
    assert run_when_due(there, memory, 1) == 1
    kept.rmdir()
    run_when_due(there, memory, 1)
    assert kept.is_file()


def test_a_late_owner_writes_nothing(root: Path) -> None:
    there, memory = trying(root)
    there.put("bad", b"1")
    owner = Owner(1)

    def refuse_late(call: str) -> None:
        if call == "write":
            owner.lose()
            raise EndpointRefusedError("not this one")

    there.after = refuse_late
    there.run(owner, memory)
    assert memory.failures
    assert not (there.state / "failures.json").exists()


def test_what_is_to_count_anew_does_so_on_the_disk_too(root: Path) -> None:
    there, memory = trying(root)
    there.put("bad", b"1")
    refuse(there, "bad")
    run_when_due(there, memory, 2)
    memory.forget_failures()
    run_when_due(there, memory, 1)
    kept = json.loads((there.state / "failures.json").read_bytes())["failures"]
    assert {each["count"] for each in kept if each["what"] != FAILED_RUNS} == {1}
