"""Under which name a file arrives."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.configuration.config import Destination
from mftgit.model.names import LocationName
from mftgit.model.transfers.naming import (
    ARCHIVE_FIELDS,
    NAME_FIELDS,
    PATH_FIELDS,
    dated,
    final_path,
    fixed_folder,
    wrong_pattern,
)

NIGHT = datetime(2026, 12, 31, 23, 30, 5, tzinfo=UTC)


def final(path: str, *, folder: str = ".", name: str = "{name}", moment: datetime = NIGHT) -> str:
    rules = Destination(location=LocationName("a"), path=folder, name=name)
    return final_path(rules, path, moment)


@pytest.mark.parametrize(
    ("folder", "name", "expected"),
    [
        (".", "{name}", "2026/bank/report.final.csv"),
        ("in", "{name}", "in/2026/bank/report.final.csv"),
        ("in/{folder}/new", "{name}", "in/2026/bank/new/report.final.csv"),
        (
            "in",
            "{stem}-{date:%Y%m%dT%H%M%S}{ending}",
            "in/2026/bank/report.final-20261231T233005.csv",
        ),
        ("{date:%Y/%m}/{stem}", "x{ending}", "2026/12/report.final/2026/bank/x.csv"),
        ("w{date:%G-%V}", "{name}.{ending}", "w2026-53/2026/bank/report.final.csv..csv"),
    ],
)
def test_a_name_is_filled_in(folder: str, name: str, expected: str) -> None:
    assert final("2026/bank/report.final.csv", folder=folder, name=name) == expected


def test_a_date_is_that_of_the_zone_that_the_moment_is_in() -> None:
    berlin = NIGHT.astimezone(ZoneInfo("Europe/Berlin"))
    assert final("a", folder="{date:%Y}", moment=berlin) == "2027/a"
    assert dated("sent/{date:%y-%j}", berlin) == "sent/27-001"


def test_what_a_file_is_called_is_never_taken_for_a_pattern() -> None:
    assert final("{date:%Y}{x}", name="{stem}{ending}") == "{date:%Y}{x}"


@given(st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=20))
def test_without_a_pattern_a_file_keeps_its_name(name: str) -> None:
    if name not in {".", ".."}:
        assert final(f"sub/{name}", folder="in") == f"in/sub/{name}"


@pytest.mark.parametrize(
    ("pattern", "fixed"),
    [
        ("in", "in"),
        ("in/{date:%Y}", "in"),
        ("in/a{date:%Y}/b", "in"),
        ("{folder}", "."),
        (".", "."),
    ],
)
def test_the_folder_above_all_that_a_pattern_gives_is_told(pattern: str, fixed: str) -> None:
    assert fixed_folder(pattern) == fixed


@pytest.mark.parametrize(
    ("pattern", "fields", "expected"),
    [
        ("{nam}", NAME_FIELDS, "has the field {nam}, which there is not here: use {name}, {stem}, {ending}, {date}"),
        ("{folder}", NAME_FIELDS, "has the field {folder}, which there is not here"),
        ("{stem}", ARCHIVE_FIELDS, "has the field {stem}, which there is not here: use {date}"),
        ("{date}", PATH_FIELDS, "has a date without a form"),
        ("{stem:%Y}", PATH_FIELDS, "has a date without a form, or a form without a date"),
        ("{date:%Q}", PATH_FIELDS, "has %Q in its date: use %Y %m"),
        ("{date:50%}", PATH_FIELDS, "has % in its date"),
        ("a{b", PATH_FIELDS, "has a brace that belongs to no field"),
        ("a}", PATH_FIELDS, "has a brace that belongs to no field"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_pattern_is_told(
    pattern: str, fields: tuple[str, ...], expected: str
) -> None:
    assert (wrong_pattern(pattern, fields) or "").startswith(expected)


def test_a_right_pattern_has_nothing_wrong() -> None:
    assert wrong_pattern("in/{folder}/{date:%Y-%m-%d}/{stem}", PATH_FIELDS) is None
