"""Tell in lines of text what a change means for each member."""

from collections.abc import Callable, Iterable, Iterator

from mftgit.model.configuration.changes import Action, ComponentChange, MemberChange, Presence
from mftgit.model.configuration.changes_markdown import shown
from mftgit.model.configuration.flat import FieldChange
from mftgit.model.documents.problem import format_problem
from mftgit.model.printable import printable

_PRESENCES = {
    Presence.STAYS: "",
    Presence.COMES: " comes",
    Presence.GOES: " goes: without its document it is an ordinary node, until `mftgit member remove`",
    Presence.UNDECLARED: " has no document: an ordinary node",
}


def change_lines(
    changes: Iterable[MemberChange],
    *,
    bold: Callable[[str], str] = str,
    paint: Callable[[Action], str] = lambda action: action.value,
) -> Iterator[str]:
    """Give the lines that tell ``changes``; ``bold`` and ``paint`` may colour them."""
    for change in changes:
        title = f"{change.member}{_PRESENCES[change.presence]}"
        yield bold(title) if change else f"{title}: nothing changes"
        for each in change.settings:
            yield f"  {field_line(each)}"
        for kind, components in components_of(change):
            for component in components:
                yield f"  {kind} {component.name} {paint(component.action)}"
                yield from (f"    {field_line(each)}" for each in component.fields)
        for problem in change.problems:
            text = format_problem(problem).replace("\n ", "")
            yield f"  would refuse it: {printable(text)}"


def components_of(change: MemberChange) -> Iterator[tuple[str, tuple[ComponentChange, ...]]]:
    """Give the components that change, by kind."""
    yield "transfer", change.transfers
    yield "location", change.locations
    yield "service", change.services
    yield "account", change.accounts
    yield "event handler", change.event_handlers


def restarts(change: MemberChange) -> tuple[str, ...]:
    """Return what is stopped and started again on the member, as ``service sftp-in``; the rest goes on undisturbed."""
    return tuple(
        f"{kind} {each.name}"
        for kind, components in (("service", change.services), ("transfer", change.transfers))
        for each in components
        if each.action is Action.CHANGED
    )


def field_line(change: FieldChange) -> str:
    """Return one field, before and after."""
    return printable(f"{change.field}: {shown(change.before)} -> {shown(change.after)}")
