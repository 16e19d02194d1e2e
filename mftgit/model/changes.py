"""Tell what another revision changes on a member, in words of components and their fields."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum, unique
from typing import Any, Final

from mftgit.model.cohorts import Cohort
from mftgit.model.config import Cluster, Generation, Member, Role
from mftgit.model.content import KEYS as STEP_KEYS
from mftgit.model.content import Step, read_public_key
from mftgit.model.location import LocalLocation, RemoteLocation
from mftgit.model.login import Kept, KeyAuth, PasswordAuth
from mftgit.model.names import MemberName
from mftgit.model.parts import declared_members
from mftgit.model.plan import Job, jobs, plan
from mftgit.model.problem import Problem
from mftgit.model.render import render
from mftgit.model.rendered import InvalidConfigError
from mftgit.model.source import Regex
from mftgit.model.triggers import (
    AfterTrigger,
    CronTrigger,
    IntervalTrigger,
    ManualTrigger,
    WatchTrigger,
)
from mftgit.model.validate import Validation
from mftgit.model.windows import Window

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
}


@unique
class Presence(Enum):
    """Whether a member has a document before and after."""

    STAYS = "stays"
    COMES = "comes"
    GOES = "goes"
    UNDECLARED = "undeclared"


@unique
class Action(Enum):
    """What happens to a component: a transfer is started, changed or stopped, a location added, changed or removed."""

    STARTED = "started"
    ADDED = "added"
    CHANGED = "changed"
    STOPPED = "stopped"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """One field, called as in the document."""

    field: str
    before: Value
    after: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentChange:
    """What happens to one transfer or location; ``fields`` is empty unless it is changed.

    A transfer is changed by its locations too: their fields stand below ``source.location`` and
    ``destination.location``.
    """

    name: str
    action: Action
    fields: tuple[FieldChange, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberChange:
    """What changes on one member.

    ``settings`` are the fields of its own document, and those of ``cluster.yaml`` below ``cluster``. With
    ``problems`` the member would refuse the revision, and go on as it is.
    """

    member: MemberName
    presence: Presence
    settings: tuple[FieldChange, ...] = ()
    transfers: tuple[ComponentChange, ...] = ()
    locations: tuple[ComponentChange, ...] = ()
    problems: tuple[Problem, ...] = ()

    def __bool__(self) -> bool:
        return bool(
            self.presence in {Presence.COMES, Presence.GOES}
            or self.settings
            or self.transfers
            or self.locations
            or self.problems
        )


def member_changes(
    before: Validation, after: Validation, only: MemberName | None = None
) -> tuple[MemberChange, ...]:
    """Return what changes on each member that has a document in either valid revision, or on ``only``."""
    old, new = declared_members(before.parts), declared_members(after.parts)
    names = sorted(old.keys() | new.keys()) if only is None else [only]
    return tuple(_member_change(name, before, after, old, new) for name in names)


def _member_change(
    name: MemberName,
    before: Validation,
    after: Validation,
    old: Mapping[MemberName, Member],
    new: Mapping[MemberName, Member],
) -> MemberChange:
    """Compare what runs.

    A member that comes has run nothing. One that goes runs on as a member without a document, because only the
    controller's `member remove` ends that.
    """
    presence = {
        (True, True): Presence.STAYS,
        (False, True): Presence.COMES,
        (True, False): Presence.GOES,
        (False, False): Presence.UNDECLARED,
    }[name in old, name in new]
    known = new.get(name) or old.get(name)
    role = known.role if known else Role.NODE
    ran = None if presence is Presence.COMES else _rendered(before, name, role)
    try:
        runs = render(after, name, role)
    except InvalidConfigError as error:
        return MemberChange(member=name, presence=presence, problems=error.problems)
    return MemberChange(
        member=name,
        presence=presence,
        settings=_settings(ran, runs) if ran and presence is not Presence.GOES else (),
        transfers=_transfers(ran, runs),
        locations=_locations(ran, runs),
    )


def _rendered(validation: Validation, name: MemberName, role: Role) -> Generation | None:
    """Return what runs, or None where the member had to refuse it."""
    try:
        return render(validation, name, role)
    except InvalidConfigError:
        return None


def _settings(ran: Generation, runs: Generation) -> tuple[FieldChange, ...]:
    def settings(generation: Generation) -> dict[str, Value]:
        return {
            **_flat(generation.cluster, "cluster"),
            **_flat(generation.member, ""),
            **{f"secrets.{name}.changed": each.changed for name, each in generation.sealed.items()},
        }

    return _differing(settings(ran), settings(runs))


def _transfers(ran: Generation | None, runs: Generation) -> tuple[ComponentChange, ...]:
    steps = plan(ran, runs)
    before = jobs(ran) if ran else {}
    found = [
        *((job.transfer.name, Action.STARTED, ()) for job in steps.start),
        *((name, Action.STOPPED, ()) for name in steps.stop),
        *(
            (
                job.transfer.name,
                Action.CHANGED,
                _differing(_job_fields(before[job.transfer.name]), _job_fields(job)),
            )
            for job in steps.change
        ),
    ]
    return tuple(
        ComponentChange(name=name, action=action, fields=changed)
        for name, action, changed in sorted(found, key=lambda each: each[0])
    )


def _locations(ran: Generation | None, runs: Generation) -> tuple[ComponentChange, ...]:
    before, after = ran.locations if ran else {}, runs.locations
    actions = {
        **dict.fromkeys(after.keys() - before.keys(), Action.ADDED),
        **dict.fromkeys(before.keys() - after.keys(), Action.REMOVED),
        **{
            name: Action.CHANGED
            for name in before.keys() & after.keys()
            if before[name] != after[name]
        },
    }
    return tuple(
        ComponentChange(
            name=name,
            action=action,
            fields=_differing(_flat(before[name], ""), _flat(after[name], ""))
            if action is Action.CHANGED
            else (),
        )
        for name, action in sorted(actions.items())
    )


def _job_fields(job: Job) -> dict[str, Value]:
    return {
        **_flat(job.transfer, ""),
        **_flat(job.source, "source.location"),
        **_flat(job.destination, "destination.location"),
        **({} if job.fallback is None else _flat(job.fallback, "destination.fallback.location")),
    }


def _differing(before: Mapping[str, Value], after: Mapping[str, Value]) -> tuple[FieldChange, ...]:
    return tuple(
        FieldChange(field=name, before=before.get(name), after=after.get(name))
        for name in sorted(before.keys() | after.keys())
        if _typed(before.get(name)) != _typed(after.get(name))
    )


def _typed(value: Value) -> tuple[type, Value]:
    """Keep ``1`` and ``true`` apart, which are equal in Python and not in a document."""
    return type(value), value


def _flat(value: Any, at: str) -> dict[str, Value]:
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
    """Return an item of a list: a string, a regular expression, a step of content, or a way to log in."""
    if isinstance(value, str):
        return value
    if isinstance(value, Regex):
        return f"regex {value.regex}"
    if isinstance(value, Step):
        told = ((field.name, getattr(value, field.name)) for field in fields(value))
        words = (f"{name} {_of_step(each)}" for name, each in told if each not in (None, ()))
        return " ".join((STEP_KEYS[type(value)], *words))
    more = ""
    if isinstance(value, KeyAuth):
        more += "" if value.passphrase is None else f", passphrase {_where(value.passphrase)}"
        more += "" if value.certificate is None else f", certificate {_where(value.certificate)}"
    return f"{_KEYS[type(value)]} {_where(value)}{more}"


def _of_step(value: Any) -> str:
    """Return a field of a step: what it says, where a secret lies, or the fingerprints of keys."""
    if isinstance(value, Kept):
        return f"{_where(value)}"
    if isinstance(value, tuple):
        return " ".join(read_public_key(each).fingerprint for each in value)
    return f"{value}"


def _where(kept: str | Kept) -> str | None:
    """Return where a secret lies; a certificate may stand there itself."""
    if isinstance(kept, str):
        return kept
    return kept.file if kept.secret is None else f"secret {kept.secret}"
