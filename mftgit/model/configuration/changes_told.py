"""How it is told to scripts what a revision changes on a member."""

from collections.abc import Iterable
from typing import Any

from mftgit.model.configuration.changes import ComponentChange, MemberChange
from mftgit.model.configuration.flat import FieldChange


def tell_member(change: MemberChange) -> dict[str, Any]:
    """Return the shape of one member that ``diff --json`` documents."""
    return {
        "name": change.member,
        "presence": change.presence.value,
        "settings": _fields(change.settings),
        "transfers": _components(change.transfers),
        "locations": _components(change.locations),
        "services": _components(change.services),
        "accounts": _components(change.accounts),
        "event_handlers": _components(change.event_handlers),
        "problems": [dict(each.as_json()) for each in change.problems],
    }


def _components(changes: Iterable[ComponentChange]) -> list[dict[str, Any]]:
    return [
        {"name": each.name, "action": each.action.value, "fields": _fields(each.fields)}
        for each in changes
    ]


def _fields(changes: Iterable[FieldChange]) -> list[dict[str, Any]]:
    return [{"field": each.field, "before": each.before, "after": each.after} for each in changes]
