"""What others chose is written so that it begins no line, does nothing to a terminal, and can be encoded."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.printable import json_line, printable

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


def test_json_tells_a_byte_that_is_not_utf_8_as_text_does() -> None:
    line = json_line({"path": "caf\udce9 \u00e9", "\ud800": ["\udcff\n"]})
    assert json.loads(line) == {"path": "caf\\xe9 \u00e9", "\\ud800": ["\\xff\n"]}


@given(
    st.recursive(
        TEXTS | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)
    )
)
def test_json_is_one_line_that_can_be_encoded_and_read_back(value: object) -> None:
    line = json_line(value)
    assert "\n" not in line
    json.loads(line.encode().decode())


@given(st.recursive(st.text() | st.none() | st.booleans(), st.lists))
def test_json_of_what_can_be_encoded_says_just_that(value: object) -> None:
    assert json.loads(json_line(value)) == value
