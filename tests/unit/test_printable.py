"""What others chose is written so that it begins no line, does nothing to a terminal, and can be encoded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.printable import printable

TEXTS = st.text(st.characters(exclude_categories=())) | st.text("a\x1b\n\r\x85\u2028\udcff\ud800\\")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("caf\u00e9 a\\b", "caf\u00e9 a\\b"),
        ("a\x1b[2J\n\r\t", r"a\x1b[2J\n\r\t"),
        ("\udcff", r"\xff"),
        ("\udc80", r"\x80"),
        ("\ud800\u202e\u2028", r"\ud800\u202e\u2028"),
        ("caf\u00e9\udce9", "caf\u00e9\\xe9"),
    ],
)
def test_each_character_that_cannot_be_printed_is_told_by_its_number(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_line_ends_stay_where_they_are_wanted() -> None:
    assert printable("a\n\x1b", keep="\n") == "a\n\\x1b"


@given(TEXTS)
def test_what_comes_out_is_one_line_that_can_be_encoded_and_stays_as_it_is(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert shown.encode().decode() == shown
    assert printable(shown) == shown
    assert len(shown.splitlines()) <= 1
