"""What an account may do at which path of its own."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, unique
from typing import Final


@unique
class Act(Enum):
    """One thing that a client can ask for."""

    LIST = "list"
    READ = "read"
    WRITE = "write"
    OVERWRITE = "overwrite"
    APPEND = "append"
    DELETE = "delete"
    RENAME = "rename"
    MAKE_FOLDER = "mkdir"
    REMOVE_FOLDER = "rmdir"
    SET_TIMES = "set-times"
    SET_MODE = "set-mode"


FULL: Final = frozenset(Act)
READ_ONLY: Final = frozenset({Act.LIST, Act.READ})
UPLOAD_ONLY: Final = frozenset({Act.WRITE, Act.SET_TIMES, Act.SET_MODE})
PRESETS: Final = {"full": FULL, "read-only": READ_ONLY, "upload-only": UPLOAD_ONLY}
"""What documents call by one word. Who may only upload sees no file but what that session is sending: a drop box."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """At ``path`` of the account and below, until a longer path says otherwise, ``allow`` is allowed."""

    path: str
    allow: frozenset[Act]


def allowed(rules: Iterable[Rule], path: str) -> frozenset[Act]:
    """Return what is allowed at ``path``, absolute and without ``.`` and ``..``: the rule of the longest path counts.

    Of two rules for one path the first counts; where no rule is, nothing is allowed.
    """
    fitting = [rule for rule in rules if _is_below(path, rule.path)]
    longest = max(fitting, key=lambda rule: len(rule.path.rstrip("/")), default=None)
    return frozenset() if longest is None else longest.allow


def _is_below(path: str, top: str) -> bool:
    return f"{path.rstrip('/')}/".startswith(f"{top.rstrip('/')}/")
