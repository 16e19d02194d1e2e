"""Whoever was told that a transfer failed is told when it works again."""

from pathlib import Path

from failing_site import refuse, run_as_others, run_when_due, trying
from outbound_site import SOURCE, Site

from mftgit.adapters.endpoint.contract import EndpointLostError
from mftgit.member.outbound.given.context import Memory
from mftgit.model.events.event import EventName


def told(there: Site) -> list[object]:
    return [each["failed_runs"] for each in there.happened(EventName.TRANSFER_RECOVERED)]


def broken(root: Path) -> tuple[Site, Memory]:
    """A transfer whose partner takes no file, of which there is one."""
    there, memory = trying(root)
    there.put("bad", b"1")
    refuse(there, "bad")
    return there, memory


def test_a_transfer_that_works_again_says_so_once(root: Path) -> None:
    there, memory = broken(root)
    run_when_due(there, memory, 2)
    assert len(there.happened(EventName.RUN_FAILED)) == 2
    there.after = lambda _: None
    assert there.run(1, memory).files == 0  # it waits yet, which is no end
    assert told(there) == []
    assert run_when_due(there, memory, 1) == 1
    assert told(there) == [2]
    there.put("other", b"2")
    assert run_when_due(there, memory, 2) == 1
    assert told(there) == [2]


def test_a_failure_that_no_run_failed_by_has_no_end_to_be_told(root: Path) -> None:
    there, memory = broken(root)
    there.put("good", b"2")
    assert run_when_due(there, memory, 1) == 1
    assert there.happened(EventName.RUN_FAILED) == []
    there.after = lambda _: None
    assert run_when_due(there, memory, 1) == 1
    assert told(there) == []


def test_a_source_that_is_reached_again_is_an_end_also_where_it_has_no_file(root: Path) -> None:
    there, memory = trying(root)
    there.broken[SOURCE] = EndpointLostError("it is away")
    run_when_due(there, memory, 3)
    assert len(there.happened(EventName.RUN_FAILED)) == 3
    del there.broken[SOURCE]
    run_when_due(there, memory, 2)
    assert told(there) == [3]


def test_a_successor_tells_the_end_of_what_failed_before_it(root: Path) -> None:
    there, _ = broken(root)
    run_as_others(there, range(1, 3))
    there.after = lambda _: None
    run_as_others(there, range(3, 5))
    assert told(there) == [2]


def test_to_give_a_file_up_is_not_the_end_and_the_next_one_that_arrives_is(root: Path) -> None:
    there, memory = broken(root)
    run_when_due(there, memory, 6)
    assert len(there.happened(EventName.DELIVERY_GIVEN_UP)) == 1
    assert told(there) == []
    there.put("good", b"2")
    assert run_when_due(there, memory, 1) == 1
    assert told(there) == [3]
