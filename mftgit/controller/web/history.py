"""The history: what was published, and what each revision changed; taking one back makes a proposal."""

import hashlib
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from mftgit.adapters.http_server.doors import NotServedError, Pool
from mftgit.controller.views.history import MOST_AT_ONCE, Row, tell_row
from mftgit.controller.web.differences import show
from mftgit.controller.web.doors import (
    AnyDoor,
    ApiDoor,
    Asked,
    FormDoor,
    GoTo,
    Page,
    PageDoor,
    Topic,
)
from mftgit.controller.web.parts import WebParts
from mftgit.controller.web.served import revision_of, served
from mftgit.model.access import OperatorRole
from mftgit.model.names import Revision
from mftgit.model.printable import printable
from mftgit.model.trust.signature_told import describe_signer
from mftgit.resources import load_schema

_AT_ONCE: Final = 20
_MOST_SUBJECT: Final = 300  # characters on a page; the page of the revision has the message
_REVISION: Final = {"type": "string", "pattern": "^[0-9a-f]{40}$"}
_LINE: Final = {
    "type": "object",
    "properties": {
        "mark": {"enum": [" ", "-", "+"], "description": "On both sides, before, or after"},
        "before": {"type": ["integer", "null"], "description": "Number of the line before"},
        "after": {"type": ["integer", "null"]},
        "text": {"type": "string"},
    },
    "required": ["mark", "before", "after", "text"],
}
FILES: Final = {
    "type": "array",
    "description": "The files that differ, by path",
    "items": {
        "type": "object",
        "properties": {
            "path": {"type": "string"},
            "action": {"enum": ["added", "changed", "removed"]},
            "hidden": {"type": ["string", "null"], "description": "Why lines are not shown"},
            "hunks": {"type": "array", "items": {"type": "array", "items": _LINE}},
        },
        "required": ["path", "action", "hidden", "hunks"],
    },
}


def doors(parts: WebParts) -> Sequence[AnyDoor]:
    """Return what there is to see of the history, and the way to take a revision back."""
    history = parts.history

    def listed(asked: Asked) -> Any:
        return served(lambda: history.page(start=_start(asked), limit=_limit(asked)), missing=404)

    def one(asked: Asked) -> Any:
        revision = revision_of(asked.params["revision"])
        return served(lambda: history.row(history.known(revision)), missing=404)

    def compared(asked: Asked) -> Any:
        before, after = _pair(parts, asked)
        return served(
            lambda: history.compare(history.known(before), history.known(after), by=asked.who.name),
            missing=404,
        )

    revert = ApiDoor(
        method="POST",
        path="/api/v1/revisions/{revision}/revert",
        role=OperatorRole.PROPOSE,
        summary="Propose to take a published revision back, as `mftgit revert` does in a clone.",
        answer=PROPOSED,
        handle=lambda asked: _revert(parts, asked),
    )
    return [
        ApiDoor(
            method="GET",
            path="/api/v1/revisions",
            role=OperatorRole.READ,
            summary="What was published, newest first: what `mftgit log --json` prints, and where it goes on.",
            answer=_listed_schema(),
            query={
                "from": {**_REVISION, "description": "Begin with this revision, not the newest"},
                "limit": {"type": "integer", "minimum": 1, "maximum": MOST_AT_ONCE},
            },
            handle=lambda asked: listed(asked).as_json(),
        ),
        ApiDoor(
            method="GET",
            path="/api/v1/revisions/{revision}",
            role=OperatorRole.READ,
            summary="One revision of main or of a proposal.",
            answer=_listed_schema()["properties"]["revisions"]["items"],
            handle=lambda asked: tell_row(one(asked), history.runs()),
        ),
        ApiDoor(
            method="GET",
            path="/api/v1/revisions/{revision}/difference",
            role=OperatorRole.READ,
            summary="What a revision changed: what `mftgit diff --json` prints, and the text. 503: ask again.",
            answer=_difference_schema(),
            query={"from": {**_REVISION, "description": "Compare with this one, not its parent"}},
            handle=lambda asked: compared(asked).as_json(),
            pool=Pool.COMPARE,
        ),
        revert,
        PageDoor(path="/history", handle=lambda asked: _list_page(asked, listed(asked))),
        PageDoor(path="/history/compare", handle=_to_compared),
        PageDoor(
            path="/history/{revision}",
            handle=lambda asked: _page(parts, asked, one(asked), compared(asked)),
            pool=Pool.COMPARE,
        ),
        FormDoor(path="/history/{revision}/revert", call=revert, to=_to_proposal),
        Topic(name="history", mark=lambda: _mark(parts)),
    ]


