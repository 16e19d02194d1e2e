"""Two lots of small files are under way together: nothing overtakes, nothing is lost, nothing comes twice."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cut_line import CutLine
from outbound_far import Far
from outbound_site import SOURCE, TARGET, Crash, Owner, site
from sshd import Sshd

from mftgit.member.outbound.given.context import THE_RUN
from mftgit.model.configuration.config import Overwrite
from mftgit.model.events.event import EventName
from mftgit.model.names import LocationName
from mftgit.model.transfers.checksum import Sidecar
from mftgit.model.transfers.run import RunState
from mftgit.model.transfers.source import Order

pytestmark = pytest.mark.needs("sshd")
COUNT = 110
"""More than two lots."""

NAMES = [f"{number:03}.csv" for number in range(COUNT)]
WAYS = pytest.mark.parametrize("far", [TARGET, SOURCE])


Make = Callable[..., Far]


@pytest.fixture
def make(tmp_path: Path, sshd: Sshd, line: CutLine) -> Make:
    def made(far: LocationName, **rules: object) -> Far:
        for folder in ("source", "target"):
            (tmp_path / folder).mkdir()
        transfer = site(tmp_path).transfer
        there = Far(
            root=tmp_path,
            transfer=replace(
                transfer,
                source=replace(transfer.source, order=Order.NAME),
                destination=replace(transfer.destination, **rules),  # type: ignore[arg-type]
            ),
            far=(far,),
            there_at=replace(sshd.location(), port=line.port),
            secrets_dir=sshd.secrets_dir,
        )
        for name in NAMES:
            there.put(name, name.encode() * 300)
        return there

    return made


def require_whole(there: Far) -> None:
    assert there.left_at_target() == NAMES
    assert all((there.target / name).read_bytes() == name.encode() * 300 for name in NAMES)
    assert there.delivered() == COUNT
    assert there.left_at_source() == []
    assert there.records() == []


class Looking(Owner):
    """An owner that sees how many lots were under way at most."""

    most = 0

    def __init__(self, there: Far) -> None:
        super().__init__(1)
        self._there = there

    def check(self) -> None:
        super().check()
        records = [path for path in self._there.records() if path.suffix == ".json"]
        self.most = max(self.most, len(records))


@WAYS
def test_all_arrive_and_are_told_of_once(make: Make, far: LocationName) -> None:
    there = make(far)
    owner = Looking(there)
    assert there.run(owner).files == COUNT
    assert owner.most == 2
    require_whole(there)
    told = [facts["path"] for facts in there.happened(EventName.DELIVERY_SUCCEEDED)]
    assert sorted(map(str, told)) == NAMES


def test_where_files_come_with_others_one_lot_is_under_way(make: Make) -> None:
    there = make(TARGET, checksum=Sidecar())
    owner = Looking(there)
    assert there.run(owner).files == COUNT
    assert owner.most == 1


@WAYS
def test_of_many_files_for_one_name_the_last_one_stays(make: Make, far: LocationName) -> None:
    there = make(far, name="latest{ending}", overwrite=Overwrite.OVERWRITE)
    assert there.run(1).outcome is RunState.SUCCEEDED
    assert there.left_at_target() == ["latest.csv"]
    assert (there.target / "latest.csv").read_bytes() == NAMES[-1].encode() * 300


@WAYS
@pytest.mark.parametrize("after_bytes", [20_000, 90_000])
def test_a_line_that_breaks_is_told_once_and_the_next_run_ends_all(
    make: Make, line: CutLine, far: LocationName, after_bytes: int
) -> None:
    there = make(far)
    memory = there.memory()
    if far is TARGET:
        line.mend(cut_up=after_bytes)
    else:
        line.mend(cut_down=after_bytes)
    outcome = there.run(1, memory)
    assert outcome.outcome in {RunState.PARTLY, RunState.FAILED}
    assert len(there.happened(EventName.DELIVERY_FAILED)) == 1
    assert len(outcome.errors) == 1
    assert memory.count(THE_RUN) == 1
    line.mend()
    memory.failures.clear()
    assert there.run(1, memory).outcome is RunState.SUCCEEDED
    require_whole(there)


@WAYS
@pytest.mark.parametrize("at", [5, 75, 190, 333])
def test_a_successor_ends_what_two_lots_had_come_to(make: Make, far: LocationName, at: int) -> None:
    there = make(far)

    def crash() -> None:
        raise Crash

    with pytest.raises(Crash):
        there.run(Owner(1, at=at, then=crash))
    there.run(2)
    require_whole(there)
