"""Read the fields that a document has; what it leaves out keeps the default of its type."""

from collections.abc import Callable, Mapping
from typing import Any

Value = Mapping[str, Any]
"""What a document says, once it has passed its schema."""


def given(value: Value, **readers: Callable[[Any], Any]) -> dict[str, Any]:
    """Return the fields that the document has, read; the others keep the default of the type."""
    return {name: read(value[name]) for name, read in readers.items() if name in value}


def given_remote(value: Value) -> dict[str, Any]:
    """Return the fields that a location on a server has whatever its kind; see `RemoteLocation`."""
    return given(
        value,
        path=str,
        timeout_s=float,
        connect_timeout_s=float,
        bytes_per_s=int,
        idle_s=float,
        max_connections=int,
    )
