"""Files of one run side by side: each over a connection of its own, as far as there are any."""

import gzip
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Barrier, BrokenBarrierError, get_ident
from types import SimpleNamespace
from typing import Any

import pytest
from outbound_site import CLOCK, LARGE, SOURCE, Site, Watched, site
from sshd import Sshd
from waiting import WAIT_S

from mftgit.adapters.endpoint.contract import Endpoint, EndpointLostError, EndpointRefusedError
from mftgit.adapters.local.endpoint import LocalEndpoint
from mftgit.adapters.sftp.endpoint import connect
from mftgit.member.outbound.places.connections import Connections
from mftgit.member.outbound.runs.run import run_once
from mftgit.member.outbound.runs.tally import RunOutcome
from mftgit.model.configuration.config import Verify
from mftgit.model.locations.location import Location
from mftgit.model.transfers.content import Gzip
from mftgit.model.transfers.run import RunState

NAMES = [f"{number}.bin" for number in range(4)]


@pytest.fixture
def there(tmp_path: Path) -> Site:
    for name in ("source", "target"):
        (tmp_path / name).mkdir()
    made = site(tmp_path)
    made.transfer = replace(made.transfer, parallel=4)
    for name in NAMES:
        made.put(name, LARGE + name.encode())
    return made


def run(there: Site, more: Callable[[Location], Endpoint | None] | None = None) -> RunOutcome:
    context = replace(there.context(1), open_more=more or there.open)
    return run_once(there.transfer, context)


def arrived(there: Site) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in there.target.iterdir()}


def patch_write(monkeypatch: pytest.MonkeyPatch, before: Callable[[Watched, str], None]) -> None:
    real = Watched.write

    def write(self: Watched, path: str, *args: Any, **more: Any) -> int:
        before(self, path)
        return real(self, path, *args, **more)

    monkeypatch.setattr(Watched, "write", write)


def test_large_files_are_on_their_way_at_the_same_time(
    there: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    meet, endpoints = Barrier(4), set()

    def together(endpoint: Watched, _path: str) -> None:
        endpoints.add(endpoint)
        meet.wait(WAIT_S)

    patch_write(monkeypatch, together)
    assert run(there).files == 4
    assert arrived(there) == {name: LARGE + name.encode() for name in NAMES}
    assert len(endpoints) == 4
    assert all(endpoint.closed for endpoint in there.opened)
    assert (there.left_at_source(), there.records()) == ([], [])


def test_an_endpoint_that_is_source_and_destination_is_used_by_one_thread(
    there: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From one folder of a location to another; a connection to a partner is not for two threads at a time."""
    rules = there.transfer.destination
    there.transfer = replace(
        there.transfer, destination=replace(rules, location=SOURCE, path="below")
    )
    threads: defaultdict[Watched, set[int]] = defaultdict(set)
    real = Watched.open_read

    @contextmanager
    def open_read(self: Watched, path: str, offset: int = 0) -> Iterator[Any]:
        def read(size: int) -> bytes:
            threads[self].add(get_ident())
            return stream.read(size)

        with real(self, path, offset) as stream:
            yield SimpleNamespace(read=read)

    monkeypatch.setattr(Watched, "open_read", open_read)
    patch_write(monkeypatch, lambda endpoint, _path: threads[endpoint].add(get_ident()))
    assert run(there).files == 4
    assert sorted(path.name for path in (there.source / "below").iterdir()) == NAMES
    assert [len(each) for each in threads.values()] == [1] * len(threads)


def test_where_no_further_connection_can_be_had_they_go_one_after_the_other(
    there: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = Barrier(2)

    def at_a_time(_endpoint: Watched, _path: str) -> None:
        with pytest.raises(BrokenBarrierError):
            alone.wait(0)
        alone.reset()

    patch_write(monkeypatch, at_a_time)
    assert run(there, lambda _location: None).files == 4
    assert len(arrived(there)) == 4


def test_one_that_is_refused_keeps_no_other_back(
    there: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_endpoint: Watched, path: str) -> None:
        if "2.bin" in path:
            raise EndpointRefusedError("not this one")

    patch_write(monkeypatch, refuse)
    outcome = run(there)
    assert (outcome.outcome, outcome.files) == (RunState.PARTLY, 3)
    assert sorted(arrived(there)) == ["0.bin", "1.bin", "3.bin"]
    assert len(there.records()) == 1


def test_a_lost_connection_ends_the_run_and_the_next_one_goes_on(
    there: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:

        def lose(endpoint: Watched, path: str) -> None:
            if "1.bin" in path and endpoint.root == there.target:
                raise EndpointLostError("gone")

        patch_write(patched, lose)
        assert run(there).outcome is RunState.FAILED
    for _ in range(2):
        run(there)
    assert arrived(there) == {name: LARGE + name.encode() for name in NAMES}
    assert there.records() == []


@contextmanager
def to_sftp(there: Site, sshd: Sshd, most: int) -> Iterator[Callable[[Location], Endpoint | None]]:
    """Let the destination be on a real server, with so many connections; give what opens further ones."""
    location = replace(sshd.location(path=str(there.target)), max_connections=most)
    with closing(Connections(clock=CLOCK)) as kept:

        def lend(*, wait: bool) -> Endpoint:
            return kept.lend(
                location, {}, lambda: connect(location, secrets_dir=sshd.secrets_dir), wait=wait
            )

        def open_more(at: Location) -> Endpoint | None:
            if at.name == SOURCE:
                return LocalEndpoint(there.source)
            try:
                return lend(wait=False)
            except EndpointLostError:
                return None

        def opened(location: Location, make: bool = False) -> Endpoint:  # noqa: ARG001, FBT001, FBT002
            return LocalEndpoint(there.source) if location.name == SOURCE else lend(wait=True)

        there.open = opened  # type: ignore[method-assign]
        yield open_more


@pytest.mark.needs("sshd")
def test_what_is_packed_on_its_way_is_read_back_from_a_partner(there: Site, sshd: Sshd) -> None:
    rules = replace(there.transfer.destination, verify=Verify.READ_BACK)
    there.transfer = replace(there.transfer, content=(Gzip(level=1),), destination=rules)
    random = os.urandom(3 * len(LARGE))
    there.put("random.bin", random)
    there.put("small.bin", b"small")
    with to_sftp(there, sshd, 3) as more:
        assert run(there, more).files == 6
    found = {name: gzip.decompress(content) for name, content in arrived(there).items()}
    wanted = {f"{name}.gz": LARGE + name.encode() for name in NAMES}
    assert found == {**wanted, "random.bin.gz": random, "small.bin.gz": b"small"}


@pytest.mark.needs("sshd")
@pytest.mark.parametrize("most", [1, 2, 8])
def test_a_partner_sees_no_more_connections_than_the_location_allows(
    there: Site, sshd: Sshd, most: int
) -> None:
    for number in range(60):
        there.put(f"small-{number}", f"{number}".encode())
    before = sshd.connections()
    with to_sftp(there, sshd, most) as more:
        assert run(there, more).files == 64
    assert sshd.connections() - before == min(most, 4)
    assert len(arrived(there)) == 64
    assert arrived(there)["small-59"] == b"59"
