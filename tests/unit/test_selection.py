"""Which files are taken, and when they are at rest."""

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.configuration.config import (
    Destination,
    Source,
    Transfer,
)
from mftgit.model.names import LocationName, TransferName
from mftgit.model.transfers.pattern import matches
from mftgit.model.transfers.selection import Sighting, in_order, is_selected, look
from mftgit.model.transfers.source import Checksum, Marker, Order, Regex
from mftgit.model.transfers.triggers import IntervalTrigger


def transfer(
    *, include: tuple[str, ...] = ("*",), exclude: tuple[str, ...] = (), suffix: str = ".part"
) -> Transfer:
    return Transfer(
        name=TransferName("t"),
        source=Source(location=LocationName("a"), include=include, exclude=exclude),
        destination=Destination(location=LocationName("b"), temporary_suffix=suffix),
        trigger=IntervalTrigger(every_s=1),
    )


@pytest.mark.parametrize(
    ("path", "glob", "expected"),
    [
        ("a.csv", "*.csv", True),
        ("A.CSV", "*.csv", False),
        ("a.csv.gz", "*.csv", False),
        ("deep/down/a.csv", "*.csv", True),
        ("deep/a.csv", "deep/*", True),
        ("deep/down/a.csv", "deep/*", False),
        ("deep/down/a.csv", "deep/**", True),
        ("deep", "deep/**", True),
        ("a.csv", "/a.csv", True),
        ("deep/a.csv", "/a.csv", False),
        ("deep/down/a.csv", "deep/**/a.csv", True),
        ("deep/a.csv", "deep/**/a.csv", True),
        ("x/deep/y/z/a.csv", "**/deep/**/*.csv", True),
        ("x/y/a.csv", "**/deep/**/*.csv", False),
        ("a1.csv", "a?.csv", True),
        ("a.csv", "a?.csv", False),
        ("b1", "[ab][0-9]", True),
        ("c1", "[!ab][0-9]", True),
        ("[", "[", True),
        (".a", "*", False),
        (".a", "?a", False),
        (".a", "[.]a", False),
        (".a", ".*", True),
        (".x/a", "**/a", False),
        (".x/a", "*/a", False),
        (".x/a", ".x/a", True),
        (".x/a", "a", False),
        ("x/.y/a", "x/**", False),
    ],
)
def test_globs_match_as_documented(path: str, glob: str, expected: bool) -> None:  # noqa: FBT001
    assert matches(path, glob, hidden=False) is expected


@pytest.mark.parametrize(("path", "glob"), [(".a", "*"), (".x/a", "**/a"), ("x/.y/z/a", "x/**")])
def test_an_exclusion_may_match_what_is_hidden(path: str, glob: str) -> None:
    assert matches(path, glob, hidden=True)


def test_no_pattern_is_slow() -> None:
    assert not matches("a" * 3000, "*a" * 30 + "b", hidden=False)
    assert not matches("/".join("a" * 300), "**/a/" * 40 + "b", hidden=False)


@given(path=st.lists(st.text("ab.", min_size=1, max_size=3), min_size=1, max_size=4).map("/".join))
def test_a_path_matches_itself_and_every_file(path: str) -> None:
    assert matches(path, "/" + path, hidden=False)
    assert matches(path, "**/*", hidden=True)


def test_one_inclusion_and_no_exclusion_selects() -> None:
    chosen = transfer(include=("*.csv", "*.txt"), exclude=("old*",))
    assert is_selected("a.csv", chosen)
    assert is_selected("a.txt", chosen)
    assert not is_selected("a.bin", chosen)
    assert not is_selected("old.csv", chosen)


def test_temporary_files_are_taken_only_by_a_pattern_that_names_them() -> None:
    assert not is_selected("a.csv.part", transfer())
    assert is_selected("a.csv.part", transfer(include=("*.part",)))
    assert is_selected("a.csv.part", transfer(suffix=".tmp"))


def test_a_file_is_stable_once_it_was_seen_unchanged_for_long_enough() -> None:
    seen = look({}, [("a", 1, 10**18)], 100.0)
    assert seen == {"a": Sighting(size_bytes=1, mtime_ns=10**18, since=100.0)}
    assert not seen["a"].is_stable(100.0, 5.0)
    assert seen["a"].is_stable(100.0, 0.0)
    assert look(seen, [("a", 1, 10**18)], 105.0)["a"].is_stable(105.0, 5.0)


@pytest.mark.parametrize("changed", [("a", 2, 7), ("a", 1, 8)])
def test_a_change_of_size_or_time_begins_the_wait_again(changed: tuple[str, int, int]) -> None:
    seen = look({}, [("a", 1, 7)], 100.0)
    assert look(seen, [changed], 104.0)["a"].since == 104.0


