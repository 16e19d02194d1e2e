"""How a difference is shown on pages: in words, once for members on which the same changes, and in text."""

from collections.abc import Iterable
from typing import Any, Final

from mftgit.controller.views.history import Comparison
from mftgit.model.configuration.change_words import components_of, restarts
from mftgit.model.configuration.changes import ComponentChange, MemberChange, Presence
from mftgit.model.configuration.changes_grouped import grouped
from mftgit.model.configuration.changes_markdown import shown
from mftgit.model.configuration.flat import FieldChange
from mftgit.model.printable import printable
from mftgit.model.revisions.text_difference import FileDifference, Side

MOST_COMPONENTS: Final = 200
"""Of one kind, on one group of members, on a page; the API tells all."""

MOST_FIELDS: Final = 60

MOST_GROUPS: Final = 40
"""Of members on which the same changes, on a page; where each has its own variables, each is a group."""

_PRESENCES: Final = {
    Presence.STAYS: "",
    Presence.COMES: "comes",
    Presence.GOES: "goes: without its document it is an ordinary node, until mftgit member remove",
    Presence.UNDECLARED: "has no document: an ordinary node",
}
_WORDS: Final = {Side.BOTH: "", Side.BEFORE: "removed", Side.AFTER: "added"}


def show(found: Comparison) -> dict[str, Any]:
    """Return the values for the template `difference.html`."""
    groups = grouped(found.members)
    return {
        "before": found.before,
        "after": found.after,
        "invalid": found.invalid,
        "problems": [each.as_json() for each in found.problems[:MOST_COMPONENTS]],
        "groups": [
            {"members": list(each.members), **_change(each.change)} for each in groups[:MOST_GROUPS]
        ],
        "more_groups": [name for each in groups[MOST_GROUPS:] for name in each.members],
        "still": [each.member for each in found.members if not each],
        "restarts": [{"what": what, "members": names} for what, names in _restarts(found.members)],
        "files": [_file(number, each) for number, each in enumerate(found.text.files)],
        "more_files": found.text.more,
    }


def _restarts(changes: Iterable[MemberChange]) -> list[tuple[str, list[str]]]:
    """Return what is stopped and started again, each with its members."""
    found: dict[str, list[str]] = {}
    for change in changes:
        for what in restarts(change):
            found.setdefault(what, []).append(change.member)
    return list(found.items())[:MOST_COMPONENTS]


def _change(change: MemberChange) -> dict[str, Any]:
    kinds = dict(components_of(change))
    return {
        "presence": _PRESENCES[change.presence],
        "settings": _fields(change.settings),
        "components": [
            {"kind": kind, **_component(each)}
            for kind, changes in kinds.items()
            for each in changes[:MOST_COMPONENTS]
        ],
        "more": sum(max(0, len(changes) - MOST_COMPONENTS) for changes in kinds.values()),
        "problems": [each.as_json() for each in change.problems],
    }


def _component(change: ComponentChange) -> dict[str, Any]:
    return {
        "name": change.name,
        "action": change.action.value,
        "fields": _fields(change.fields),
        "more": max(0, len(change.fields) - MOST_FIELDS),
    }


def _fields(changes: Iterable[FieldChange]) -> list[dict[str, str]]:
    return [
        {
            "field": printable(each.field),
            "before": printable(shown(each.before)),
            "after": printable(shown(each.after)),
        }
        for each in list(changes)[:MOST_FIELDS]
    ]


def _file(number: int, file: FileDifference) -> dict[str, Any]:
    return {
        "id": f"file-{number}",
        "path": printable(file.path),
        "raw_path": file.path,
        "action": file.action.value,
        "hidden": file.hidden,
        "hunks": [
            [
                {
                    "mark": line.side.value,
                    "word": _WORDS[line.side],
                    "before": line.before or "",
                    "after": line.after or "",
                    "text": printable(line.text, keep="\t\n"),
                }
                for line in hunk
            ]
            for hunk in file.hunks
        ],
    }
