"""The version of a trust policy only rises, so that none that was valid once is put back unnoticed.

``trust.version`` in ``cluster.yaml`` numbers what a revision says of who may sign. While signatures are required, each
change of that has a higher number than the one before; whether they are required or not, it never goes down.
"""

from dataclasses import replace
from typing import Final

from mftgit.model.documents.document import Document, parse_document
from mftgit.model.documents.json_value import Position
from mftgit.model.documents.places import CLUSTER_FILE
from mftgit.model.documents.problem import Problem
from mftgit.model.trust.signers import RULE
from mftgit.model.trust.trust import Policy

MAX_STEP: Final = 10_000
"""A single change that took the highest number would be the last that anybody could make."""

_FIELD: Final = "trust.version"
_END: Final = " \t\r,}#"


def check_policy_step(before: Policy, after: Policy) -> Problem | None:
    """Return why the policy ``after`` may not follow on ``before``; None when it may.

    What cannot be read is not judged: no such revision is valid.
    """
    if after.problems:
        return None
    if after.version < before.version:
        return _problem(
            after,
            f"{_FIELD} goes down from {before.version} to {after.version}",
            f"a list of signers from before comes back as a new one: write {_FIELD}: {before.version + 1}",
        )
    if after.version - before.version > MAX_STEP:
        return _problem(
            after,
            f"{_FIELD} goes up from {before.version} to {after.version}, and at most {MAX_STEP:,} is one step",
            f"no number is left after the highest: write {_FIELD}: {before.version + 1}",
        )
    if not before.required or after.version > before.version or _says(before) == _says(after):
        return None
    return _problem(
        after,
        f"this changes who may sign, and {_FIELD} stays {before.version}",
        f"write {_FIELD}: {before.version + 1}; mftgit trust add and remove do it by themselves",
    )


def check_policy_version(floor: int, policy: Policy) -> Problem | None:
    """Return that ``policy`` is older than what a member had in force once, whatever its history has become."""
    if policy.version >= floor:
        return None
    return _problem(
        policy,
        f"{_FIELD} is {policy.version}, and this member had {floor} in force",
        f"publish who may sign under a number that was not used yet: {_FIELD}: {floor + 1}",
    )


def set_version(content: bytes, version: int) -> str:
    """Return ``cluster.yaml`` with ``trust.version`` set, and all else as it is, comments too.

    Raises:
        ValueError: it cannot be written by itself into what is there.
    """
    document = parse_document(CLUSTER_FILE, content)
    if isinstance(document, Document):
        changed = _put(content.decode(), document, version)
        read = parse_document(CLUSTER_FILE, changed.encode())
        trust = read.value.get("trust") if isinstance(read, Document) else None
        if isinstance(trust, dict) and trust.get("version") == version:
            return changed
    raise ValueError(f"{CLUSTER_FILE}: write {_FIELD}: {version} there by hand, then say it again")


def _put(text: str, document: Document, version: int) -> str:
    positions, trust = document.positions(), document.value.get("trust")
    if "/trust/version" in positions:
        return _replace(text, positions["/trust/version"], str(version))
    if not isinstance(trust, dict) or not trust:
        return f"{text.rstrip()}\ntrust:\n  version: {version}\n"
    first = positions[f"/trust/{next(iter(trust))}"].key
    begins = _offset(text, positions["/trust"].value.line, positions["/trust"].value.column)
    after = ", " if text[begins] == "{" else "\n" + " " * (first.column - 1)
    at = _offset(text, first.line, first.column)
    return f"{text[:at]}version: {version}{after}{text[at:]}"


def _replace(text: str, position: Position, word: str) -> str:
    start = _offset(text, position.value.line, position.value.column)
    end = next((at for at in range(start, len(text)) if text[at] in _END + "\n"), len(text))
    return text[:start] + word + text[end:]


def _offset(text: str, line: int, column: int) -> int:
    lines = text.split("\n")
    return sum(len(each) + 1 for each in lines[: line - 1]) + column - 1


def _says(policy: Policy) -> Policy:
    """Return what matters of a policy: lines that moved, and comments, say nothing."""
    signers = tuple(replace(each, line=0) for each in policy.signers)
    return replace(policy, version=0, signers=signers)


def _problem(policy: Policy, message: str, hint: str) -> Problem:
    return Problem(
        file=CLUSTER_FILE,
        line=policy.place.line,
        column=policy.place.column,
        pointer="/trust/version" if policy.version else "",
        rule=RULE,
        message=message,
        hint=hint,
    )
