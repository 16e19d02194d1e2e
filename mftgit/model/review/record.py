"""What is written down of reviews: a commit of `REVIEWS` for each, its message a line for people and a JSON object.

The commits are a chain without files, which only grows: whoever clones the history can have what was said about it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum, unique
from typing import Any, Final

from mftgit.model.names import CHANGES, Revision, is_name, parse_revision
from mftgit.model.revisions.push import is_change

MAX_ROUND: Final = 1_000
MAX_ROUND_TEXT: Final = 1_000_000
"""So many records are taken of one proposal, and so many characters in all of them: every member fetches them."""
MAX_TEXT: Final = 10_000
MAX_MESSAGE_BYTES: Final = 128 << 10
"""A text of the longest takes at most twelve bytes a character as JSON."""
MAX_HEAD_BYTES: Final = 16 << 10
"""Of what stands before the message: names, and a signature, which takes some 2 kB."""
_MAX_SUBJECT: Final = 500

EMPTY_TREE: Final = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
"""What git calls a revision without files."""

_COMMITTED: Final = re.compile(rb"^committer [^\n]*> ([0-9]{1,18}) [+-][0-9]{4}$", re.MULTILINE)
_MAX_PATH: Final = 1_000
_MAX_LINE: Final = 10_000_000
_DIGEST: Final = re.compile("[0-9a-f]{64}")


@unique
class Said(Enum):
    """What a record says. BEGIN, PROPOSE, MERGE and CLOSE are the controller's own; the others are given by people."""

    BEGIN = "begin"
    PROPOSE = "propose"
    APPROVE = "approve"
    REQUEST_CHANGES = "request-changes"
    COMMENT = "comment"
    MERGE = "merge"
    CLOSE = "close"
    BREAK_GLASS = "break-glass"


GIVEN: Final = frozenset({Said.APPROVE, Said.REQUEST_CHANGES, Said.COMMENT, Said.BREAK_GLASS})
"""What a person may push; nobody pushes what the controller alone knows."""

_ABOUT_MAIN: Final = frozenset({Said.BEGIN, Said.BREAK_GLASS})
_ABOUT_CONTENT: Final = frozenset({Said.PROPOSE, Said.APPROVE, Said.REQUEST_CHANGES})


@unique
class Via(Enum):
    """How a record came: pushed from a clone, or by the controller, to which somebody had logged in."""

    GIT = "git"
    WEB = "web"
    CONTROLLER = "controller"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record. ``by`` is the operator, as the controller knows it.

    ``change`` is the name of the proposal without ``change/``, and ``commit`` its tip; of a broken glass, ``change`` is
    empty and ``commit`` what was published. ``base`` is what ``commit`` was compared with: a published revision behind
    it. ``content`` is the fingerprint of what changes from there. ``result`` of a merge is what main moved to.
    """

    said: Said
    change: str
    commit: Revision
    by: str
    via: Via
    base: Revision | None = None
    content: str | None = None
    text: str = ""
    path: str | None = None
    line: int | None = None
    result: Revision | None = None


_NAMES: Final = frozenset(each.name for each in fields(Record))


def format_record(record: Record) -> str:
    """Return the message of the commit that says ``record``."""
    where = f"change/{record.change}" if record.change else "main"
    subject = f"{record.said.value} {where} at {record.commit[:12]} by {record.by}"
    return f"{subject}\n\n{json.dumps(_as_json(record), indent=1, sort_keys=True)}\n"


def parse_record(message: str) -> Record:
    """Return the record that ``message`` is.

    Raises:
        ValueError: it is none, or says what no record may.
    """
    if len(message.encode("utf-8", "replace")) > MAX_MESSAGE_BYTES:
        raise ValueError(f"it takes more than {MAX_MESSAGE_BYTES} bytes")
    subject, _, rest = message.partition("\n\n")
    if len(subject) > _MAX_SUBJECT:
        raise ValueError(f"its first line has more than {_MAX_SUBJECT} characters")
    value = _read(rest)
    if unknown := value.keys() - _NAMES:
        raise ValueError(f"the field {min(unknown)!r} is not known here")
    record = Record(
        said=Said(_text(value, "said")),
        change=_text(value, "change"),
        commit=parse_revision(_text(value, "commit")),
        by=_text(value, "by"),
        via=Via(_text(value, "via")),
        base=_revision(value, "base"),
        content=_optional(value, "content"),
        text=_optional(value, "text") or "",
        path=_optional(value, "path"),
        line=_line(value),
        result=_revision(value, "result"),
    )
    if wrong := _wrong(record):
        raise ValueError(wrong)
    return record


def _wrong(record: Record) -> str | None:
    """Return what no record may say, although each field is of its type."""
    if not is_name(record.by):
        return "by is no name of an operator"
    if record.said in _ABOUT_MAIN:
        if record.change or (
            record.said is Said.BREAK_GLASS and not (record.base and record.text.strip())
        ):
            return "what is said of main has no change; a broken glass has a base and a reason"
    elif not is_change(f"{CHANGES}{record.change}"):
        return "change is no name of a proposal"
    if len(record.text) > MAX_TEXT or len(record.path or "") > _MAX_PATH:
        return f"a text has at most {MAX_TEXT} characters, a path {_MAX_PATH}"
    if record.said in _ABOUT_CONTENT and (
        record.base is None or not _DIGEST.fullmatch(record.content or "")
    ):
        return f"{record.said.value} needs a base and the fingerprint of the content"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A record in its place; ``oid`` is the commit that it is, ``at_s`` that commit's own time.

    ``principals`` are whose key signed it, as far as the published revision lets that key sign.
    """

    oid: Revision
    at_s: int
    record: Record
    principals: tuple[str, ...] = ()


