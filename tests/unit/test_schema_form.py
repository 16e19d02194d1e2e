"""A form says what a document says, whatever that is, and changes only what somebody filled in otherwise."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from config_tree import VALID

from mftgit.model.documents.document import Document, Kind, parse_document
from mftgit.model.documents.places import kind_of
from mftgit.model.documents.schema_form import FieldKind, FormError, FormField, SchemaForm
from mftgit.resources import load_schemas, read_sample

SCHEMAS = load_schemas()
SAMPLE = {path: content for path, content in read_sample().items() if kind_of(path)}
TRANSFER = SchemaForm(SCHEMAS["transfer"])
VALUE: dict[str, Any] = {
    "source": {"location": "a", "include": ["*.csv", "*.txt"]},
    "destination": {"location": "b"},
    "trigger": {"cron": {"expression": "0 * * * *"}},
    "active_on": "nodes",
}


def leaves(fields: Iterable[FormField]) -> dict[str, FormField]:
    found = {}
    for each in fields:
        found[each.pointer] = each
        found |= leaves(each.parts)
    return found


def sent(fields: Iterable[FormField]) -> dict[str, str]:
    """What a browser sends of a form in which nothing was changed."""
    return {
        pointer: (each.chosen if each.kind is FieldKind.ONE_OF else each.text).replace("\n", "\r\n")
        for pointer, each in leaves(fields).items()
        if each.kind is not FieldKind.GROUP
    }


def filled(**said: str) -> dict[str, Any]:
    fields = {name.replace("__", "/"): text for name, text in said.items()}
    return TRANSFER.filled(VALUE, {**sent(TRANSFER.fields(VALUE)), **fields})


@pytest.mark.parametrize("path", [*SAMPLE, *VALID])
def test_a_form_that_is_sent_as_it_is_changes_nothing(path: str) -> None:
    content = SAMPLE.get(path) or VALID[path].encode()
    document = parse_document(path, content)
    kind = kind_of(path)
    assert isinstance(document, Document)
    assert kind is not None
    form = SchemaForm(SCHEMAS[kind.value])
    assert form.filled(document.value, sent(form.fields(document.value))) == document.value


@pytest.mark.parametrize("kind", [each for each in Kind if each is not Kind.SECRET])
def test_examples_of_every_schema_have_a_form(kind: Kind) -> None:
    form = SchemaForm(SCHEMAS[kind.value])
    for example in SCHEMAS[kind.value].get("examples", ()):
        assert form.filled(example, sent(form.fields(example))) == example


def test_fields_are_of_the_kind_of_their_schema() -> None:
    found = leaves(TRANSFER.fields(VALUE))
    kinds = {
        "/source": FieldKind.GROUP,
        "/source/location": FieldKind.TEXT,
        "/source/include": FieldKind.LINES,
        "/source/recursive": FieldKind.CHOICE,
        "/source/claim": FieldKind.CHOICE,
        "/source/stable_s": FieldKind.NUMBER,
        "/trigger": FieldKind.ONE_OF,
        "/active_on": FieldKind.YAML,
    }
    assert {pointer: found[pointer].kind for pointer in kinds} == kinds
    assert found["/source/include"].text == "*.csv\n*.txt"
    assert found["/source/claim"].options == ("rename", "record")
    assert found["/source/stable_s"].default == "5"
    assert (found["/source"].required, found["/retry"].required) == (True, False)
    assert found["/trigger"].chosen == "cron"
    assert found["/source/location"].help


def test_what_is_filled_in_gets_the_type_of_its_field() -> None:
    found = filled(
        __source__stable_s="7", __source__recursive="true", __source__claim="record",
        __source__include="*.xml\r\n\r\n*.json", __active_on="[node-1]", __description="1",
    )  # fmt: skip
    assert found["source"] == {
        "location": "a", "include": ["*.xml", "*.json"], "stable_s": 7, "recursive": True,
        "claim": "record",
    }  # fmt: skip
    assert (found["active_on"], found["description"]) == (["node-1"], "1")
    assert filled(__source__stable_s="{{ wait }}")["source"]["stable_s"] == "{{ wait }}"


def test_what_is_emptied_goes_with_the_group_that_it_leaves_empty() -> None:
    value = {**VALUE, "retry": {"first_s": 1}}
    said = {**sent(TRANSFER.fields(value)), "/retry/first_s": "", "/source/include": ""}
    assert TRANSFER.filled(value, said) == {**VALUE, "source": {"location": "a"}}


def test_another_one_of_several_is_chosen() -> None:
    found = filled(__trigger="watch", __trigger__watch__every_s="3")
    assert found["trigger"] == {"watch": {"every_s": 3}}
    assert filled(__trigger="manual")["trigger"] == {"manual": {}}
    assert "trigger" not in filled(__trigger="")
    assert filled(__trigger="none of them")["trigger"] == VALUE["trigger"]


def test_what_a_type_asks_for_has_fields() -> None:
    form = SchemaForm(SCHEMAS["location"])
    names = leaves(form.fields({"type": "sftp"}))
    assert {"/host", "/port", "/username"} <= names.keys()
    assert "/host" not in leaves(form.fields({"type": "local"}))


def test_what_no_schema_knows_is_kept_as_yaml() -> None:
    value = {**VALUE, "unknown": {"a": [1, {"b": None}]}, "description": "two\nlines"}
    found = leaves(TRANSFER.fields(value))
    assert found["/unknown"].kind is FieldKind.YAML
    assert found["/description"].kind is FieldKind.YAML
    assert TRANSFER.filled(value, sent(TRANSFER.fields(value))) == value


@pytest.mark.parametrize(
    ("pointer", "text"),
    [
        ("/source/stable_s", "soon"), ("/source/stable_s", "true"), ("/active_on", "[a"),
        ("/active_on", "a: &b c"), ("/active_on", "# only this"), ("/active_on", "x\n y: z"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_with_its_field(pointer: str, text: str) -> None:
    with pytest.raises(FormError) as error:
        TRANSFER.filled(VALUE, {pointer: text})
    assert error.value.pointer == pointer


def test_schemas_that_nest_without_end_have_an_end() -> None:
    schema: Mapping[str, Any] = {
        "properties": {"a": {"$ref": "#/$defs/a"}},
        "$defs": {"a": {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}}},
    }
    assert len(leaves(SchemaForm(schema).fields({}))) == 7
