"""While a destination as a whole cannot be reached files go to its fallback, and none goes to both."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from outbound_site import CLOCK, LARGE, SOURCE, TARGET, Crash, Owner, Site, Watched, site
from ports import own_port
from ssh_keys import make_key
from sshd import running_sshd

from mftgit.adapters.endpoint.contract import (
    Endpoint,
    EndpointLostError,
    EndpointRefusedError,
    HostKeyError,
    LoginError,
)
from mftgit.adapters.local.endpoint import LocalEndpoint
from mftgit.adapters.sftp.endpoint import connect
from mftgit.errors import MftgitError
from mftgit.member.outbound.given.context import AWAY, Memory
from mftgit.member.outbound.runs.run import has_work, run_once
from mftgit.model.configuration.config import AfterSuccess, Batch, Fallback
from mftgit.model.events.event import EventName
from mftgit.model.locations.location import Location, SftpLocation
from mftgit.model.locations.login import KeyAuth
from mftgit.model.names import LocationName
from mftgit.model.transfers.failover import Sign
from mftgit.model.transfers.run import RunState

OTHER = LocationName("other")


@pytest.fixture
def there(tmp_path: Path) -> Site:
    return with_fallback(tmp_path)


def with_fallback(root: Path, *, after_failures: int = 2, watch: bool = True) -> Site:
    for name in ("source", "target", "other"):
        (root / name).mkdir(parents=True)
    made = site(root, watch=watch)
    made.paths[OTHER] = "other"
    fallback = Fallback(location=OTHER, path="in", after_failures=after_failures)
    destination = replace(made.transfer.destination, fallback=fallback)
    made.transfer = replace(made.transfer, destination=destination)
    return made


def at(there: Site, name: str) -> list[str]:
    return sorted(path.name for path in (there.root / name).rglob("*") if path.is_file())


def due(memory: Memory) -> None:
    """Let every wait be over."""
    memory.left_until = 0.0
    memory.failures = {what: replace(each, until=0.0) for what, each in memory.failures.items()}


@pytest.mark.parametrize("error", [EndpointLostError, LoginError, HostKeyError])
@pytest.mark.parametrize("watch", [True, False], ids=["watch", "schedule"])
def test_after_so_many_runs_files_go_to_the_fallback_and_back_once_it_is_there_again(
    tmp_path: Path,
    error: type[MftgitError],
    watch: bool,  # noqa: FBT001
) -> None:
    there = with_fallback(tmp_path / "site", watch=watch)
    memory = there.memory()
    there.broken[TARGET] = error("away")
    there.put("a", b"1")
    first = there.run(1, memory)
    assert (first.outcome, at(there, "other")) == (RunState.FAILED, [])
    due(memory)
    second = there.run(1, memory)
    assert (second.outcome, second.errors) == (RunState.SUCCEEDED, ())
    assert (first.sign, second.sign) == (Sign.UNABLE, Sign.UNABLE)  # the destination is as far
    assert at(there, "other") == ["a"]
    assert (there.root / "other" / "in" / "a").exists()
    (away,) = there.happened(EventName.DESTINATION_AWAY)
    assert (away["location"], away["fallback"], away["try"]) == (TARGET, OTHER, 2)
    (delivered,) = there.happened(EventName.DELIVERY_SUCCEEDED)
    assert delivered["destination"] == OTHER
    assert next(iter((there.state / "ledger").glob("*.jsonl"))).read_text("utf-8").count(OTHER)
    there.put("b", b"1")
    third = there.run(1, memory)  # while its wait is not over, it is not even tried
    assert third.sign is Sign.NEITHER
    assert (at(there, "other"), len(there.happened(EventName.DESTINATION_AWAY))) == (["a", "b"], 1)
    del there.broken[TARGET]
    due(memory)
    there.put("c", b"1")
    there.run(1, memory)
    assert (at(there, "target"), memory.count(AWAY)) == (["c"], 0)


def test_a_destination_that_refuses_one_file_is_not_away(there: Site) -> None:
    memory = there.memory()
    there.put("a", b"1")

    def refuse(call: str) -> None:
        if call == "write":
            raise EndpointRefusedError("quota")

    there.after = refuse
    for _ in range(4):
        due(memory)
        there.run(1, memory)
    assert at(there, "other") == []


def test_a_source_that_is_away_is_no_reason_for_the_fallback(there: Site) -> None:
    memory = there.memory()
    there.put("a", b"1")
    there.broken[SOURCE] = EndpointLostError("away")
    for _ in range(4):
        due(memory)
        assert there.run(1, memory).outcome is RunState.FAILED
    assert memory.count(AWAY) == 0


def test_a_source_that_is_lost_side_by_side_is_no_reason_for_the_fallback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lane that is cut short writes to the destination, which has nothing to do with it."""
    there = with_fallback(tmp_path / "site", after_failures=1)
    there.transfer = replace(there.transfer, parallel=2)
    for name in ("a", "b"):
        there.put(name, LARGE)
    begun, left, real = Event(), repeat(4, 50_000), Watched.open_read

    @contextmanager
    def open_read(self: Watched, path: str, offset: int = 0) -> Iterator[Any]:
        def lose(_size: int) -> bytes:
            assert begun.wait(60)
            raise EndpointLostError("the source is gone")

        def long(size: int) -> bytes:
            begun.set()
            return stream.read(size) or b"more"[: next(left, 0)]

        with real(self, path, offset) as stream:
            yield SimpleNamespace(read=lose if path.endswith("b") else long)

    monkeypatch.setattr(Watched, "open_read", open_read)
    memory = there.memory()
    outcome = run_once(there.transfer, replace(there.context(1, memory), open_more=there.open))
    assert "the source is gone" in outcome.errors[0]
    assert (memory.count(AWAY), at(there, "other")) == (0, [])


