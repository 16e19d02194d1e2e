"""The files of a batch are visible at the destination all together, or none of them is."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from outbound_site import LARGE, Crash, Owner, Site, consumed, site

from mftgit.adapters.endpoint.contract import EndpointLostError, EndpointRefusedError
from mftgit.adapters.local.endpoint import LocalEndpoint
from mftgit.member.outbound.runs import select
from mftgit.member.outbound.runs.run import has_work, run_once
from mftgit.model.configuration.config import AfterSuccess, Batch, Overwrite
from mftgit.model.events.event import EventName, Fact
from mftgit.model.transfers.commands import When
from mftgit.model.transfers.run import RunState

FILES = {"a.csv": b"1", "b.csv": b"22", "c.csv": LARGE, "d.csv": b"4444"}


def batched(there: Site, *, at_least: int = 1, **rules: Any) -> Site:
    there.transfer = replace(
        there.transfer,
        batch=Batch(at_least=at_least),
        destination=replace(there.transfer.destination, **rules),
    )
    return there


def put_all(there: Site) -> None:
    for name, content in FILES.items():
        there.put(name, content)


def all_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def refuse(monkeypatch: pytest.MonkeyPatch, name: str) -> Callable[[], None]:
    """Let the destination refuse to take the file ``name`` until the returned is called."""
    refusing, real = [True], LocalEndpoint.write

    def write(self: LocalEndpoint, path: str, *args: Any, **more: Any) -> int:
        if refusing and name in path:
            raise EndpointRefusedError("not this one")
        return real(self, path, *args, **more)

    monkeypatch.setattr(LocalEndpoint, "write", write)
    return refusing.clear


@pytest.mark.parametrize("after", [AfterSuccess.DELETE, AfterSuccess.KEEP, AfterSuccess.ARCHIVE])
def test_a_batch_arrives(root: Path, after: AfterSuccess) -> None:
    there = batched(site(root, after=after), at_least=4)
    put_all(there)
    outcome = there.run(1)
    assert (outcome.outcome, outcome.files) == (RunState.SUCCEEDED, 4)
    assert all_of(there.target) == FILES
    assert there.run(1).outcome is RunState.IDLE
    assert there.records() == []


def test_what_is_refused_its_way_back_is_not_set_aside(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = batched(site(root))
    there.put("a", b"1")

    def die(call: str) -> None:
        if call == "write":
            raise Crash

    there.after = die
    with suppress(Crash):
        there.run(1)
    there.after = lambda _: None
    real = LocalEndpoint.rename

    def rename(self: LocalEndpoint, old: str, new: str, *, replace: bool) -> None:
        if new == "a":
            raise EndpointRefusedError("not now")
        real(self, old, new, replace=replace)

    with monkeypatch.context() as patched:
        patched.setattr(LocalEndpoint, "rename", rename)
        assert "not now" in there.run(2).errors[0]
    assert there.happened(EventName.DELIVERY_GIVEN_UP) == []
    there.run(3)
    assert all_of(there.target) == {"a": b"1"}


def test_programs_for_a_large_batch_are_not_all_run_again(root: Path) -> None:
    there = batched(site(root))
    for number in range(130):
        there.put(f"{number}", b"1")
    ran: list[object] = []

    def run_program(when: When, facts: Mapping[str, Fact]) -> None:
        if when is When.AFTER_FILE:
            ran.append(facts["path"])
            if len(ran) == 130:
                raise Crash

    with suppress(Crash):
        run_once(there.transfer, replace(there.context(1), run_program=run_program))
    run_once(there.transfer, replace(there.context(2), run_program=run_program))
    assert len(set(ran)) == 130
    assert len(ran) == 130 + 2  # those that came after the first 128
    assert there.records() == []


def test_what_is_skipped_of_a_batch_is_not_left_behind_by_an_owner_that_dies(root: Path) -> None:
    there = batched(site(root, overwrite=Overwrite.SKIP), at_least=3)
    for name in ("a", "b", "c"):
        there.put(name, b"1")
    (there.target / "c").write_bytes(b"there")

    def die(call: str) -> None:
        if call == "rename" and (there.target / "a").exists():
            raise Crash

    there.after = die
    with suppress(Crash):
        there.run(1)
    there.after = lambda _: None
    there.run(2)
    assert (there.left_at_source(), there.records()) == ([], [])
    assert all_of(there.target) == {"a": b"1", "b": b"1", "c": b"there"}


def test_what_has_a_newer_one_at_its_place_keeps_no_batch_waiting(root: Path) -> None:
    there = batched(site(root, overwrite=Overwrite.OVERWRITE), at_least=2)
    for name in ("a", "b"):
        there.put(name, b"1")

    def die(call: str) -> None:
        if call == "write":
            raise Crash

    there.after = die
    with suppress(Crash):
        there.run(1)
    there.after = lambda _: None
    there.put("a", b"2")
    assert there.run(2).files == 2
    assert all_of(there.target) == {"a": b"2", "b": b"1"}
    (aside,) = there.happened(EventName.DELIVERY_GIVEN_UP)
    assert (there.source / str(aside["moved_to"])).read_bytes() == b"1"
    assert there.records() == []


@pytest.mark.parametrize("watch", [True, False], ids=["watch", "schedule"])
def test_a_batch_that_waits_is_not_asked_for_without_end(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    watch: bool,  # noqa: FBT001
) -> None:
    """There are more files than one batch has, and the first ones were refused a moment ago."""
    there = batched(site(root, watch=watch), at_least=1)
    there.transfer = replace(there.transfer, source=replace(there.transfer.source, at_most=1))
    put_all(there)
    refuse(monkeypatch, "")
    memory = there.memory()
    assert there.run(1, memory).outcome is RunState.FAILED
    again = run_once(there.transfer, there.context(1, memory), settled=True)
    assert (again.outcome, again.again_in_s) == (RunState.IDLE, None)
    assert not has_work(there.transfer, there.context(1, memory))


@pytest.mark.parametrize("after", [AfterSuccess.DELETE, AfterSuccess.KEEP])
@pytest.mark.parametrize("which", FILES)
def test_of_a_batch_with_one_bad_file_nothing_arrives_and_nothing_is_lost(
    root: Path, monkeypatch: pytest.MonkeyPatch, which: str, after: AfterSuccess
) -> None:
    there = batched(site(root, after=after))
    put_all(there)
    mend, memory = refuse(monkeypatch, which), there.memory()
    outcome = there.run(1, memory)
    assert outcome.outcome is RunState.FAILED
    assert all("not this one" in each for each in outcome.errors)
    (failed,) = there.happened(EventName.DELIVERY_FAILED)  # the cause, and not what it holds back
    assert failed["path"] == which
    assert (all_of(there.source), there.left_at_target()) == (FILES, [])
    assert there.records() == []

    mend()
    assert there.run(1, memory).files == 0  # it waits before it is tried again
    memory.failures.clear()
    assert there.run(1, memory).files == 4
    assert all_of(there.target) == FILES


def test_nothing_is_taken_before_the_batch_is_whole(root: Path) -> None:
    there = batched(site(root), at_least=3)
    memory = there.memory()
    for name in ("a", "b"):
        there.put(name, b"x")
    assert there.run(1, memory).outcome is RunState.IDLE
    there.put("c", b"x")
    assert there.run(1, memory).files == 3


def test_nothing_is_taken_while_one_file_changes(root: Path) -> None:
    there = batched(site(root, stable_s=1000.0))
    for name in ("a", "b"):
        there.put(name, b"x")
    memory = there.memory()
    assert there.run(1, memory).files == 0
    first = memory.sightings["a"]
    memory.sightings["a"] = replace(first, since=first.since - 2000)
    assert there.run(1, memory).files == 0
    memory.sightings = {
        path: replace(seen, since=first.since - 2000) for path, seen in memory.sightings.items()
    }
    assert there.run(1, memory).files == 2


def test_a_name_that_is_taken_keeps_the_whole_batch_back(root: Path) -> None:
    there = batched(site(root))
    put_all(there)
    (there.target / "b.csv").write_bytes(b"is here")
    assert there.run(1).files == 0
    assert all_of(there.source) == FILES
    assert all_of(there.target) == {"b.csv": b"is here"}


def test_a_file_that_is_skipped_keeps_no_batch_back(root: Path) -> None:
    there = batched(site(root, overwrite=Overwrite.SKIP))
    put_all(there)
    (there.target / "b.csv").write_bytes(b"is here")
    assert there.run(1).files == 3
    assert all_of(there.target) == FILES | {"b.csv": b"is here"}
    assert (there.left_at_source(), there.records()) == ([], [])


def test_two_files_of_a_batch_for_one_name_are_told(root: Path) -> None:
    there = batched(site(root, overwrite=Overwrite.OVERWRITE), name="latest")
    put_all(there)
    outcome = there.run(1)
    assert outcome.files == 0
    assert all_of(there.source) == FILES


def test_a_lost_connection_leaves_nothing_half(root: Path) -> None:
    there = batched(site(root))
    put_all(there)
    writes: list[str] = []

    def lose(what: str) -> None:
        if what == "write":
            writes.append(what)
            if len(writes) == 3:
                raise EndpointLostError("gone")

    there.after = lose
    assert there.run(1).outcome is RunState.FAILED
    there.after = lambda _: None
    assert there.left_at_target() != []  # temporaries, hidden
    assert all(name.startswith(".") for name in there.left_at_target())
    for _ in range(2):  # the first look puts them back, the second takes them
        there.run(2)
    assert all_of(there.target) == FILES
    assert there.records() == []


def test_too_many_files_for_one_batch_are_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = batched(site(root))
    put_all(there)
    monkeypatch.setattr(select, "MOST_IN_A_BATCH", 3)
    outcome = there.run(1)
    assert "source.at_most" in outcome.errors[0]
    assert all_of(there.source) == FILES


def effects(root: Path) -> int:
    there = batched(consumed(root))
    put_all(there)
    owner = Owner(1)
    there.run(owner)
    return owner.effects


def die() -> None:
    raise Crash


def test_what_a_dead_owner_took_of_a_batch_is_not_sent_by_itself(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = batched(site(root))
    put_all(there)
    with pytest.raises(Crash):
        there.run(Owner(1, at=12, then=die))
    assert there.records()
    assert len(all_of(there.source)) < len(FILES)  # claimed
    refuse(monkeypatch, "b.csv")
    for epoch in (2, 3):
        there.run(epoch)
    assert (all_of(there.source), there.left_at_target()) == (FILES, [])


def test_a_batch_survives_an_owner_that_dies_before_any_step(tmp_path: Path) -> None:
    (tmp_path / "count").mkdir()
    for name in ("source", "target"):
        (tmp_path / "count" / name).mkdir()
    steps = effects(tmp_path / "count")
    assert steps > 20
    for at in range(1, steps + 1):
        root = tmp_path / str(at)
        for name in ("source", "target"):
            (root / name).mkdir(parents=True)
        there = batched(consumed(root))
        put_all(there)

        assert there.consumer is not None
        with suppress(Crash):
            there.run(Owner(1, at=at, then=die))
        whole = any(b'"ready"' in path.read_bytes() for path in there.records())
        assert whole or there.consumer.got.total() in {0, 4}, at
        for epoch in range(2, 5):
            there.run(epoch)
        assert there.consumer.got == dict.fromkeys(FILES.items(), 1), at
        assert there.left_at_target() == [], at
        assert there.delivered() == 4, at
