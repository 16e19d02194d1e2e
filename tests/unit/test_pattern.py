"""Which names a regular expression takes; globs are in test_selection."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.transfers.pattern import ends_in, matches, why_no_regex
from mftgit.model.transfers.source import Regex


def takes(regex: str, path: str, *, hidden: bool = False) -> bool:
    return matches(path, Regex(regex=regex), hidden=hidden)


@pytest.mark.parametrize(
    ("regex", "path", "expected"),
    [
        (r"report-\d{8}\.csv", "report-20261128.csv", True),
        (r"report-\d{8}\.csv", "report-20261128.csv.gz", False),
        (r"report-\d{8}\.csv", "my-report-20261128.csv", False),
        (r"report-\d{8}\.csv", "deep/down/report-20261128.csv", True),
        (r"(?i)a\.csv", "A.CSV", True),
        (r"a\.csv", "A.CSV", False),
        (r"in/[^/]+\.csv", "in/a.csv", True),
        (r"in/[^/]+\.csv", "in/deep/a.csv", False),
        (r"in/.+\.csv", "in/deep/a.csv", True),
        (r".*", ".a", False),
        (r".*", ".x/a", False),
        (r".*/a", ".x/a", False),
        (r"\.a", ".a", True),
        (r"^[.]a", ".a", True),
        (r"\.a", ".x/.a", False),
        (r".*/\.a", "x/.a", True),
        (r"ü+", "üü", True),
        (r"a\?", "a\udc80", True),  # a name that is no UTF-8 raises nothing
    ],
)
def test_a_regular_expression_matches_as_documented(
    regex: str, path: str, *, expected: bool
) -> None:
    assert takes(regex, path) is expected


def test_an_exclusion_may_match_what_is_hidden() -> None:
    assert takes(".*", ".a", hidden=True)
    assert takes(".*/a", ".x/a", hidden=True)


@pytest.mark.parametrize(
    "regex", ["[", "(", r"(a)\1", "(?=a)b", "(?<!a)b", "a**", "(?:x{1000}){1000}", "(?P<n>a"]
)
def test_what_is_no_regular_expression_of_re2_is_told(regex: str) -> None:
    assert why_no_regex(regex)


@given(st.text(max_size=60))
def test_no_text_makes_the_rule_raise(regex: str) -> None:
    assert why_no_regex(regex) is None or why_no_regex(regex)


def test_no_expression_is_slow() -> None:
    for regex in ("(a+)+b", "(a|aa)*b", "(.*)*(.*)*(.*)*b", "(a?){60}a{60}b"):
        assert not takes(regex, "a" * 20_000)


def test_an_ending_is_named_by_its_pattern() -> None:
    assert ends_in("*.part", ".part")
    assert not ends_in("*", ".part")
    assert ends_in(Regex(regex=r".*\.part$"), ".part")
    assert not ends_in(Regex(regex=".*"), ".part")


def test_a_regular_expression_is_told_as_one() -> None:
    assert str(Regex(regex="a+")) == "regex a+"