def test_a_batch_does_not_wait_for_an_earlier_one_at_a_destination_that_is_away(
    tmp_path: Path,
) -> None:
    there = with_fallback(tmp_path / "site", after_failures=1)
    there.transfer = replace(there.transfer, batch=Batch())
    for name in ("a", "b"):
        there.put(name, b"1")
    memory = there.memory()

    def lose(call: str) -> None:
        if call == "rename" and there.left_at_target() and "a" in there.left_at_target():
            raise EndpointLostError("away")

    there.after = lose
    there.run(1, memory)
    there.after = lambda _: None
    there.broken[TARGET] = EndpointLostError("away")
    for name in ("c", "d"):
        there.put(name, b"1")
    for _ in range(2):
        due(memory)
        there.run(1, memory)
    assert at(there, "other") == ["c", "d"]
    del there.broken[TARGET]
    due(memory)
    there.run(1, memory)
    assert (at(there, "target"), there.records()) == (["a", "b"], [])


def test_what_is_whole_at_the_destination_waits_for_it(there: Site) -> None:
    """The partner goes away while a file is renamed, so that nobody can tell whether it got its name."""
    there.put("whole", LARGE)
    memory = there.memory()

    def lose(call: str) -> None:
        if call == "rename" and there.left_at_target() == ["whole"]:
            raise EndpointLostError("away")

    there.after = lose
    there.run(1, memory)
    there.after = lambda _: None
    there.broken[TARGET] = EndpointLostError("away")
    there.put("fresh", b"1")
    for epoch in (2, 3, 3):
        due(memory)
        there.run(epoch, memory)
    assert at(there, "other") == ["fresh"]
    waits = there.happened(EventName.DELIVERY_FAILED)[-1]
    assert (waits["path"], waits["location"], waits["tries"]) == ("whole", TARGET, None)
    assert not has_work(
        there.transfer, there.context(3, memory)
    )  # it is not asked for at each look
    del there.broken[TARGET]
    due(memory)
    there.run(3, memory)
    assert (at(there, "target"), at(there, "other")) == (["whole"], ["fresh"])
    assert (there.delivered(), there.records(), there.left_at_source()) == (2, [], [])


def test_how_often_it_was_away_counts_on_after_a_takeover(there: Site) -> None:
    there.put("a", b"1")
    there.broken[TARGET] = EndpointLostError("away")
    there.run(1)
    there.run(2)
    assert at(there, "other") == ["a"]


def test_a_fallback_that_is_away_too_fails_the_run_and_says_so(there: Site) -> None:
    memory = there.memory()
    there.put("a", b"1")
    there.broken |= {TARGET: EndpointLostError("away"), OTHER: EndpointLostError("away as well")}
    there.run(1, memory)
    due(memory)
    outcome = there.run(1, memory)
    assert outcome.outcome is RunState.FAILED
    (error,) = outcome.errors
    assert error.startswith("away as well (destination other; ")
    assert there.happened(EventName.RUN_FAILED)[-1]["location"] == OTHER
    del there.broken[OTHER]
    due(memory)
    there.run(1, memory)
    assert at(there, "other") == ["a"]


def test_a_kept_source_is_sent_to_one_of_the_two(tmp_path: Path) -> None:
    there = with_fallback(tmp_path / "site", after_failures=1)
    there.transfer = replace(there.transfer, after_success=AfterSuccess.KEEP)
    memory = there.memory()
    there.put("a", b"1")
    there.broken[TARGET] = EndpointLostError("away")
    there.run(1, memory)
    del there.broken[TARGET]
    due(memory)
    assert there.run(1, memory).outcome is RunState.IDLE
    assert (at(there, "target"), at(there, "other")) == ([], ["a"])


