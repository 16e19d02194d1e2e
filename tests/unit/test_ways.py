"""What may go round for ever is the same, whether the ways of all transfers are looked at or those that changed."""

from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.configuration.config import (
    AfterSuccess,
    Destination,
    Overwrite,
    Source,
    Transfer,
)
from mftgit.model.locations.location import LocalLocation
from mftgit.model.names import LocationName, TransferName
from mftgit.model.rules.rings import Leg, find_rings, going_round
from mftgit.model.rules.transfer import legs_of
from mftgit.model.rules.ways import Ways
from mftgit.model.transfers.triggers import WatchTrigger

ROOT = LocalLocation(name=LocationName("root"), path=".")


def way(
    name: str,
    taken: str,
    given: str,
    *,
    recursive: bool = False,
    overwrite: Overwrite = Overwrite.FAIL,
    archive: str | None = None,
) -> tuple[Leg, ...]:
    transfer = Transfer(
        name=TransferName(name),
        source=Source(location=ROOT.name, path=taken, recursive=recursive),
        destination=Destination(location=ROOT.name, path=given, overwrite=overwrite),
        trigger=WatchTrigger(),
        after_success=AfterSuccess.ARCHIVE if archive else AfterSuccess.KEEP,
        archive_path=archive,
    )
    return tuple(legs_of(name, transfer, ROOT, ROOT))


folders = st.sampled_from(["a", "b", "c", "d", "e", "a/x", "b/x", "a/x/y"])
ways = st.builds(
    way,
    st.sampled_from("klmnop"),
    folders,
    folders,
    recursive=st.booleans(),
    overwrite=st.sampled_from([Overwrite.FAIL, Overwrite.OVERWRITE]),
    archive=st.none() | folders,
)


@given(st.lists(ways, max_size=8), st.lists(ways, max_size=6))
def test_ways_that_change_leave_what_goes_round_or_are_looked_at_with_all_others(
    begin: list[tuple[Leg, ...]], changes: list[tuple[Leg, ...]]
) -> None:
    legs = {each[0].name: each for each in begin}
    known = Ways.of([leg for each in legs.values() for leg in each])
    for change in changes:
        name = change[0].name
        fresh = () if change == legs.get(name) else change
        after = {**legs, name: fresh}
        every = [leg for each in after.values() for leg in each]
        found = known.but_for([name], fresh)
        if found is not None:
            assert found.around == going_round(every)
            assert {leg for each in found.legs.values() for leg in each} == set(every)
            assert {leg for each in found.starts.values() for leg in each} == set(every)
            assert all(found.legs.values())
            assert all(found.starts.values())
        legs, known = after, found or Ways.of(every)


def test_a_way_that_leads_nowhere_needs_no_look_at_the_others() -> None:
    known = Ways.of([*way("k", "a", "b"), *way("l", "c", "d")])
    assert known.but_for(["k"], way("k", "a", "c")) is not None
    assert known.but_for(["m"], way("m", "d", "e", archive="kept")) is not None
    assert known.but_for(["k"], ()) is not None


def test_a_way_that_closes_a_ring_needs_one() -> None:
    known = Ways.of([*way("k", "a", "b"), *way("l", "b", "c")])
    assert known.but_for(["m"], way("m", "c", "a")) is None
    assert known.but_for(["m", "n"], [*way("m", "c", "d"), *way("n", "d", "a")]) is None


def test_a_way_to_where_it_goes_round_already_needs_one() -> None:
    any_name = Overwrite.OVERWRITE
    circle = [*way("k", "a", "b", overwrite=any_name), *way("l", "b", "a", overwrite=any_name)]
    assert list(find_rings(circle))
    known = Ways.of(circle)
    assert {leg.name for leg in known.around} == {"k", "l"}
    assert known.but_for(["m"], way("m", "c", "a")) is None
    assert known.but_for(["k"], ()) is None
    assert known.but_for(["m"], way("m", "c", "d")) is not None


def test_a_way_into_a_folder_below_a_source_that_is_taken_whole_may_close_a_ring() -> None:
    known = Ways.of(way("k", "a", "b", recursive=True))
    assert known.but_for(["l"], way("l", "b", "a/x", recursive=True)) is None
    assert Ways.of(way("k", "a", "b")).but_for(["l"], way("l", "b", "a/x")) is not None
    assert "a/x" in {leg.given[1] for leg in way("l", "b", "a/x")}
