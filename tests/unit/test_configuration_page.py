"""The reference page names every field, and what it shows is valid."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from config_tree import tree, validator

from mftgit.model.configuration.config import Role
from mftgit.model.configuration.render import render
from mftgit.model.documents.document import Kind
from mftgit.model.names import MemberName
from mftgit.resources import load_schemas

PAGE = (Path(__file__).parents[2] / "docs/reference/configuration.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^```yaml\n# (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
SECTIONS = dict(re.findall(r"^## ([\w-]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def fields(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        yield from schema.get("properties", {}).items()
        for key in ("then", "else", "items", *(["$defs"] if "$defs" in schema else [])):
            yield from fields(schema.get(key))
        for part in schema.get("allOf", ()):
            yield from fields(part)
        for key in ("properties", "$defs"):
            for value in schema.get(key, {}).values():
                yield from fields(value)


def test_every_block_of_the_page_is_an_example_with_a_path() -> None:
    assert PAGE.count("```yaml") == len(EXAMPLES)


def test_the_examples_of_the_page_are_one_valid_repository() -> None:
    validation = validator().validate(tree(EXAMPLES))
    assert validation.problems == ()
    generation = render(validation, MemberName("node-1"), Role.NODE)
    assert list(generation.transfers) == ["invoices", "nightly"]
    assert (list(generation.services), list(generation.accounts)) == (["sftp"], ["partner"])
    assert {path.partition("/")[0] for path in EXAMPLES} == {
        "cluster.yaml",
        "members",
        "locations",
        "transfers",
        "accounts",
        "groups",
        "services",
        "event-handlers",
        "secrets",
    }


@pytest.mark.parametrize("kind", [kind.value for kind in Kind])
def test_every_field_of_every_schema_is_named_in_the_section_of_its_kind(kind: str) -> None:
    names = dict(fields(load_schemas()[kind]))
    assert names
    for name in names:
        assert re.search(rf"`(?:[a-z_*]+\.)*{name}`", SECTIONS[kind]) or name == "labels", name


@pytest.mark.parametrize("kind", [kind.value for kind in Kind])
def test_every_default_and_choice_is_told(kind: str) -> None:
    for name, field in fields(load_schemas()[kind]):
        for choice in field.get("enum", []) + field.get("else", {}).get("enum", []):
            assert f"`{choice}`" in SECTIONS[kind], (name, choice)
        default = field.get("default")
        if isinstance(default, int | str) and not isinstance(default, bool):
            rows = re.findall(rf"^\| .*`(?:[a-z_*]+\.)*{name}` .*$", SECTIONS[kind], re.MULTILINE)
            assert any(str(default) in line for line in rows), name
