"""The fields of a part of the configuration as documents have them, and which of them differ between two."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any, Final

from mftgit.model.configuration.config import Cluster
from mftgit.model.locations.location import LocalLocation, RemoteLocation
from mftgit.model.locations.login import Kept, KeyAuth, PasswordAuth, SecretRef
from mftgit.model.rollout.cohorts import Cohort
from mftgit.model.rollout.windows import Window
from mftgit.model.transfers.content import KEYS as STEP_KEYS
from mftgit.model.transfers.content import Step, read_public_key
from mftgit.model.transfers.source import Regex
from mftgit.model.transfers.triggers import (
    AfterTrigger,
    CronTrigger,
    IntervalTrigger,
    ManualTrigger,
    WatchTrigger,
)

Value = str | int | float | bool | tuple[str, ...] | None
"""What a field says; None where it is not there."""

# What the documents call it, where the type has another name or none.
_KEYS: Final[Mapping[type, str]] = {
    CronTrigger: "cron",
    IntervalTrigger: "interval",
    WatchTrigger: "watch",
    AfterTrigger: "after",
    ManualTrigger: "manual",
    PasswordAuth: "password",
    KeyAuth: "private_key",
}
_RENAMED: Final[Mapping[str, str]] = {
    "after_success": "after_success.action",
    "archive_path": "after_success.path",
    "archive_days": "after_success.keep_days",
    "ledger_days": "retention.ledger_days",
    "lease_ttl_s": "coordinator.ttl_s",
    "etcd": "coordinator.etcd",
    "age_operators": "age.operators",
    "limits": "gate.limits",
    "begins": "from",
    "ends": "to",
    "policy_version": "trust.version",
    "require_approvals": "trust.require_approvals",
    "trust_break_glass": "trust.break_glass",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """One field, called as in the document."""

    field: str
    before: Value
    after: Value


def differing(before: Mapping[str, Value], after: Mapping[str, Value]) -> tuple[FieldChange, ...]:
    """Return the fields that differ, in the order of their names."""
    return tuple(
        FieldChange(field=name, before=before.get(name), after=after.get(name))
        for name in sorted(before.keys() | after.keys())
        if _typed(before.get(name)) != _typed(after.get(name))
    )


def _typed(value: Value) -> tuple[type, Value]:
    """Keep ``1`` and ``true`` apart, which are equal in Python and not in a document."""
    return type(value), value


def flat(value: Any, at: str) -> dict[str, Value]:
    """Return every field of a part of the configuration by its path, as documents have it."""
    return dict(_leaves(value, at))


def _leaves(value: Any, at: str) -> Iterator[tuple[str, Value]]:
    if is_dataclass(value) and not isinstance(value, type):
        for name, item in _items(value):
            yield from _leaves(item, f"{at}.{name}".lstrip("."))
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(item, f"{at}.{name}")
    elif isinstance(value, Enum):
        yield at, value.value
    elif isinstance(value, tuple) and isinstance(next(iter(value), None), Cohort | Window):
        for place, item in enumerate(value):
            yield from _leaves(item, f"{at}.{place}")
    elif isinstance(value, tuple):
        yield at, tuple(map(_text, value))
    elif value is not None:
        yield at, value


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """Give the fields that matter; a component's name is that of its file."""
    if isinstance(value, LocalLocation | RemoteLocation):
        yield "type", value.KIND
    key = f"{_KEYS[type(value)]}." if type(value) in _KEYS else ""
    for field in fields(value):
        if field.compare and (field.name != "name" or isinstance(value, Cluster | Cohort)):
            yield key + _RENAMED.get(field.name, field.name), getattr(value, field.name)


def _text(value: Any) -> str:
    """Return an item of a list: text, a place of a secret, a regular expression, a step of content, a way to log in."""
    if isinstance(value, str):
        return value
    if isinstance(value, SecretRef):
        return f"{where(value)}"
    if isinstance(value, Regex):
        return f"regex {value.regex}"
    if isinstance(value, Step):
        told = ((field.name, getattr(value, field.name)) for field in fields(value))
        words = (f"{name} {_of_step(each)}" for name, each in told if each not in (None, ()))
        return " ".join((STEP_KEYS[type(value)], *words))
    more = ""
    if isinstance(value, KeyAuth):
        more += "" if value.passphrase is None else f", passphrase {where(value.passphrase)}"
        more += "" if value.certificate is None else f", certificate {where(value.certificate)}"
    return f"{_KEYS[type(value)]} {where(value)}{more}"


def _of_step(value: Any) -> str:
    """Return a field of a step: what it says, where a secret lies, or the fingerprints of keys."""
    if isinstance(value, Kept):
        return f"{where(value)}"
    if isinstance(value, tuple):
        return " ".join(read_public_key(each).fingerprint for each in value)
    return f"{value}"


def where(kept: str | Kept) -> str | None:
    """Return where a secret lies; a certificate may stand there itself."""
    if isinstance(kept, str):
        return kept
    return kept.file if kept.secret is None else f"secret {kept.secret}"
