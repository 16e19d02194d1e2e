"""Tell what another revision changes on a member, in words of components and their fields."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, unique
from typing import Any

from mftgit.model.configuration.config import Generation, Member, Role
from mftgit.model.configuration.flat import FieldChange, Value, differing, flat
from mftgit.model.configuration.flat_event_handler import flat_event_handler
from mftgit.model.configuration.flat_inbound import flat_account, flat_service
from mftgit.model.configuration.plan import Job, jobs, plan
from mftgit.model.configuration.render import render
from mftgit.model.configuration.rendered import InvalidConfigError
from mftgit.model.documents.problem import Problem
from mftgit.model.locations.location import Location
from mftgit.model.names import MemberName
from mftgit.model.rules.parts import declared_members
from mftgit.model.rules.validate import Validation


@unique
class Presence(Enum):
    """Whether a member has a document before and after."""

    STAYS = "stays"
    COMES = "comes"
    GOES = "goes"
    UNDECLARED = "undeclared"


@unique
class Action(Enum):
    """What happens to a component: a transfer, service or event handler is started, an account added, and so on."""

    STARTED = "started"
    ADDED = "added"
    CHANGED = "changed"
    STOPPED = "stopped"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentChange:
    """What happens to one component; ``fields`` is empty unless it is changed.

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
    services: tuple[ComponentChange, ...] = ()
    accounts: tuple[ComponentChange, ...] = ()
    event_handlers: tuple[ComponentChange, ...] = ()
    problems: tuple[Problem, ...] = ()

    def __bool__(self) -> bool:
        return bool(
            self.presence in {Presence.COMES, Presence.GOES}
            or self.settings
            or self.transfers
            or self.locations
            or self.services
            or self.accounts
            or self.event_handlers
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
        locations=_components(ran.locations if ran else {}, runs.locations, _flat_location),
        services=_components(
            ran.services if ran else {},
            runs.services,
            flat_service,
            comes=Action.STARTED,
            goes=Action.STOPPED,
        ),
        accounts=_components(ran.accounts if ran else {}, runs.accounts, flat_account),
        event_handlers=_components(
            ran.event_handlers if ran else {},
            runs.event_handlers,
            flat_event_handler,
            comes=Action.STARTED,
            goes=Action.STOPPED,
        ),
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
            **flat(generation.cluster, "cluster"),
            **flat(generation.member, ""),
            **{f"secrets.{name}.changed": each.changed for name, each in generation.sealed.items()},
        }

    return differing(settings(ran), settings(runs))


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
                differing(_job_fields(before[job.transfer.name]), _job_fields(job)),
            )
            for job in steps.change
        ),
    ]
    return tuple(
        ComponentChange(name=name, action=action, fields=changed)
        for name, action, changed in sorted(found, key=lambda each: each[0])
    )


def _components(
    before: Mapping[Any, Any],
    after: Mapping[Any, Any],
    flat_: Callable[[Any], Mapping[str, Value]],
    comes: Action = Action.ADDED,
    goes: Action = Action.REMOVED,
) -> tuple[ComponentChange, ...]:
    actions = {
        **dict.fromkeys(after.keys() - before.keys(), comes),
        **dict.fromkeys(before.keys() - after.keys(), goes),
        **{
            name: Action.CHANGED
            for name in before.keys() & after.keys()
            if before[name] is not after[name] and before[name] != after[name]
        },
    }
    return tuple(
        ComponentChange(
            name=name,
            action=action,
            fields=differing(flat_(before[name]), flat_(after[name]))
            if action is Action.CHANGED
            else (),
        )
        for name, action in sorted(actions.items())
    )


def _flat_location(location: Location) -> Mapping[str, Value]:
    return flat(location, "")


def _job_fields(job: Job) -> dict[str, Value]:
    return {
        **flat(job.transfer, ""),
        **flat(job.source, "source.location"),
        **flat(job.destination, "destination.location"),
        **({} if job.fallback is None else flat(job.fallback, "destination.fallback.location")),
    }
