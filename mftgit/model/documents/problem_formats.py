"""Problems as forges read them, so that each shows on its line: SARIF, GitHub's annotations, GitLab's Code Quality."""

import hashlib
from collections.abc import Iterator, Sequence
from enum import Enum, unique
from typing import Any, Final
from urllib.parse import quote

from mftgit.model.configuration.changes_markdown import problem_line
from mftgit.model.documents.problem import Problem
from mftgit.model.printable import printable
from mftgit.model.revisions.markdown import body

MAX_RESULTS: Final = 5_000
"""Told in one report; GitHub keeps as many of a run."""

_SARIF_SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_MAX_MESSAGE: Final = 1_000


@unique
class ProblemFormat(Enum):
    """How `mftgit validate` tells problems."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    GITHUB = "github"
    GITLAB = "gitlab"
    MARKDOWN = "markdown"


def sarif(problems: Sequence[Problem], *, version: str, below: str = "") -> dict[str, Any]:
    """Return a SARIF 2.1.0 log; ``below`` is the folder of the documents in the repository."""
    told = problems[:MAX_RESULTS]
    rules = sorted({each.rule for each in told})
    return {
        "$schema": _SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "mftgit",
                        "semanticVersion": version,
                        "rules": [{"id": rule} for rule in rules],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(each, rules.index(each.rule), below) for each in told],
            }
        ],
    }


def _result(problem: Problem, rule: int, below: str) -> dict[str, Any]:
    physical: dict[str, Any] = {
        "artifactLocation": {"uri": quote(_path(problem, below), errors="surrogateescape")}
    }
    if problem.line:
        physical["region"] = {
            "startLine": problem.line,
            **({"startColumn": problem.column} if problem.column else {}),
        }
    return {
        "ruleId": problem.rule,
        "ruleIndex": rule,
        "level": "error",
        "message": {"text": _plain(_sentence(problem))},
        "locations": [{"physicalLocation": physical}],
        "partialFingerprints": {"mftgit/v1": _fingerprint(problem, below)},
    }


def _plain(text: str) -> str:
    """Return ``text`` for a message of SARIF, where braces hold places and ``[text](target)`` is a link (3.11)."""
    return text.replace("{", "{{").replace("}", "}}").replace("](", "] (")


def gitlab_report(problems: Sequence[Problem], *, below: str = "") -> list[dict[str, Any]]:
    """Return GitLab's Code Quality report."""
    return [
        {
            "description": _sentence(each),
            "check_name": f"mftgit/{each.rule}",
            "fingerprint": _fingerprint(each, below),
            "severity": "blocker",
            "location": {
                "path": printable(_path(each, below)),
                "lines": {"begin": max(1, each.line)},
            },
        }
        for each in problems[:MAX_RESULTS]
    ]


def github_lines(problems: Sequence[Problem], *, below: str = "") -> Iterator[str]:
    """Give one workflow command for each problem; nothing that a document says can begin another."""
    for each in problems[:MAX_RESULTS]:
        place = f"file={_property(_path(each, below))}"
        if each.line:
            place += f",line={each.line}"
            place += f",col={each.column}" if each.column else ""
        yield f"::error {place},title={_property(f'mftgit: {each.rule}')}::{_data(_sentence(each))}"


def problems_markdown(problems: Sequence[Problem]) -> str:
    """Return the verdict as the body of a comment."""
    return body(_markdown(problems))


def _markdown(problems: Sequence[Problem]) -> Iterator[str]:
    if not problems:
        yield "**Valid**: the controller's gate has nothing against these documents."
        return
    count = len(problems)
    yield f"**{count:,} problem{'s' if count > 1 else ''}**: the controller's gate would refuse this."
    yield ""
    for each in problems:
        yield f"- {problem_line(each)}"


def _sentence(problem: Problem) -> str:
    at = f" at {problem.pointer}" if problem.pointer else ""
    hint = f": {problem.hint}" if problem.hint else ""
    return printable(f"{problem.message}{at}{hint}")[:_MAX_MESSAGE]


def _path(problem: Problem, below: str) -> str:
    return f"{below}/{problem.file}" if below else problem.file


def _fingerprint(problem: Problem, below: str) -> str:
    """Return what stays the same when lines move: of two alike, a forge shows one."""
    parts = (_path(problem, below), problem.pointer, problem.rule, problem.message)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def _data(text: str) -> str:
    """Escape as GitHub's runner undoes it: a percent sign would be half of such an escape."""
    return printable(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