PROPOSED: Final = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "Of the proposal, without change/"},
        "revision": {**_REVISION, "description": "Where it stands now"},
    },
    "required": ["name", "revision"],
    "unevaluatedProperties": False,
}
"""The answer of whatever makes a proposal, or lets it grow."""


def _listed_schema() -> dict[str, Any]:
    schema = load_schema("output-log")
    more = {"anyOf": [_REVISION, {"type": "null"}], "description": "Where older ones begin"}
    return {
        "type": "object",
        "properties": {**schema["properties"], "next": more},
        "required": [*schema["required"], "next"],
        "unevaluatedProperties": False,
    }


def _difference_schema() -> dict[str, Any]:
    schema = load_schema("output-diff")
    text = {
        "invalid": {
            "type": ["string", "null"],
            "description": "Why nothing is told of members: one is not valid by the rules of this version",
        },
        "files": FILES,
        "more_files": {"type": "integer", "description": "Files that differ and are not told"},
    }
    return {
        **{name: schema[name] for name in ("$defs",) if name in schema},
        "type": "object",
        "properties": {**schema["properties"], **text},
        "required": [*schema["required"], *text],
        "unevaluatedProperties": False,
    }


def _start(asked: Asked) -> Revision | None:
    text = asked.asked("from")
    return revision_of(text) if text else None


def _limit(asked: Asked) -> int:
    text = asked.asked("limit", str(_AT_ONCE))
    is_number = text.isascii() and text.isdigit() and len(text) < 9  # noqa: PLR2004
    if not is_number or not 0 < int(text) <= MOST_AT_ONCE:
        raise NotServedError(400, f"limit is {text[:40]!r}, expected 1 to {MOST_AT_ONCE}")
    return int(text)


def _pair(parts: WebParts, asked: Asked) -> tuple[Revision, Revision]:
    """Return what is compared: a revision with the one that is asked for, or with its first parent."""
    after = revision_of(asked.params["revision"])
    if text := asked.asked("from"):
        return revision_of(text), after
    parents = served(
        lambda: parts.history.row(parts.history.known(after)), missing=404
    ).past.parents
    return (parents[0] if parents else after), after


def _revert(parts: WebParts, asked: Asked) -> dict[str, Any]:
    revision = revision_of(asked.params["revision"])
    name, made = served(lambda: parts.proposals.revert(revision, asked.who))
    return {"name": name, "revision": made}


def _to_proposal(_asked: Asked, answer: Any) -> GoTo:
    return GoTo(
        path=f"/proposals/{quote(answer['name'])}",
        said="Proposed. Nothing is published until it is merged.",
    )


def _to_compared(asked: Asked) -> GoTo:
    before, after = revision_of(asked.asked("from")), revision_of(asked.asked("to"))
    return GoTo(path=f"/history/{after}?from={before}")


def _list_page(asked: Asked, found: Any) -> Page:
    rows = [shown_row(row, found.runs) for row in found.rows]
    values = {"rows": rows, "following": found.following, "first": not asked.asked("from")}
    return Page(template="history.html", title="History", values=values, live="history")


def _page(parts: WebParts, asked: Asked, row: Row, compared: Any) -> Page:
    past = row.past
    values = {
        "row": shown_row(row, parts.history.runs()),
        "parents": past.parents,
        "message": printable(past.message, keep="\n\t"),
        "compared": asked.asked("from"),
        "published": parts.history.is_published(past.revision),
        "difference": show(compared),
    }
    title = f"Revision {past.revision[:12]}"
    return Page(template="revision.html", title=title, values=values, live="history")


def shown_row(row: Row, runs: Any) -> dict[str, Any]:
    """Return a row for a page, with the signer in words."""
    finding, told = row.finding, tell_row(row, runs)
    return {
        **told,
        "subject": told["subject"][:_MOST_SUBJECT],
        "signer": describe_signer(finding),
        "trusted": finding is not None and finding.outcome.value == "signed",
    }


def _mark(parts: WebParts) -> str:
    runs = sorted((revision, names) for revision, names in parts.history.runs().items())
    return hashlib.sha256(repr((parts.store.head(), runs)).encode()).hexdigest()
