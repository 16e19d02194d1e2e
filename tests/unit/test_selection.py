"""Which files are taken, and when they are at rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.config import Destination, IntervalTrigger, Source, Transfer
from mftgit.model.names import LocationName, TransferName
from mftgit.model.selection import Sighting, is_selected, look, matches


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
