"""Every failure says on which side it was, at which location, and whether and when there is another try."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import pytest
from outbound_site import CLOCK, LARGE, SOURCE, TARGET, Owner, Site, Watched, site

from mftgit.adapters.endpoint.contract import EndpointLostError, EndpointRefusedError
from mftgit.member.outbound.given.context import Memory
from mftgit.model.events.event import EventName, Fact
from mftgit.model.transfers.retry import Retry

RETRY = Retry(attempts=2, first_s=40, jitter=0)


@pytest.fixture
def there(tmp_path: Path) -> Site:
    (tmp_path / "source").mkdir()
    (tmp_path / "target").mkdir()
    made = site(tmp_path)
    made.transfer = replace(made.transfer, retry=RETRY)
    return made


def trying(there: Site) -> Memory:
    memory = there.memory()
    memory.retry = RETRY
    return memory


def failing(call: str, error: str = "quota exceeded") -> object:
    def look(called: str) -> None:
        if called == call:
            raise EndpointRefusedError(error)

    return look


def place_of(facts: dict[str, Fact]) -> tuple[Fact, Fact]:
    return facts["side"], facts["location"]


def seconds_to(at: Fact) -> float:
    return (datetime.fromisoformat(str(at)) - CLOCK.now()) / timedelta(seconds=1)


@pytest.mark.parametrize("content", [b"1", LARGE], ids=["small", "large"])
def test_a_refusal_of_the_destination_says_so_and_when_the_file_is_tried_again(
    there: Site, content: bytes
) -> None:
    there.put("a", content)
    there.after = failing("write")  # type: ignore[assignment]
    outcome = there.run(1, trying(there))
    (failed,) = there.happened(EventName.DELIVERY_FAILED)
    assert place_of(failed) == ("destination", "there")
    assert (failed["try"], failed["tries"], failed["error"]) == (1, 2, "quota exceeded")
    assert 0 < seconds_to(failed["retried_at"]) <= 40
    (error,) = outcome.errors
    assert error.startswith("a: quota exceeded (destination there; try 1 of 2, the next one from 2")
    (told,) = there.happened(EventName.RUN_FAILED)
    assert 0 < seconds_to(told["retried_at"]) <= 40


def test_a_run_whose_files_all_failed_at_one_location_says_which(there: Site) -> None:
    for name in ("a", "b"):
        there.put(name, b"1")
    there.after = failing("write")  # type: ignore[assignment]
    there.run(1, trying(there))
    (told,) = there.happened(EventName.RUN_FAILED)
    assert place_of(told) == ("destination", "there")
    assert len(told["errors"]) == 2  # type: ignore[arg-type]


def test_a_run_that_failed_at_both_ends_names_none(
    there: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Watched.open_read

    opened: list[str] = []

    def first_unreadable(self: Watched, path: str, offset: int = 0) -> object:
        opened.append(path)
        if path == opened[0]:
            error = EndpointRefusedError("a bad sector")
            error.location = SOURCE
            raise error
        return real(self, path, offset)

    monkeypatch.setattr(Watched, "open_read", first_unreadable)
    for name in ("a", "b"):
        there.put(name, LARGE)
    there.after = failing("write")  # type: ignore[assignment]
    there.run(1, trying(there))
    (told,) = there.happened(EventName.RUN_FAILED)
    sides = {each["side"] for each in there.happened(EventName.DELIVERY_FAILED)}
    assert sides == {"source", "destination"}
    assert "location" not in told


def test_the_last_try_says_that_there_is_no_other(there: Site) -> None:
    memory = trying(there)
    there.put("a", b"1")
    there.after = failing("write")  # type: ignore[assignment]
    there.run(1, memory)
    memory.failures = {what: replace(each, until=0.0) for what, each in memory.failures.items()}
    outcome = there.run(1, memory)
    failed = there.happened(EventName.DELIVERY_FAILED)[-1]
    assert (failed["try"], failed["retried_at"]) == (2, None)
    assert outcome.errors[0].endswith("; try 2 of 2, given up)")
    assert there.happened(EventName.RUN_FAILED)[-1]["retried_at"] is None


class Torn:
    """A file of which only the beginning can be read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._reads = 0

    def read(self, _size: int) -> bytes:
        self._reads += 1
        if self._reads > 1:
            raise EndpointRefusedError("a bad sector")
        return self._stream.read(1000)


def test_a_source_that_fails_while_it_is_sent_is_not_taken_for_the_destination(
    there: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contextlib import contextmanager  # noqa: PLC0415

    real = Watched.open_read

    @contextmanager
    def torn(self: Watched, path: str, offset: int = 0) -> Iterator[Torn]:
        with real(self, path, offset) as stream:
            yield Torn(stream)

    monkeypatch.setattr(Watched, "open_read", torn)
    there.put("a", LARGE)
    there.run(1, trying(there))
    (failed,) = there.happened(EventName.DELIVERY_FAILED)
    assert (*place_of(failed), failed["error"]) == ("source", "here", "a bad sector")


def test_errors_of_our_own_say_their_side_too(there: Site) -> None:
    there.put("a", b"1")
    (there.target / "a").write_bytes(b"is there")
    there.run(1, trying(there))
    (failed,) = there.happened(EventName.DELIVERY_FAILED)
    assert place_of(failed) == ("destination", "there")


@pytest.mark.parametrize(("name", "side"), [(SOURCE, "source"), (TARGET, "destination")])
def test_a_run_that_fails_as_a_whole_says_which_side_and_when_it_is_tried_again(
    there: Site, name: str, side: str
) -> None:
    there.put("a", b"1")
    there.broken[name] = EndpointLostError("no route to host")  # type: ignore[index]
    memory = trying(there)
    outcome = there.run(1, memory)
    (told,) = there.happened(EventName.RUN_FAILED)
    assert place_of(told) == (side, name)
    assert 0 < seconds_to(told["retried_at"]) <= 40
    assert f"no route to host ({side} {name}; try 1, the next one from 2" in outcome.errors[0]
    assert memory.failures[""].count == 1
    for failed in there.happened(EventName.DELIVERY_FAILED):
        assert (*place_of(failed), failed["tries"]) == (side, name, None)


def test_where_both_sides_are_one_location_only_that_is_told(there: Site) -> None:
    destination = replace(there.transfer.destination, location=SOURCE, path="moved")
    there.transfer = replace(there.transfer, destination=destination)
    there.put("a", b"1")
    there.after = failing("write")  # type: ignore[assignment]
    there.run(1, trying(there))
    (failed,) = there.happened(EventName.DELIVERY_FAILED)
    assert place_of(failed) == (None, "here")


def test_what_an_earlier_owner_began_is_told_of_alike(there: Site) -> None:
    there.put("a", b"1")
    there.after = failing("write")  # type: ignore[assignment]
    there.run(1, trying(there))
    there.run(2, trying(there))
    failed = there.happened(EventName.DELIVERY_FAILED)[-1]
    assert place_of(failed) == ("destination", "there")


def test_a_run_whose_ownership_ends_promises_nothing(there: Site) -> None:
    owner = Owner(1)

    def lose(_: str) -> None:
        owner.lose()

    there.after = lose
    there.put("a", b"1")
    there.run(owner, trying(there))
    (told,) = there.happened(EventName.RUN_FAILED)
    assert (told["outcome"], told["retried_at"]) == ("ended", None)
