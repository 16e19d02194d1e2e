"""Which documents of a valid revision have to be looked at again because of what they refer to."""

from collections.abc import Collection, Iterator
from typing import Any

from mftgit.model.documents.document import Kind
from mftgit.model.rules.parts import Part, Parts


def transfers_at(parts: Parts, locations: Collection[str]) -> Iterator[str]:
    """Give the names of the transfers that refer to one of ``locations``, or may."""
    for name, part in parts[Kind.TRANSFER].items():
        value = _value(part)
        fallback = value["destination"].get("fallback")
        ends = (value["source"], value["destination"], *([fallback] if fallback else []))
        if _is_at(ends, locations):
            yield name


def groups_at(parts: Parts, locations: Collection[str]) -> Iterator[str]:
    """Give the names of the groups that refer to one of ``locations``, or may."""
    for name, part in parts[Kind.GROUP].items():
        if _is_at(_places(_value(part)), locations):
            yield name


def accounts_of(
    parts: Parts, groups: Collection[str], locations: Collection[str] = ()
) -> Iterator[str]:
    """Give the names of the accounts that are in one of ``groups``, or refer to one of ``locations``, or may."""
    for name, part in parts[Kind.ACCOUNT].items():
        value = _value(part)
        if any(each in groups for each in value.get("groups", ())) or _is_at(
            _places(value), locations
        ):
            yield name


def _value(part: Part) -> Any:
    return part.checked.document.value if part.checked.document else {}


def _places(value: Any) -> Iterator[Any]:
    if "home" in value:
        yield value["home"]
    yield from value.get("folders", ())


def _is_at(places: Any, locations: Collection[str]) -> bool:
    names = (place["location"] for place in places)
    return any(name in locations or "{{" in name for name in names)
