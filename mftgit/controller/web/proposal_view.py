"""How a proposal is told: to programs, and to its page."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from mftgit.adapters.clock import rfc3339
from mftgit.controller.review.reviews import ChangeSummary, ChangeView
from mftgit.model.review.record import Entry

_MOST_TITLE: Final = 300
_TEXT: Final = {"type": "string"}
_REVISION: Final = {"type": "string", "pattern": "^[0-9a-f]{40}$"}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_ENTRY: Final = {
    "type": "object",
    "properties": {
        "by": {"type": "string", "description": "The operator"},
        "at": {"type": "string", "format": "date-time"},
        "said": {
            "type": "string",
            "description": "propose, approve, request-changes, comment, ...",
        },
        "revision": {**_REVISION, "description": "Where the proposal stood"},
        "text": _TEXT,
        "path": {"type": ["string", "null"]},
        "line": {"type": ["integer", "null"], "description": "Of that state of the proposal"},
    },
    "required": ["by", "at", "said", "revision", "text", "path", "line"],
}
_SUMMARY: Final[Mapping[str, Any]] = {
    "name": {"type": "string", "description": "Without change/"},
    "revision": {**_REVISION, "description": "Where it stands"},
    "base": {
        "anyOf": [_REVISION, {"type": "null"}],
        "description": "The newest revision of main that it has behind it; null where there is no single one",
    },
    "title": _TEXT,
    "author": {"type": "string", "description": "Name <address>"},
    "at": {"type": "string", "format": "date-time", "description": "When it was pushed last"},
    "by": {"type": ["string", "null"], "description": "The operator who pushed it last"},
    "state": {"type": "string", "description": "open, changes-requested or approved"},
    "needed": {"type": "integer", "description": "How many have to approve"},
    "given": {"type": "integer", "description": "How many did, as far as it counts"},
    "obstacles": {**_TEXTS, "description": "What keeps it from being merged, in sentences"},
}
SUMMARY: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": _SUMMARY,
    "required": list(_SUMMARY),
}
_MORE: Final[Mapping[str, Any]] = {
    "behind": {"type": "boolean", "description": "Whether main has moved on from base"},
    "merges_by": {"enum": ["fast-forward", "rebase", None]},
    "affected": {**_TEXTS, "description": "Members on which something changes"},
    "restarts": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"member": _TEXT, "what": _TEXT},
            "required": ["member", "what"],
        },
    },
    "must_approve": {
        "type": "object",
        "description": "Who may approve what, by the globs of review.owners",
        "additionalProperties": _TEXTS,
    },
    "opinions": {
        "type": "array",
        "description": "The last word of each operator on what it holds now",
        "items": {
            **_ENTRY,
            "properties": {
                **_ENTRY["properties"],  # type: ignore[dict-item]
                "discounted": {
                    "type": ["string", "null"],
                    "description": "Why it does not count",
                },
            },
        },
    },
    "said": {"type": "array", "items": _ENTRY, "description": "Everything, the oldest first"},
    "commits": {**_TEXTS, "description": "Its own, the newest first"},
}
VIEW: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {**_SUMMARY, **_MORE},
    "required": [*_SUMMARY, *_MORE],
}
ENTRY: Final[Mapping[str, Any]] = _ENTRY


def tell_summary(summary: ChangeSummary) -> dict[str, Any]:
    """Return a proposal in a line."""
    return {
        "name": summary.name,
        "revision": summary.tip,
        "base": summary.base,
        "title": summary.title[:_MOST_TITLE],
        "author": summary.author,
        "at": rfc3339(summary.at),
        "by": summary.by,
        "state": summary.state.value,
        "needed": summary.needed,
        "given": summary.given,
        "obstacles": list(summary.obstacles),
    }


def tell_view(view: ChangeView) -> dict[str, Any]:
    """Return a proposal as a whole."""
    standing = view.seen.standing
    return {
        **tell_summary(view.summary),
        "obstacles": list(view.obstacles),
        "behind": view.seen.behind,
        "merges_by": view.merges_by,
        "affected": list(view.affected),
        "restarts": [{"member": member, "what": what} for member, what in view.restarts],
        "must_approve": {glob: list(names) for glob, names in standing.must_approve.items()},
        "opinions": [
            {**tell_entry(each.entry), "discounted": each.discounted} for each in standing.opinions
        ],
        "said": [tell_entry(each) for each in view.seen.entries],
        "commits": [each.revision for each in view.commits],
    }


def tell_entry(entry: Entry) -> dict[str, Any]:
    """Return one thing that was said."""
    record = entry.record
    return {
        "by": record.by,
        "at": rfc3339(datetime.fromtimestamp(entry.at_s, tz=UTC)),
        "said": record.said.value,
        "revision": record.commit,
        "text": record.text,
        "path": record.path,
        "line": record.line,
    }


def remarks(said: Iterable[Mapping[str, Any]], tip: str) -> dict[str, dict[int, list[Any]]]:
    """Return what was said of lines, by path and by line."""
    found: dict[str, dict[int, list[Any]]] = {}
    for each in said:
        if each["path"] is not None and each["line"] is not None:
            told = {**each, "outdated": each["revision"] != tip}
            found.setdefault(each["path"], {}).setdefault(each["line"], []).append(told)
    return found
