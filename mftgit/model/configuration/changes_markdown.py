"""What a revision changes, as the body of a comment on a pull request."""

from collections.abc import Iterable, Iterator

from mftgit.model.configuration.changes import ComponentChange, MemberChange, Presence
from mftgit.model.configuration.flat import FieldChange, Value
from mftgit.model.documents.problem import Problem
from mftgit.model.revisions.markdown import body, code

_PRESENCES = {
    Presence.STAYS: "",
    Presence.COMES: " comes",
    Presence.GOES: " goes: without its document it is an ordinary node, until `mftgit member remove`",
    Presence.UNDECLARED: " has no document: an ordinary node",
}


def changes_markdown(before: str, after: str, changes: Iterable[MemberChange]) -> str:
    """Return what changes on which member; bounded, and safe whatever names and values say."""
    return body(_lines(before, after, list(changes)))


def _lines(before: str, after: str, changes: list[MemberChange]) -> Iterator[str]:
    yield f"**What changes**, from {code(before)} to {code(after)}:"
    touched = [each for each in changes if each]
    for change in touched:
        yield ""
        yield f"#### {code(change.member)}{_PRESENCES[change.presence]}"
        yield ""
        yield from _member(change)
    still = [each.member for each in changes if not each]
    if still:
        yield ""
        yield f"Nothing changes on {', '.join(code(name) for name in still)}."
    if not changes:
        yield ""
        yield "No member has a document."


def _member(change: MemberChange) -> Iterator[str]:
    for problem in change.problems:
        yield f"- **would refuse it**: {problem_line(problem)}"
    for field in change.settings:
        yield f"- {_field(field)}"
    for kind, components in (
        ("transfer", change.transfers),
        ("location", change.locations),
        ("service", change.services),
        ("account", change.accounts),
        ("event handler", change.event_handlers),
    ):
        for component in components:
            yield from _component(kind, component)


def _component(kind: str, change: ComponentChange) -> Iterator[str]:
    yield f"- {kind} {code(change.name)} **{change.action.value}**"
    for field in change.fields:
        yield f"  - {_field(field)}"


def _field(change: FieldChange) -> str:
    return f"{code(change.field)}: {_value(change.before)} → {_value(change.after)}"


def _value(value: Value) -> str:
    return "(none)" if value is None else code(shown(value))


def shown(value: Value) -> str:
    """Return the value of a field as people read it."""
    if value is None:
        return "(none)"
    if isinstance(value, tuple):
        return f"[{', '.join(value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value) or '""'


def problem_line(problem: Problem) -> str:
    """Return ``problem`` as one line of Markdown."""
    where = problem.file + (f":{problem.line}:{problem.column}" if problem.line else "")
    pointer = f" at {code(problem.pointer)}" if problem.pointer else ""
    hint = f" — {code(problem.hint)}" if problem.hint else ""
    return f"{code(where)}{pointer}: {code(problem.message)} ({code(problem.rule)}){hint}"
