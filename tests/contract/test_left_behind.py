"""A hidden temporary at a partner that was away when it was to be removed is removed once the partner is back."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from outbound_site import SOURCE, TARGET, Owner, Site, site
from sshd import Sshd

from mftgit.adapters.endpoint.contract import Endpoint
from mftgit.adapters.local.endpoint import LocalEndpoint
from mftgit.adapters.sftp.endpoint import SftpEndpoint, connect
from mftgit.member.outbound.records.leftover import find_leftovers
from mftgit.member.outbound.runs.run import end_begun, has_work
from mftgit.model.configuration.config import Fallback, Generation
from mftgit.model.events.event import EventName
from mftgit.model.locations.location import Location, SftpLocation
from mftgit.model.names import LocationName, MemberName
from mftgit.model.transfers.failover import Sign
from mftgit.model.transfers.run import RunState

pytestmark = pytest.mark.needs("sshd")

MIB = 1 << 20
CONTENT = random.Random(20261129).randbytes(9 * MIB)
OTHER = LocationName("other")


class Far(Site):
    """A site whose destination is at a real sshd, which is stopped in the middle of the next file."""

    server: Sshd
    stops = True

    def at_partner(self) -> SftpLocation:
        return replace(self.server.location(path=str(self.target)), name=TARGET)

    def generation(self, member: MemberName) -> Generation:
        made = super().generation(member)
        return replace(made, locations={**made.locations, TARGET: self.at_partner()})

    def open(self, location: Location, make: bool = False) -> Endpoint:  # noqa: FBT001, FBT002
        if not isinstance(location, SftpLocation):
            (self.root / location.path).mkdir(exist_ok=make)
            return LocalEndpoint(self.root / location.path)
        made = connect(location, secrets_dir=self.server.secrets_dir)
        made.__class__ = _Stopping
        assert isinstance(made, _Stopping)
        made.there = self
        return made

    def at(self, name: str) -> list[str]:
        return sorted(path.name for path in (self.root / name).rglob("*") if path.is_file())


class _Stopping(SftpEndpoint):
    there: Far

    def write(self, path: str, chunks: Iterator[bytes], **options: object) -> int:
        return super().write(path, self._passed(chunks), **options)  # type: ignore[arg-type]

    def _passed(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for at, chunk in enumerate(chunks):
            if at == 5 and self.there.stops:
                self.there.stops = False
                self.there.server.stop()
            yield chunk


@pytest.fixture
def there(tmp_path: Path, sshd: Sshd) -> Iterator[Far]:
    for name in ("source", "target", "other"):
        (tmp_path / name).mkdir()
    made = Far(root=tmp_path, transfer=site(tmp_path).transfer)
    made.server = sshd
    made.paths[OTHER] = "other"
    made.put("a.bin", CONTENT)
    yield made
    if sshd.processes[-1].poll() is not None:
        sshd.start()


def with_fallback(there: Far) -> Far:
    fallback = Fallback(location=OTHER, path=".", after_failures=1)
    destination = replace(there.transfer.destination, fallback=fallback)
    there.transfer = replace(there.transfer, destination=destination)
    return there


def written_down(there: Far) -> list[Path]:
    return list(there.state.glob("intents/*/*.left"))


@pytest.mark.parametrize("resumes", [True, False])
def test_the_next_try_removes_it_or_goes_on_with_it(there: Far, *, resumes: bool) -> None:
    destination = replace(there.transfer.destination, resume=resumes)
    there.transfer = replace(there.transfer, destination=destination)
    there.run(1)
    assert len(there.at("target")) == 1
    assert there.run(1).outcome is RunState.FAILED  # it is away still
    there.server.start()
    there.run(1)
    assert there.at("target") == ["a.bin"]
    assert (there.target / "a.bin").read_bytes() == CONTENT
    assert (there.records(), there.left_at_source()) == ([], [])


Later = Callable[[Far], None]


def with_a_new_file(there: Far) -> None:
    memory = there.memory()
    there.put("b.bin", b"1")
    there.run(1, memory)
    assert (there.target / "b.bin").read_bytes() == b"1"
    (there.target / "b.bin").unlink()


def with_nothing_else_to_do(there: Far) -> None:
    memory = there.memory()
    assert has_work(there.transfer, there.context(1, memory))
    done = there.run(1, memory)
    # It says nothing of who may have the transfer: it was not what a run is for.
    assert (done.outcome, done.sign) == (RunState.IDLE, Sign.NEITHER)
    again = there.run(1, memory)
    assert (again.outcome, again.sign) == (RunState.IDLE, Sign.ABLE)
    assert not has_work(there.transfer, there.context(1, memory))


def by_the_next_owner(there: Far) -> None:
    assert there.run(Owner(2)).outcome is RunState.IDLE


def without_the_transfer(there: Far) -> None:
    wanted = replace(there.generation(MemberName("m1")), transfers={}, declared=frozenset())

    def left() -> list[tuple[str, str]]:
        return list(find_leftovers(there.state.parent, wanted, knows=lambda _: True))

    assert left() == [("t", "t")]
    end_begun(replace(there.context(1), generation=wanted))
    assert left() == []


@pytest.mark.parametrize(
    "later", [with_a_new_file, with_nothing_else_to_do, by_the_next_owner, without_the_transfer]
)
def test_what_went_to_the_fallback_leaves_nothing_at_a_partner_that_is_back(
    there: Far, later: Later
) -> None:
    with_fallback(there)
    memory = there.memory()
    there.run(1, memory)
    there.run(1, memory)
    assert (there.target.exists(), there.at("other")) == (True, ["a.bin"])
    assert (there.root / "other" / "a.bin").read_bytes() == CONTENT
    (hidden,) = there.at("target")
    assert hidden.startswith(".")
    assert len(written_down(there)) == 1
    there.server.start()
    later(there)
    assert (there.at("target"), written_down(there)) == ([], [])
    assert len(there.happened(EventName.DELIVERY_SUCCEEDED)) <= 2


def test_while_it_is_away_nobody_asks_for_it_without_end(there: Far) -> None:
    with_fallback(there)
    memory = there.memory()
    there.run(1, memory)
    there.run(1, memory)
    assert len(written_down(there)) == 1
    there.run(1, memory)
    assert not has_work(there.transfer, there.context(1, memory))
    assert memory.left_until > 0


def test_a_destination_that_is_another_one_since_is_cleared_too(there: Far) -> None:
    there.run(1)
    destination = replace(there.transfer.destination, location=OTHER)
    there.transfer = replace(there.transfer, destination=destination)
    there.run(2)
    assert (len(there.at("target")), there.at("other")) == (1, ["a.bin"])
    assert len(written_down(there)) == 1
    there.server.start()
    there.run(3)
    assert (there.at("target"), written_down(there)) == ([], [])


def test_what_is_no_record_of_it_is_removed(there: Far) -> None:
    with_fallback(there)
    memory = there.memory()
    there.run(1, memory)
    there.run(1, memory)
    (record,) = written_down(there)
    record.write_bytes(b"nothing")
    there.run(1)
    assert written_down(there) == []


def test_what_cannot_be_removed_for_a_month_is_left_there(there: Far) -> None:
    with_fallback(there)
    memory = there.memory()
    there.run(1, memory)
    there.run(1, memory)
    (record,) = written_down(there)
    told = record.read_bytes()
    start = told.index(b'"since": "') + len(b'"since": "')
    record.write_bytes(told[:start] + b"2020" + told[start + 4 :])
    there.run(1)
    assert (written_down(there), len(there.at("target"))) == ([], 1)
    assert SOURCE in there.paths
