"""A transfer as a member runs it, rendered, in the words of the documents, and without a secret."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Final

from mftgit.model.configuration.config import Generation, Transfer
from mftgit.model.locations.document import format_location
from mftgit.model.locations.location import Location
from mftgit.model.transfers.content import KEYS
from mftgit.model.transfers.triggers import (
    AfterTrigger,
    CronTrigger,
    IntervalTrigger,
    ManualTrigger,
    Trigger,
    WatchTrigger,
)

_TRIGGERS: Final[Mapping[type, str]] = {
    CronTrigger: "cron",
    IntervalTrigger: "interval",
    WatchTrigger: "watch",
    AfterTrigger: "after",
    ManualTrigger: "manual",
}


def tell_definition(transfer: Transfer, generation: Generation) -> dict[str, Any]:
    """Return ``transfer`` with its locations. Of a password or key it says where it lies, never what it is."""
    ends = {
        side: _tell(end) | {"location": _location(generation.locations[end.location])}
        for side, end in (("source", transfer.source), ("destination", transfer.destination))
    }
    return {
        **ends,
        "retry": _tell(transfer.retry),
        "commands": _tell(transfer.commands),
        "content": [{KEYS[type(step)]: _tell(step)} for step in transfer.content],
        "batch": None if transfer.batch is None else _tell(transfer.batch),
        "trigger": {_TRIGGERS[type(transfer.trigger)]: _tell(transfer.trigger)},
        "after_success": {
            "action": transfer.after_success.value,
            "path": transfer.archive_path,
            "keep_days": transfer.archive_days,
        },
        "ownership": transfer.ownership.value,
        "bytes_per_s": transfer.bytes_per_s,
        "parallel": transfer.parallel,
        "deduplicate": None if transfer.deduplicate is None else _tell(transfer.deduplicate),
        "prefer": list(transfer.prefer),
        "failover": _tell(transfer.failover),
    }


def describe_trigger(trigger: Trigger) -> str:
    """Return when it fires, for people."""
    if isinstance(trigger, CronTrigger):
        return f"by cron {trigger.expression!r} in {trigger.timezone}"
    if isinstance(trigger, IntervalTrigger):
        return f"every {trigger.every_s:g} s"
    if isinstance(trigger, WatchTrigger):
        return f"when a file is there, looking every {trigger.every_s:g} s"
    if isinstance(trigger, AfterTrigger):
        return f"after a run of {trigger.transfer} that succeeded"
    return "by hand only"


def describe_location(location: Location) -> str:
    """Return where it is, for people."""
    return f"{location.name} ({location})"


def _location(location: Location) -> dict[str, Any]:
    told: dict[str, Any] = _tell({"name": location.name} | format_location(location))
    return told


def _tell(value: object) -> Any:
    """Return ``value`` as JSON has it; what is not set is left out."""
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        value = {each.name: getattr(value, each.name) for each in fields(value)}
    if isinstance(value, Mapping):
        return {name: _tell(each) for name, each in value.items() if each is not None}
    if isinstance(value, AbstractSet):
        return sorted(map(_tell, value))
    return [_tell(each) for each in value] if isinstance(value, tuple | list) else value
