"""Which documents a document refers to, as far as that can be read where it does not fit its schema."""

from collections.abc import Iterator, Mapping
from typing import Final

from mftgit.model.documents.document import Document, Kind
from mftgit.model.documents.json_value import Json
from mftgit.model.names import is_name

REFERRING: Final = (Kind.TRANSFER, Kind.ACCOUNT, Kind.GROUP, Kind.SERVICE, Kind.EVENT_HANDLER)
"""Kinds of which `referred` knows what they refer to."""

_PLACES: Final = (
    ("source",),
    ("source", "fallback"),
    ("destination",),
    ("destination", "fallback"),
    ("home",),
)
_MANY: Final = {
    "active_on": Kind.MEMBER,
    "prefer": Kind.MEMBER,
    "groups": Kind.GROUP,
    "services": Kind.SERVICE,
}


def referred(document: Document) -> Iterator[tuple[str, Kind, str]]:
    """Give JSON pointer, kind and name of each reference that is written as a name; templates are passed over."""
    value = document.value
    for keys in _PLACES:
        inner: Json = dict(value)
        for key in keys:
            inner = _field(inner, key)
        yield from _location(inner, "/".join(("", *keys)))
    folders = value.get("folders")
    for index, folder in enumerate(folders if isinstance(folders, list) else ()):
        yield from _location(folder, f"/folders/{index}")
    for field, kind in _MANY.items():
        names = value.get(field)
        for index, name in enumerate(names if isinstance(names, list) else ()):
            if _is_reference(name):
                yield f"/{field}/{index}", kind, str(name)


def _location(place: Json, at: str) -> Iterator[tuple[str, Kind, str]]:
    name = _field(place, "location")
    if _is_reference(name):
        yield f"{at}/location", Kind.LOCATION, str(name)


def _field(value: Json, key: str) -> Json:
    return value.get(key) if isinstance(value, Mapping) else None


def _is_reference(name: Json) -> bool:
    return isinstance(name, str) and is_name(name)
