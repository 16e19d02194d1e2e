"""Documents for programs: what a revision holds, what the gate would find in changed ones, and proposing these."""

from collections.abc import Sequence
from typing import Any, Final

from mftgit.adapters.http_server.doors import NotServedError, Pool
from mftgit.controller.web.doors import AnyDoor, ApiDoor, Asked, not_found
from mftgit.controller.web.history import PROPOSED
from mftgit.controller.web.parts import WebParts
from mftgit.controller.web.served import revision_of, served
from mftgit.model.access import OperatorRole
from mftgit.model.documents.document import MAX_SIZE_BYTES
from mftgit.model.names import Revision
from mftgit.model.printable import printable
from mftgit.model.revisions.draft import MAX_BYTES, MAX_FILES, check_path, text_of
from mftgit.model.rules.tree import Entry

MAX_BODY_BYTES: Final = 3 * MAX_BYTES
"""A browser sends a character that is none of ASCII's letters as three, or more."""

_REVISION: Final = {"type": "string", "pattern": "^[0-9a-f]{40}$"}
_FILES: Final = {
    "type": "object",
    "description": "The files that are other than there, by path; null for one that goes",
    "maxProperties": MAX_FILES,
    "additionalProperties": {"type": ["string", "null"]},
}
_CHECK: Final = {
    "type": "object",
    "properties": {
        "base": {**_REVISION, "description": "A revision of main or of a proposal"},
        "files": _FILES,
        "draft": {
            "type": "boolean",
            "description": "Lay what the operator has in the Web Manager's editor below `files`",
        },
    },
    "required": ["base", "files"],
    "unevaluatedProperties": False,
}
_PROPOSAL: Final = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "Of the proposal, without change/"},
        "base": {**_REVISION, "description": "Of main; or where the proposal stands, to add to it"},
        "files": _FILES,
        "message": {"type": "string", "maxLength": 10_000},
    },
    "required": ["name", "base", "files", "message"],
    "unevaluatedProperties": False,
}
_LISTED: Final = {
    "type": "object",
    "properties": {
        "revision": _REVISION,
        "documents": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "path": {"type": "string"},
                    "size_bytes": {"type": "integer"},
                    "oid": {"type": "string", "description": "What git calls the content"},
                },
                "required": ["path", "size_bytes", "oid"],
            },
        },
    },
    "required": ["revision", "documents"],
}
_DOCUMENT: Final = {
    "type": "object",
    "properties": {
        "revision": _REVISION,
        "path": {"type": "string"},
        "text": {"type": ["string", "null"], "description": "null where it is no text"},
    },
    "required": ["revision", "path", "text"],
}


def doors(parts: WebParts) -> Sequence[AnyDoor]:
    """Return the calls about documents."""
    at = {"revision": {**_REVISION, "description": "Not the newest, but this one"}}
    return [
        ApiDoor(
            method="GET",
            path="/api/v1/documents",
            role=OperatorRole.READ,
            summary="The files of a revision.",
            answer=_LISTED,
            query=at,
            handle=lambda asked: _listed(parts, asked),
        ),
        ApiDoor(
            method="GET",
            path="/api/v1/documents/{path:path}",
            role=OperatorRole.READ,
            summary="One file of a revision, as it lies there; secrets stay encrypted.",
            answer=_DOCUMENT,
            query=at,
            handle=lambda asked: _document(parts, asked),
        ),
        ApiDoor(
            method="POST",
            path="/api/v1/validate",
            role=OperatorRole.PROPOSE,
            summary="What the gate would find in changed documents: what `mftgit validate --json` prints.",
            answer="output-validate",
            body=_CHECK,
            max_body_bytes=MAX_BODY_BYTES,
            handle=lambda asked: _check(parts, asked),
            pool=Pool.COMPARE,
        ),
        ApiDoor(
            method="POST",
            path="/api/v1/proposals",
            role=OperatorRole.PROPOSE,
            summary="Propose changed documents, as a push to change/NAME does. 422: what the gate has against it.",
            answer=PROPOSED,
            body=_PROPOSAL,
            max_body_bytes=MAX_BODY_BYTES,
            handle=lambda asked: _propose(parts, asked),
        ),
    ]


def _revision(parts: WebParts, asked: Asked) -> Revision:
    text = asked.asked("revision")
    if text:
        return served(lambda: parts.history.known(revision_of(text)), missing=404)
    return served(parts.history.tip, missing=404)


def _listed(parts: WebParts, asked: Asked) -> Any:
    revision = _revision(parts, asked)
    tree = parts.editing.files(revision)
    return {
        "revision": revision,
        "documents": [
            {"path": printable(path), "size_bytes": entry.size_bytes, "oid": entry.oid}
            for path, entry in sorted(tree.items())
        ],
    }


def _document(parts: WebParts, asked: Asked) -> Any:
    revision, path = _revision(parts, asked), asked.params["path"]
    entry = parts.editing.files(revision).get(path)
    if entry is None:
        raise not_found("file " + printable(path)[:200])
    return {"revision": revision, "path": path, "text": text_of(loaded(entry))}


def loaded(entry: Entry) -> bytes:
    """Return what a file holds, where it is no larger than a document may be."""
    if entry.size_bytes > MAX_SIZE_BYTES:
        raise NotServedError(
            413, f"it has {entry.size_bytes:,} bytes, and at most {MAX_SIZE_BYTES:,} are shown here"
        )
    return entry.load()


def _check(parts: WebParts, asked: Asked) -> Any:
    base, files = _base_and_files(asked.body)
    if asked.body.get("draft") is True and (draft := parts.editing.draft(asked.who.name)):
        files = {**draft.files, **files}
    served(lambda: parts.history.known(base), missing=404)
    problems = served(lambda: parts.editing.validate(base, files))
    return {"valid": not problems, "problems": [dict(each.as_json()) for each in problems]}


def _propose(parts: WebParts, asked: Asked) -> Any:
    base, files = _base_and_files(asked.body)
    name, message = asked.body.get("name"), asked.body.get("message")
    if not isinstance(name, str) or not isinstance(message, str):
        raise NotServedError(400, "name and message are texts")
    made = served(lambda: parts.proposals.propose(name, base, files, message, asked.who))
    return {"name": name, "revision": made}


def _base_and_files(body: Any) -> tuple[Revision, dict[str, bytes | None]]:
    if not isinstance(body, dict) or not isinstance(body.get("files"), dict):
        raise NotServedError(400, "expected an object with base and files")
    files: dict[str, bytes | None] = {}
    for path, text in body["files"].items():
        try:
            check_path(path)
            files[path] = None if text is None else text.encode()
        except (ValueError, AttributeError) as error:
            raise NotServedError(400, f"files: {printable(str(error))[:300]}") from error
    if len(files) > MAX_FILES:
        raise NotServedError(413, f"at most {MAX_FILES} files are taken; push from a clone")
    return revision_of(str(body.get("base"))), files
