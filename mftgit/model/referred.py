"""Which documents a document refers to, as far as that can be read where it does not fit its schema."""

from collections.abc import Iterator
from typing import Final

from mftgit.model.documents import Document, Kind
from mftgit.model.json_value import Json
from mftgit.model.names import is_name

_ONE: Final = (("source", "location"), ("destination", "location"))
_MANY: Final = ("active_on", "prefer")


def referred(document: Document) -> Iterator[tuple[str, Kind, str]]:
    """Give JSON pointer, kind and name of each reference that is written as a name; templates are passed over."""
    value = document.value
    for side, field in _ONE:
        inner = value.get(side)
        name = inner.get(field) if isinstance(inner, dict) else None
        if _is_reference(name):
            yield f"/{side}/{field}", Kind.LOCATION, str(name)
        inner = inner.get("fallback") if isinstance(inner, dict) else None
        name = inner.get(field) if isinstance(inner, dict) else None
        if _is_reference(name):
            yield f"/{side}/fallback/{field}", Kind.LOCATION, str(name)
    for field in _MANY:
        names = value.get(field)
        for index, name in enumerate(names if isinstance(names, list) else ()):
            if _is_reference(name):
                yield f"/{field}/{index}", Kind.MEMBER, str(name)


def _is_reference(name: Json) -> bool:
    return isinstance(name, str) and is_name(name)
