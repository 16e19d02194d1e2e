"""What the gate takes at most. What counts is the revision that is published already: no push raises its own limits."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from mftgit.model.documents.document import Document, parse_document
from mftgit.model.documents.json_value import Json
from mftgit.model.documents.places import CLUSTER_FILE

_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """``gate.limits`` of ``cluster.yaml``. A repository of 10,000 documents is some 30 MB inflated.

    No git makes longer chains of deltas (4,095), and no Linux has longer paths (4,096), than are taken by default.
    """

    max_pack_bytes: int = 64 * _MIB
    max_objects: int = 100_000
    max_object_bytes: int = 32 * _MIB
    max_inflated_bytes: int = 512 * _MIB
    max_delta_depth: int = 4_095
    max_entries: int = 50_000
    max_tree_depth: int = 16
    max_path_bytes: int = 4_096
    max_changes: int = 200
    max_request_s: int = 300

    @property
    def body_bytes(self) -> int:
        """Return how much of a push is read: git shows its user what was found only in an answer to the whole of it."""
        return 2 * self.max_pack_bytes + _MIB


LOWEST: Final = Limits(
    max_pack_bytes=4 * _MIB,
    max_objects=100,
    max_object_bytes=4 * _MIB,
    max_inflated_bytes=4 * _MIB,
    max_delta_depth=50,
    max_entries=100,
    max_tree_depth=1,
    max_path_bytes=100,
    max_changes=0,
    max_request_s=10,
)
"""With these a push of `cluster.yaml` alone passes, so that a limit can be raised again; see `rules.own_limits` too."""

HIGHEST: Final = Limits(
    max_pack_bytes=256 * _MIB,
    max_objects=1_000_000,
    max_object_bytes=128 * _MIB,
    max_inflated_bytes=4096 * _MIB,
    max_delta_depth=4_095,
    max_entries=200_000,
    max_tree_depth=100,
    max_path_bytes=4_096,
    max_changes=1_000,
    max_request_s=3_600,
)
"""What a controller with one gigabyte of memory bears; a member takes so much, for its gate may have."""

NAMES: Final = tuple(field.name for field in fields(Limits))

_FOUND: Final[Mapping[str, str]] = {
    "max_pack_bytes": "the pack has {} bytes",
    "max_objects": "the pack holds {} objects",
    "max_object_bytes": "an object has {} bytes",
    "max_inflated_bytes": "the pack inflates to {} bytes",
    "max_delta_depth": "the pack holds a chain of {} deltas",
    "max_entries": "the revision has {} files and folders",
    "max_tree_depth": "folders are {} deep",
    "max_path_bytes": "a path has {} bytes",
    "max_changes": "with this one {} proposals would be open",
}


def beyond(name: str, limits: Limits, found: int, *, at_least: bool = False) -> str:
    """Return in one line what was found, what is taken, and which setting says so."""
    told = f"at least {found:,}" if at_least else f"{found:,}"
    return (
        f"{_FOUND[name].format(told)}, at most {getattr(limits, name):,} are taken: {way_out(name)}"
    )


def way_out(name: str) -> str:
    """Return which setting of the published revision a limit is, and how far it goes."""
    return (
        f"gate.limits.{name} in the published {CLUSTER_FILE} says so; "
        f"a push of its own can set it to {getattr(HIGHEST, name):,} at most"
    )


def read_limits(content: bytes) -> Limits | None:
    """Return the limits that a published ``cluster.yaml`` sets; None where that cannot be said for sure."""
    document = parse_document(CLUSTER_FILE, content)
    if not isinstance(document, Document):
        return None
    gate = document.value.get("gate", {})
    given = gate.get("limits", {}) if isinstance(gate, dict) else None
    if not isinstance(given, dict) or not all(_is_sound(*each) for each in given.items()):
        return None
    return build_limits(given)


def build_limits(value: Mapping[str, Any]) -> Limits:
    """Return the limits that a section sets, which is known to fit the schema."""
    return Limits(**{name: int(number) for name, number in value.items()})


def _is_sound(name: str, value: Json) -> bool:
    return (
        name in NAMES
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and getattr(LOWEST, name) <= value <= getattr(HIGHEST, name)
        and value == int(value)
    )
