"""A template is replaced by the member's value, with its type where it stands alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.documents.json_value import Json
from mftgit.model.documents.templates import (
    Variable,
    fill_in,
    find_templates,
    first_use,
    is_well_formed,
    names_in,
)

VARIABLES: dict[str, Variable] = {"port": 2222, "region": "emea", "on": True, "half": 0.5}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ port }}", 2222),
        ("{{port}}", 2222),
        ("{{\tport }}", 2222),
        ("{{ on }}", True),
        ("{{ half }}", 0.5),
        ("{{ region }}", "emea"),
        ("a-{{ region }}-{{ port }}", "a-emea-2222"),
        ("{{ on }}{{ half }}", "true0.5"),
        (" {{ port }}", " 2222"),
        ("no template }}", "no template }}"),
        ("${region}", "${region}"),
    ],
)
def test_a_text_takes_the_values(text: str, value: Json) -> None:
    got = fill_in({"a": [{"b": text}], "c": 1}, VARIABLES)
    assert got == {"a": [{"b": value}], "c": 1}
    assert type(got["a"]) is list


def test_a_description_is_left_as_it_is() -> None:
    value: dict[str, Json] = {"description": "{{ anything }", "a": {"description": "{{ region }}"}}
    assert fill_in(value, VARIABLES) == {
        "description": "{{ anything }",
        "a": {"description": "emea"},
    }
    assert list(find_templates(value)) == [(("a", "description"), "{{ region }}")]


def test_a_variable_that_is_not_defined_is_an_error() -> None:
    with pytest.raises(KeyError):
        fill_in({"a": "{{ other }}"}, VARIABLES)


@pytest.mark.parametrize(
    "text", ["{{", "{{ a", "{{ a b }}", "{{ A }}", "{{ 1a }}", "{{ a }", "{{ a }} {{", "{{}}"]
)
def test_the_beginning_of_a_template_alone_is_malformed(text: str) -> None:
    assert not is_well_formed(text)
    assert [found for _, found in find_templates({"x": text})] == [text]


@pytest.mark.parametrize("text", ["", "}}", "{a}", "{{ a }}", "{{a}}{{b}}", "{ {a} }"])
def test_other_texts_are_well_formed(text: str) -> None:
    assert is_well_formed(text)


def test_the_first_use_of_a_variable_is_found_in_the_order_of_the_text() -> None:
    value: dict[str, Json] = {"a": "{{ x }}", "b": ["{{ y }} {{ x }}", "{{ y }}"]}
    assert first_use(value, "x") == ("a",)
    assert first_use(value, "y") == ("b", "0")
    assert names_in("{{ y }} {{ x }}{{y}}") == ["y", "x", "y"]


@given(st.text(st.sampled_from("{} ax\t"), max_size=400))
def test_a_text_without_malformed_templates_is_left_without_any(text: str) -> None:
    if is_well_formed(text):
        assert "{{" not in str(
            fill_in({"t": text}, {"a": "1", "x": "2", "ax": "3", "xa": "4"} | _all(text))["t"]
        )


def _all(text: str) -> dict[str, str]:
    return dict.fromkeys(names_in(text), "v")