def test_wherever_the_owner_dies_each_file_arrives_once_at_one_of_the_two(tmp_path: Path) -> None:
    step, ended = 0, False
    while not ended:
        step += 1
        there = with_fallback(tmp_path / str(step), after_failures=1)
        there.put("small", b"1")
        there.put("large", LARGE)
        got = Counter[str]()

        def crash(there: Site = there) -> None:
            there.broken[TARGET] = EndpointLostError("away")
            raise Crash

        try:
            run_once(there.transfer, there.context(Owner(1, at=step, then=crash)))
            ended = True
        except Crash:
            pass
        got.update(taken(there))
        there.run(2)
        got.update(taken(there))
        there.broken.clear()
        there.run(3)
        got.update(taken(there))
        assert got == {"small": 1, "large": 1}, step
        assert (there.left_at_source(), there.records(), there.delivered()) == ([], [], 2), step
    assert step > 20


def taken(there: Site) -> list[str]:
    """Take away what is visible at either place."""
    found = [path for name in ("target", "other") for path in (there.root / name).rglob("[!.]*")]
    files = [path for path in found if path.is_file()]
    for path in files:
        path.unlink()
    return [path.name for path in files]


Open = Callable[[Location], Endpoint]


@contextmanager
def partner_that_comes_and_goes(root: Path) -> Iterator[Open]:
    """Give what opens the destination at a real server, or at a port that refuses, while ``away`` is there."""
    with running_sshd(root / "sshd") as server, own_port() as refusing:
        there = server.location(path=str(root / "target"))

        def opening(location: Location) -> Endpoint:
            if location.name != TARGET:
                return LocalEndpoint(root / location.path)
            away = (root / "away").exists()
            partner: SftpLocation = replace(there, port=refusing) if away else there
            return connect(partner, secrets_dir=server.secrets_dir)

        yield opening


def own(there: Site, epoch: int) -> None:
    """Own the transfer and run it until killed."""
    memory = there.memory()
    while True:
        due(memory)
        run_once(there.transfer, there.context(Owner(epoch), memory))


@pytest.mark.needs("sshd")
def test_owners_are_killed_while_a_real_partner_comes_and_goes_and_no_file_is_lost_or_doubled(
    tmp_path: Path,
) -> None:
    root = tmp_path / "site"
    there = with_fallback(root, after_failures=1)
    chance, got, sent = random.Random(29), Counter[str](), Counter[str]()
    with partner_that_comes_and_goes(root) as opening:
        there.open = lambda location, make=False: opening(location)  # type: ignore[method-assign] # noqa: ARG005
        for epoch in range(1, 9):
            for name in (f"{epoch}-small", f"{epoch}-large"):
                there.put(name, LARGE if name.endswith("large") else b"1")
                sent[name] += 1
            member = get_context("fork").Process(target=own, args=(there, epoch))
            member.start()
            Event().wait(chance.uniform(0.05, 0.4))
            (root / "away").touch() if epoch % 2 else (root / "away").unlink()
            Event().wait(chance.uniform(0, 0.2))
            member.kill()
            member.join()
            got.update(taken(there))
        memory = there.memory()
        until = CLOCK.boottime() + 60
        while (there.left_at_source() or there.records()) and CLOCK.boottime() < until:
            due(memory)
            there.run(9, memory)
        got.update(taken(there))
    assert got == sent
    assert (there.left_at_source(), there.records()) == ([], [])
    assert there.delivered() == sent.total()
    assert (at(there, "target"), at(there, "other")) == ([], [])  # no hidden ones


def test_a_port_that_refuses_is_away(there: Site) -> None:
    there.transfer = with_fallback(there.root / "again", after_failures=1).transfer
    with own_port() as port:
        refusing = SftpLocation(
            name=TARGET,
            host="127.0.0.1",
            port=port,
            username="u",
            host_keys=("SHA256:" + "a" * 43,),
            auth=(KeyAuth(file="key"),),
        )
        real = there.open

        def opening(location: Location, make: bool = False) -> Endpoint:  # noqa: FBT001, FBT002
            if location.name == TARGET:
                return connect(refusing, secrets_dir=there.root)
            return real(location, make)

        there.open = opening  # type: ignore[method-assign]
        make_key(there.root / "key", "ed25519")
        there.put("a", b"1")
        outcome = there.run(1)
    assert outcome.outcome is RunState.SUCCEEDED
    assert at(there, "other") == ["a"]
