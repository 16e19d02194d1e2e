"""Another value is written into a document, and what a person wrote around it stays."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.documents.document import read_document
from mftgit.model.documents.sample_text import sample_text, write_inline, write_yaml
from mftgit.model.documents.yaml_edit import edit_document

TEXT = """\
# What it is for
source:  # from here
  location: inbox
  include: ['*.csv', "*.txt"]   # both
destination: {location: outbox, path: a}
trigger:
  watch:
    every_s: 1
# the end
"""
VALUE: dict[str, Any] = {
    "source": {"location": "inbox", "include": ["*.csv", "*.txt"]},
    "destination": {"location": "outbox", "path": "a"},
    "trigger": {"watch": {"every_s": 1}},
}
KEYS = st.sampled_from(["a", "b", "c", "on", "x y"])
SCALARS = (
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-2, 2).map(lambda n: round(n, 2))
    | st.sampled_from(["", "a", "yes", "1", "# x", "a: b", "é", "- x", "{{ a }}", "x\ny", "'\""])
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=4)


def edited(change: Any) -> str:
    value = json.loads(json.dumps(VALUE))
    change(value)
    found = edit_document(TEXT, value)
    assert says(found.text) == value
    assert not found.lost
    return found.text


def says(text: str) -> Any:
    document = read_document(text.encode(), json=False).document
    return None if document is None else document.value


def test_a_scalar_changes_and_nothing_else() -> None:
    assert edited(lambda v: v["source"].update(location="in")) == TEXT.replace("inbox", "in")
    assert edited(lambda v: v["trigger"]["watch"].update(every_s=2.5)) == TEXT.replace(
        "every_s: 1", "every_s: 2.5"
    )


def test_what_stands_in_brackets_changes_on_its_line() -> None:
    assert edited(lambda v: v["destination"].update(path="b c")) == TEXT.replace(
        "path: a}", "path: b c}"
    )
    assert edited(lambda v: v["source"].update(include=["*"])) == TEXT.replace(
        "['*.csv', \"*.txt\"]", "['*']"
    )
    assert edited(lambda v: v["destination"].pop("path")) == TEXT.replace(", path: a}", "}")


def test_a_key_comes_at_the_end_of_its_mapping() -> None:
    assert edited(lambda v: v["source"].update(recursive=True)) == TEXT.replace(
        "# both\n", "# both\n  recursive: true\n"
    )
    text = edited(lambda v: v.update(active_on=["node-1"]))
    assert text == TEXT.replace("every_s: 1\n", "every_s: 1\nactive_on:\n- node-1\n")


def test_a_key_comes_before_the_one_that_follows() -> None:
    value = {"description": "x", **VALUE}
    assert edit_document(TEXT, value).text == TEXT.replace("source: ", "description: x\nsource: ")


def test_a_key_goes_with_its_lines() -> None:
    assert edited(lambda v: v.pop("destination")) == TEXT.replace(
        "destination: {location: outbox, path: a}\n", ""
    )
    text = edited(lambda v: v.update(trigger={"manual": {}}))
    assert text == TEXT.replace("  watch:\n    every_s: 1", "  manual: {}")


def test_a_comment_that_goes_is_told() -> None:
    found = edit_document(TEXT, {key: VALUE[key] for key in ("destination", "trigger")})
    assert found.lost
    assert says(found.text) == {key: VALUE[key] for key in ("destination", "trigger")}


@pytest.mark.parametrize(
    "text",
    ["a: |\n  x\n  y\nb: 1 # why\n", "a: x\n  y\nb: 1 # why\n", "a: [1, # one\n 2]\nb: 1 # why\n"],
)
def test_what_cannot_be_written_into_is_written_anew_and_that_is_told(text: str) -> None:
    found = edit_document(text, {"a": "z", "b": 1})
    assert says(found.text) == {"a": "z", "b": 1}
    assert found.lost


def test_an_end_without_a_newline_is_no_hindrance() -> None:
    assert edit_document("a: {b: c} # why", {"a": {"b": "d"}}).text == "a: {b: d} # why"
    assert edit_document("a: [b #x\n]", {"a": ["c"]}).lost
    assert edit_document("a: b # why", {"a": "c"}).text == "a: c # why"
    assert edit_document("a: 1", {"a": 1, "b": 2}).text == "a: 1\nb: 2\n"
    assert edit_document("a: 'it''s'\nb: \"\\\"\"\n", {"a": "x", "b": "y"}).text == "a: x\nb: y\n"
    assert edit_document("a: 1\nb: 2", {"a": 1}).text == "a: 1\n"


def test_a_key_beside_the_dash_of_a_list_is_written_anew() -> None:
    found = edit_document("a:\n- b: 1\n  c: 2\n", {"a": [{"c": 2}]})
    assert says(found.text) == {"a": [{"c": 2}]}
    found = edit_document("? a\n: b: 1\n  c: 2\n", {"a": {"c": 2}})
    assert says(found.text) == {"a": {"c": 2}}


def test_json_stays_json() -> None:
    assert edit_document('{"a": 1}', {"a": 2}, json_syntax=True).text == '{\n  "a": 2\n}\n'


def test_what_is_no_document_is_written_anew() -> None:
    assert edit_document("a: [", {"a": 1}).text == "a: 1\n"


def test_a_sample_is_the_first_example() -> None:
    assert sample_text({"examples": [{"b": 1, "a": ["x"]}]}) == "b: 1\na:\n- x\n"
    assert sample_text({}) == ""
    assert write_inline("a") == "a"


@given(
    DOCUMENTS, DOCUMENTS, st.sampled_from([write_yaml, lambda value: f"{write_inline(value)}\n"])
)
def test_whatever_changes_is_said_afterwards(old: Any, new: Any, written: Any) -> None:
    text = written(old)
    if says(text) is None or says(write_yaml(new)) is None:
        return
    found = edit_document(text, new)
    assert json.dumps(says(found.text), sort_keys=True) == json.dumps(
        says(write_yaml(new)), sort_keys=True
    )