def test_a_file_that_went_away_is_forgotten() -> None:
    assert look(look({}, [("a", 1, 7)], 100.0), [], 101.0) == {}


def source(**rest: Any) -> Source:
    return Source(location=LocationName("a"), **rest)


def selects(path: str, **rest: Any) -> bool:
    return is_selected(path, replace(transfer(), source=source(**rest)))


def test_regular_expressions_and_globs_stand_side_by_side() -> None:
    both = ("*.txt", Regex(regex=r"report-\d+\.csv"))
    assert selects("a.txt", include=both)
    assert selects("report-1.csv", include=both)
    assert not selects("report-x.csv", include=both)
    assert not selects("report-1.csv", include=both, exclude=(Regex(regex=".*1.*"),))


def test_a_temporary_file_is_taken_by_a_regular_expression_that_names_it() -> None:
    assert not selects("a.part", include=(Regex(regex=".*"),))
    assert selects("a.part", include=(Regex(regex=r".*\.part"),))


@pytest.mark.parametrize(
    ("path", "recursive", "depth", "expected"),
    [
        ("a", False, None, True),
        ("x/a", False, None, False),
        ("x/y/z/a", True, None, True),
        ("a", True, 1, True),
        ("x/a", True, 1, True),
        ("x/y/a", True, 1, False),
    ],
)
def test_files_are_taken_so_many_folders_deep(
    path: str, depth: int | None, *, recursive: bool, expected: bool
) -> None:
    assert selects(path, recursive=recursive, depth=depth) is expected


def test_a_checksum_file_is_never_selected() -> None:
    assert not selects("a.csv.sha256", checksum=Checksum())
    assert selects("a.csv", checksum=Checksum())
    assert selects("a.csv.sha256")
    assert Checksum().of("in/a.csv") == "in/a.csv.sha256"


def test_a_marker_is_never_selected_and_stands_for_its_file() -> None:
    ready = Marker(suffix=".ready")
    assert not selects("a.csv.ready", marker=ready)
    assert selects("a.csv", marker=ready)
    assert ready.of("x/a.csv") == "x/a.csv.ready"
    instead = Marker(suffix=".ready", replaces=True)
    assert instead.of("x/a.csv") == "x/a.ready"
    assert instead.of("x/a") == "x/a.ready"
    assert instead.of("x/a.tar.gz") == "x/a.tar.ready"


SECOND_NS = 10**9
NOW_NS = 1_800_000_000 * SECOND_NS


def fits(*, size_bytes: int = 5, age_s: int = 0, **rest: Any) -> bool:
    seen = Sighting(size_bytes=size_bytes, mtime_ns=NOW_NS - age_s * SECOND_NS, since=0.0)
    return seen.fits(source(**rest), NOW_NS)


def test_both_bounds_of_size_and_age_are_taken() -> None:
    assert [fits(size_bytes=size, min_size_bytes=5, max_size_bytes=7) for size in range(4, 9)] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert [fits(age_s=age, min_age_s=60, max_age_s=62) for age in range(59, 64)] == [
        False,
        True,
        True,
        True,
        False,
    ]


def test_a_file_from_the_future_is_young() -> None:
    assert fits(age_s=-3600)
    assert fits(age_s=-3600, max_age_s=0)
    assert not fits(age_s=-3600, min_age_s=1)


SEEN = {
    "b": Sighting(size_bytes=1, mtime_ns=3, since=0.0),
    "a": Sighting(size_bytes=2, mtime_ns=3, since=0.0),
    "c": Sighting(size_bytes=1, mtime_ns=1, since=0.0),
}


@pytest.mark.parametrize(
    ("order", "expected"), [(Order.NAME, "abc"), (Order.TIME, "cab"), (Order.SIZE, "bca")]
)
def test_files_are_put_in_an_order_in_which_none_are_equal(order: Order, expected: str) -> None:
    for paths in permutations(SEEN):
        assert in_order(list(paths), SEEN, source(order=order)) == list(expected)
        last_first = source(order=order, descending=True)
        assert in_order(list(paths), SEEN, last_first) == list(reversed(expected))


@given(
    sizes=st.lists(st.integers(0, 3), max_size=8),
    at_most=st.integers(1, 9),
    order=st.sampled_from(Order),
    descending=st.booleans(),
)
def test_a_run_takes_the_first_ones_of_the_whole_order(
    sizes: list[int], at_most: int, order: Order, *, descending: bool
) -> None:
    seen = {
        f"f{at}": Sighting(size_bytes=size, mtime_ns=-size, since=0.0)
        for at, size in enumerate(sizes)
    }
    whole = in_order(list(seen), seen, source(order=order, descending=descending))
    some = source(order=order, descending=descending, at_most=at_most)
    assert in_order(list(seen), seen, some) == whole[:at_most]
