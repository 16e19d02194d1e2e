"""What is done to a file's content on its way, step by step, and what that makes of its name."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mftgit.model.given import Value, given

MOST_BYTES: Final = 1 << 30
"""What a step that unpacks gives at most where its document says nothing: 1 GiB, a thousand times what is small."""

_LEVEL: Final = 6
"""zlib's own default: https://www.zlib.net/manual.html."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gzip:
    """Pack by gzip (RFC 1952); ``level`` is from 1 (fast) to 9 (small)."""

    level: int = _LEVEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Gunzip:
    """Unpack what gzip has packed, to at most ``most_bytes``."""

    most_bytes: int = MOST_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Zip:
    """Put the file into a zip archive of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unzip:
    """Take the only file out of a zip archive, of at most ``most_bytes``."""

    most_bytes: int = MOST_BYTES


Step = Gzip | Gunzip | Zip | Unzip

KEYS: Final[Mapping[type[Step], str]] = {
    Gzip: "gzip",
    Gunzip: "gunzip",
    Zip: "zip",
    Unzip: "unzip",
}
"""What the documents call each step."""

_ADDED: Final[Mapping[type[Step], str]] = {Gzip: ".gz", Zip: ".zip"}
_TAKEN_AWAY: Final[Mapping[type[Step], Mapping[str, str]]] = {
    Gunzip: {".gz": "", ".tgz": ".tar"},
    Unzip: {".zip": ""},
}


def build_content(values: Iterable[Value]) -> tuple[Step, ...]:
    """Return the steps that a document has, each under one key."""
    return tuple(_build(*item) for value in values for item in value.items())


def _build(key: str, value: Value) -> Step:
    made: dict[str, type[Step]] = {name: kind for kind, name in KEYS.items()}
    fields: dict[str, Any] = given(value, level=int, most_bytes=int)
    return made[key](**fields)


def renamed(name: str, steps: Iterable[Step]) -> str:
    """Return how the file ``name`` is called after ``steps``: each adds its ending, or takes it away where it is there.

    A name that would be nothing but its ending stays as it is.
    """
    for step in steps:
        name += _ADDED.get(type(step), "")
        for ending, left in _TAKEN_AWAY.get(type(step), {}).items():
            stem = name[: -len(ending)]
            if stem and name.lower().endswith(ending):
                name = stem + left
                break
    return name
