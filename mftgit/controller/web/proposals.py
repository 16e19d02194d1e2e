"""Proposals: what each would do, who has to approve of it and who did; what people say of it, and its end."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import quote

from mftgit.adapters.http_server.doors import NotServedError, Pool
from mftgit.controller.review.reviews import ChangeView
from mftgit.controller.views.worked_out import StillWorkingError
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
from mftgit.controller.web.history import PROPOSED, shown_row
from mftgit.controller.web.parts import WebParts
from mftgit.controller.web.proposal_view import (
    ENTRY,
    SUMMARY,
    VIEW,
    remarks,
    tell_entry,
    tell_summary,
    tell_view,
)
from mftgit.controller.web.served import revision_of, served
from mftgit.model.access import OperatorRole
from mftgit.model.names import CHANGES, REVIEWS, Revision
from mftgit.model.printable import printable
from mftgit.model.revisions.proposal import signing

_REVISION: Final = {
    "type": "string",
    "pattern": "^[0-9a-f]{40}$",
    "description": "What you looked at; refused where the proposal holds something else by now",
}
_COMMENT: Final = {"type": "string", "maxLength": 10_000}
_SAYING: Final = {
    "type": "object",
    "properties": {"revision": _REVISION, "comment": _COMMENT},
    "required": ["revision"],
    "unevaluatedProperties": False,
}
_SAYING_ALOUD: Final = {**_SAYING, "required": ["revision", "comment"]}
_REMARK: Final = {
    "type": "object",
    "properties": {
        "revision": _REVISION,
        "text": _COMMENT,
        "path": {"type": "string", "maxLength": 1_000},
        "line": {"type": "integer", "minimum": 1, "maximum": 10_000_000},
    },
    "required": ["revision", "text"],
    "unevaluatedProperties": False,
}
_SEEN: Final = {
    "type": "object",
    "properties": {"revision": _REVISION},
    "required": ["revision"],
    "unevaluatedProperties": False,
}
_PUBLISHED: Final = {
    "type": "object",
    "properties": {"revision": {"type": "string", "description": "Where main stands now"}},
    "required": ["revision"],
}
_CLOSED: Final = {
    "type": "object",
    "properties": {"closed": {"type": "string", "description": "The name of the proposal"}},
    "required": ["closed"],
}


def doors(parts: WebParts) -> Sequence[AnyDoor]:
    """Return what there is to see of proposals, and to do with them."""

    def seen(asked: Asked) -> ChangeView:
        return served(lambda: parts.reviews.show(asked.params["name"]), missing=409)

    return [
        ApiDoor(
            method="GET",
            path="/api/v1/proposals",
            role=OperatorRole.READ,
            summary="The proposals there are.",
            answer={
                "type": "object",
                "properties": {"proposals": {"type": "array", "items": SUMMARY}},
                "required": ["proposals"],
            },
            handle=lambda _: {"proposals": _listed(parts)},
        ),
        ApiDoor(
            method="GET",
            path="/api/v1/proposals/{name:path}",
            role=OperatorRole.READ,
            summary="A proposal: what it would do, who approves of it, and what was said.",
            answer=VIEW,
            handle=lambda asked: tell_view(seen(asked)),
            pool=Pool.COMPARE,
        ),
        PageDoor(path="/proposals", handle=lambda _: _list_page(parts)),
        PageDoor(
            path="/proposals/{name:path}",
            handle=lambda asked: _page(parts, asked, seen(asked)),
            pool=Pool.COMPARE,
        ),
        *_doing(parts),
        Topic(name="proposals", mark=lambda: _mark(parts)),
    ]


def _doing(parts: WebParts) -> list[AnyDoor]:
    reviews, proposals = parts.reviews, parts.proposals

    def call(
        word: str,
        summary: str,
        role: OperatorRole,
        body: Any,
        answer: Any,
        do: Callable[[str, Asked], Any],
    ) -> ApiDoor:
        return ApiDoor(
            method="POST",
            path="/api/v1/proposals/{name:path}/" + word,
            role=role,
            summary=summary,
            answer=answer,
            body=body,
            handle=lambda asked: served(lambda: do(asked.params["name"], asked)),
        )

    def approve(name: str, asked: Asked) -> Any:
        text = asked.body.get("comment", "")
        return tell_entry(reviews.approve(name, asked.who, text, tip=_tip(asked)))

    def request(name: str, asked: Asked) -> Any:
        text = asked.body["comment"]
        return tell_entry(reviews.request_changes(name, asked.who, text, tip=_tip(asked)))

    def remark(name: str, asked: Asked) -> Any:
        return tell_entry(
            reviews.comment(
                name,
                asked.who,
                asked.body["text"],
                path=asked.body.get("path"),
                line=asked.body.get("line"),
                tip=_tip(asked),
            )
        )

    def merge(name: str, asked: Asked) -> Any:
        return {"revision": reviews.merge(name, asked.who, tip=_tip(asked))}

    def seen(name: str, asked: Asked) -> Revision:
        tip = _tip(asked)
        if proposals.tip(name) != tip:
            raise NotServedError(409, f"change/{name} has moved on: look again")
        return tip

    def close(name: str, asked: Asked) -> Any:
        seen(name, asked)
        reviews.close(name, asked.who)
        return {"closed": name}

    def bring_up(name: str, asked: Asked) -> Any:
        tip = seen(name, asked)
        return {"name": name, "revision": proposals.bring_up(name, asked.who, tip=tip)}

    propose, publish = OperatorRole.PROPOSE, OperatorRole.PUBLISH
    calls = [
        (
            call("approve", "Approve of what it holds.", propose, _SAYING, ENTRY, approve),
            "Approved.",
        ),
        (
            call(
                "request-changes",
                "Keep it from being merged until you approve, or it holds something else.",
                propose,
                _SAYING_ALOUD,
                ENTRY,
                request,
            ),
            "You have asked for changes.",
        ),
        (
            call("comments", "Say something of it, or of a line.", propose, _REMARK, ENTRY, remark),
            "Said.",
        ),
        (
            call("merge", "Publish it, where enough approve.", publish, _SEEN, _PUBLISHED, merge),
            "Merged: it is published, and members take it now.",
        ),
        (
            call("close", "Take it away without publishing it.", propose, _SEEN, _CLOSED, close),
            "Closed. Nothing was published.",
        ),
        (
            call(
                "bring-up",
                "Let it grow by a merge of what was published since it began.",
                propose,
                _SEEN,
                PROPOSED,
                bring_up,
            ),
            "It has everything that is published now.",
        ),
    ]
    forms = [
        FormDoor(
            path=each.path.removeprefix("/api/v1"),
            call=each,
            body=_meant(each),
            to=_after(each.path.rpartition("/")[2], said),
        )
        for each, said in calls
    ]
    return [*(each for each, _ in calls), *forms]


def _tip(asked: Asked) -> Revision:
    return revision_of(str(asked.body["revision"]))


def _meant(call: ApiDoor) -> Callable[[Asked], Any]:
    """Make the body of ``call`` of a form: fields that were left empty are not sent on."""
    known = (call.body or {}).get("properties", {})

    def meant(asked: Asked) -> dict[str, Any]:
        body: dict[str, Any] = {
            name: asked.text(name).replace("\r\n", "\n") for name in known if asked.text(name)
        }
        if "line" in body:
            body["line"] = _number(body["line"])
        for name in (call.body or {}).get("required", ()):
            if name not in body:
                raise NotServedError(400, f"{name} is empty: write what you think of it")
        return body

    return meant


def _number(text: str) -> int:
    is_number = text.isascii() and text.isdigit() and len(text) < 9  # noqa: PLR2004
    if not is_number or not 0 < int(text) <= 10_000_000:  # noqa: PLR2004
        raise NotServedError(400, f"{text[:40]!r} is no number of a line")
    return int(text)


def _after(word: str, said: str) -> Callable[[Asked, Any], GoTo]:
    def after(asked: Asked, answer: Any) -> GoTo:
        if word == "merge":
            return GoTo(path=f"/history/{answer['revision']}", said=said)
        if word == "close":
            return GoTo(path="/proposals", said=said)
        return GoTo(path=f"/proposals/{quote(asked.params['name'])}", said=said)

    return after


def _listed(parts: WebParts) -> list[dict[str, Any]]:
    return [tell_summary(each) for each in served(parts.reviews.list, missing=409)]


def _list_page(parts: WebParts) -> Page:
    values = {"proposals": _listed(parts)}
    return Page(template="proposals.html", title="Proposals", values=values, live="proposals")


def _page(parts: WebParts, asked: Asked, view: ChangeView) -> Page:
    told = tell_view(view)
    told["said"] = [{**each, "text": printable(each["text"], keep="\n\t")} for each in told["said"]]
    name, tip = view.summary.name, view.summary.tip
    rows, difference = _shown(parts, view)
    unsigned = any(not each["trusted"] for each in rows)
    required = view.seen.rules.trust.required
    others = {ref.removeprefix(CHANGES) for ref in parts.store.names(CHANGES)}
    values = {
        "proposal": told,
        "commits": rows,
        "difference": difference,
        "remarks": remarks(told["said"], tip),
        "conversation": [
            each for each in told["said"] if each["text"] or each["said"] != "comment"
        ],
        "is_reviewed": view.seen.rules.reviewed,
        "signing": signing(name, others) if required and unsigned else (),
        "paths": sorted(view.seen.change.paths),
        "is_own": view.summary.by == asked.who.name,
    }
    title = f"Proposal {name}"
    return Page(template="proposal.html", title=title, values=values, live="proposals")


def _shown(parts: WebParts, view: ChangeView) -> tuple[list[Any], Any]:
    """Return the commits with their signers, and the difference, None while that is worked out."""
    rows = [shown_row(parts.history.row(each.revision), {}) for each in view.commits[:50]]
    try:
        base = view.seen.change.base
        return rows, show(parts.history.compare(base, view.summary.tip))
    except StillWorkingError:
        return rows, None


def _mark(parts: WebParts) -> str:
    refs = (
        parts.store.head(),
        sorted(parts.store.tips(CHANGES).items()),
        parts.store.head(REVIEWS),
    )
    return hashlib.sha256(repr(refs).encode()).hexdigest()
