"""What an account may do at which path of its own."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, unique
from typing import Final

from mftgit.model.inbound.account_path import folded


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

    Of two rules for one path the first counts; where no rule is, nothing is allowed. Another spelling of a path, which
    storage that tells no case apart takes for the same, is allowed no more than the path.
    """
    known = tuple(rules)
    rule = _longest(rule for rule in known if _is_below(path, rule.path))
    if rule is None:
        return frozenset()
    if len(known) == 1:
        return rule.allow
    same = folded(path)
    alike = _longest(each for each in known if _is_below(same, folded(each.path))) or rule
    return rule.allow & alike.allow if _depth(alike) > _depth(rule) else rule.allow


def is_seen(rules: Iterable[Rule], path: str) -> bool:
    """Tell whether ``path`` is there at all for an account: something is allowed at it, or somewhere below it."""
    known = tuple(rules)
    return bool(allowed(known, path)) or any(each.allow for each in _rules_below(known, path))


def names_told(rules: Iterable[Rule], path: str) -> frozenset[str]:
    """Return the names in the folder ``path`` that the rules themselves tell, because they lead to what is allowed."""
    depth = len(path.rstrip("/")) + 1
    return frozenset(
        each.path[depth:].split("/", 1)[0] for each in _rules_below(rules, path) if each.allow
    )


def gained(rules: Iterable[Rule], old: str, new: str) -> frozenset[Act]:
    """Return what would be allowed with ``old``, or something below it, only once it is called ``new``."""
    known = tuple(rules)
    tails = {""}
    for top in (old, new):
        depth = len(top.rstrip("/").split("/"))
        tails |= {
            "/".join(("", *each.path.rstrip("/").split("/")[depth:]))
            for each in _rules_alike_below(known, top)
        }
    return frozenset[Act]().union(
        *(
            allowed(known, new.rstrip("/") + tail) - allowed(known, old.rstrip("/") + tail)
            for tail in tails
        )
    )


def kept_below(rules: Iterable[Rule], path: str, act: Act) -> bool:
    """Tell whether somewhere below ``path`` ``act`` is not allowed."""
    return any(act not in each.allow for each in _rules_alike_below(rules, path))


def _rules_below(rules: Iterable[Rule], path: str) -> Iterable[Rule]:
    top = path.rstrip("/")
    return (each for each in rules if each.path.rstrip("/") != top and _is_below(each.path, path))


def _rules_alike_below(rules: Iterable[Rule], path: str) -> Iterable[Rule]:
    """Give the rules below ``path``, or below another spelling of it."""
    top = folded(path).rstrip("/")
    return (
        each
        for each in rules
        if folded(each.path).rstrip("/") != top and _is_below(folded(each.path), top)
    )


def _longest(rules: Iterable[Rule]) -> Rule | None:
    return max(rules, key=_depth, default=None)


def _depth(rule: Rule) -> int:
    return rule.path.rstrip("/").count("/")


def _is_below(path: str, top: str) -> bool:
    return f"{path.rstrip('/')}/".startswith(f"{top.rstrip('/')}/")
