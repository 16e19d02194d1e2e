"""Of which transfers a member counts for its status what was delivered."""

from itertools import count as numbers
from pathlib import Path

from clocks import SetClock
from owned import owned

from mftgit.member.outbound.runs.line import OTHERS_AT_ONCE, Basis, Line, count, to_be_counted
from mftgit.model.configuration.config import Cluster, Generation, Member, Role
from mftgit.model.names import MemberName, Revision, TransferName

BASIS = Basis(
    revision=Revision("a" * 40),
    generation=Generation(
        cluster=Cluster(name="c"),
        member=Member(name=MemberName("m"), role=Role.NODE),
        locations={},
        transfers={},
        declared=frozenset(),
    ),
)


def lines(root: Path, many: int) -> list[Line]:
    names = [TransferName(f"t-{number}") for number in range(many)]
    return [Line(name, None, key=name, state=root / name, basis=BASIS) for name in names]


def test_ours_are_counted_after_each_of_their_runs_and_not_else(tmp_path: Path) -> None:
    (line,) = lines(tmp_path, 1)
    line.ownership = owned(1, SetClock())
    assert list(to_be_counted([line])) == [line]
    count(line, 0.0)
    assert list(to_be_counted([line])) == []
    line.runs += 1
    assert list(to_be_counted([line])) == [line]


def test_others_are_all_counted_at_first_and_then_some_after_the_other(tmp_path: Path) -> None:
    found, moments = lines(tmp_path, 3 * OTHERS_AT_ONCE), numbers()

    def look() -> list[Line]:
        counted = list(to_be_counted(found))
        for line in counted:
            count(line, next(moments))
        return counted

    assert look() == found
    assert look() + look() + look() == found
    assert len(look()) == OTHERS_AT_ONCE


def test_one_that_we_had_for_long_is_counted_with_the_others_once_it_is_theirs(
    tmp_path: Path,
) -> None:
    found = lines(tmp_path, 2 * OTHERS_AT_ONCE)
    for number, line in enumerate(found):
        count(line, number)
    found[0].runs = 1000
    assert list(to_be_counted(found)) == found[:OTHERS_AT_ONCE]