def read_link(oid: Revision, raw_commit: bytes) -> tuple[Entry, Revision | None]:
    """Return the record that a commit of the chain is, and the commit before it, None for the first.

    Raises:
        ValueError: it is no commit of such a chain.
    """
    head, _, message = raw_commit.partition(b"\n\n")
    lines = head.split(b"\n")
    parents = [line.removeprefix(b"parent ") for line in lines if line.startswith(b"parent ")]
    if lines[0] != b"tree " + EMPTY_TREE.encode() or len(parents) > 1:
        raise ValueError("a record has one commit before it, and no files")
    if len(head) > MAX_HEAD_BYTES:
        raise ValueError(f"more than {MAX_HEAD_BYTES} bytes stand before its message")
    committed = _COMMITTED.search(head)
    try:
        record = parse_record(message.decode())
    except UnicodeDecodeError as error:
        raise ValueError("the message is not UTF-8") from error
    entry = Entry(oid=oid, at_s=int(committed[1]) if committed else 0, record=record)
    return entry, parse_revision(parents[0].decode()) if parents else None


def _as_json(record: Record) -> Mapping[str, Any]:
    given = {name: getattr(record, name) for name in sorted(_NAMES)}
    plain = {name: each.value if isinstance(each, Enum) else each for name, each in given.items()}
    return {name: each for name, each in plain.items() if each is not None and each != ""} | {
        "change": record.change
    }


def _read(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise ValueError("the message holds no JSON object after its first line") from None
    if not isinstance(value, dict):
        raise ValueError("the message holds no JSON object after its first line")  # noqa: TRY004
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a field is there twice")
    return dict(pairs)


def _no_number(text: str) -> None:
    raise ValueError(text)


def _text(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str):
        raise ValueError(f"{name} is missing or no text")  # noqa: TRY004
    found.encode()  # half a character is none
    return found


def _optional(value: Mapping[str, Any], name: str) -> str | None:
    return None if name not in value else _text(value, name)


def _revision(value: Mapping[str, Any], name: str) -> Revision | None:
    return None if name not in value else parse_revision(_text(value, name))


def _line(value: Mapping[str, Any]) -> int | None:
    found = value.get("line")
    if found is None or (type(found) is int and 0 < found <= _MAX_LINE):
        return found
    raise ValueError("line is no number of a line")
