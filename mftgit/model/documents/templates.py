"""The ``{{ variable }}`` in documents: find them, and put a member's values in their place."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from mftgit.model.documents.json_value import Json, walk

Variable = str | int | float | bool

_TEMPLATE: Final = re.compile(r"\{\{[ \t]*([a-z_][a-z0-9_]{0,62})[ \t]*\}\}")
_PROSE: Final = "description"
"""The field that is for people and stays as it is."""


def find_templates(value: Mapping[str, Json]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Give each text that holds a template or the beginning of one, with the keys that lead to it."""
    for parts, item in walk(dict(value)):
        if isinstance(item, str) and "{{" in item and parts[0] != _PROSE:
            yield parts, item


def names_in(text: str) -> list[str]:
    """Return the variables that ``text`` names, in order."""
    return _TEMPLATE.findall(text)


def is_well_formed(text: str) -> bool:
    """Tell whether every ``{{`` in ``text`` begins a template."""
    return "{{" not in _TEMPLATE.sub("", text)


def fill_in(value: Mapping[str, Json], variables: Mapping[str, Variable]) -> dict[str, Json]:
    """Return ``value`` with each template replaced by the value of its variable.

    A text that is one template and nothing else takes the value with its type.

    Raises:
        KeyError: a variable is not defined.
    """
    return {key: item if key == _PROSE else _fill(item, variables) for key, item in value.items()}


def _fill(value: Json, variables: Mapping[str, Variable]) -> Json:
    if isinstance(value, str):
        return _fill_text(value, variables)
    if isinstance(value, dict):
        return {key: _fill(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, variables) for item in value]
    return value


def _fill_text(text: str, variables: Mapping[str, Variable]) -> Json:
    if whole := _TEMPLATE.fullmatch(text):
        return variables[whole[1]]
    return _TEMPLATE.sub(lambda found: _as_text(variables[found[1]]), text)


def _as_text(value: Variable) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def first_use(value: Mapping[str, Json], variable: str) -> tuple[str, ...]:
    """Return the keys that lead to the first text that names ``variable``, which there has to be."""
    return next(parts for parts, text in find_templates(value) if variable in names_in(text))
