"""What a mail says about many events: each sort once, with how often, when, and what the last one said."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mftgit.model.event_kinds import KINDS, Severity, component
from mftgit.model.event_template import fill, fill_template
from mftgit.model.events import Event
from mftgit.model.printable import printable

MOST_SORTS: Final = 200
"""So many sorts of events stand in one mail; the others are counted."""

MOST_MEMBERS: Final = 10
MOST_SORT: Final = 120
_FACTS: Final = "{facts}"


def sort_of(event: Event) -> str:
    """Return what events have in common that are told as one: what happened, and to which component or member."""
    about = component(event)
    words = f"{event.event.value} {about if about is not None else f'on {event.member}'}"
    return printable(words)[:MOST_SORT]


@dataclass(slots=True, kw_only=True)
class _Told:
    severity: Severity
    first: Event
    last: Event
    count: int = 0
    members: dict[str, None] = field(default_factory=dict)


class Digest:
    """Events by sort, in bounded room. One thread."""

    def __init__(self) -> None:
        """Nothing was added yet."""
        self._sorts: dict[str, _Told] = {}
        self._others = 0
        self.count = 0

    @property
    def sorts(self) -> tuple[str, ...]:
        """Return the sorts that it tells of."""
        return tuple(self._sorts)

    def add(self, event: Event) -> None:
        """Add an event, which comes after all before it."""
        self.count += 1
        sort = sort_of(event)
        told = self._sorts.get(sort)
        if told is None:
            if len(self._sorts) >= MOST_SORTS:
                self._others += 1
                return
            severity = KINDS[event.event].severity
            told = self._sorts[sort] = _Told(severity=severity, first=event, last=event)
        told.count += 1
        told.last = event
        if len(told.members) <= MOST_MEMBERS:
            told.members[event.member] = None

    def summary(self) -> str:
        """Return the worst of it in a few words."""
        first, *more = self._worst_first()
        words = f"{first[1].severity.value}: {_counted(first[1].count)}{first[0]}"
        left = self.count - first[1].count
        return words if not more else f"{words}, and {left} more"

    def text(self, cluster: str) -> str:
        """Return the mail's text: lines of plain text, whatever stands in the events."""
        lines = [f"{self.count} event{'s' if self.count > 1 else ''} of the cluster {cluster}", ""]
        for sort, told in self._worst_first():
            lines += [f"{told.severity.value}: {_counted(told.count)}{sort}", *_details(told), ""]
        if self._others:
            lines += [f"and {self._others} more of other sorts: mftgit events shows them", ""]
        return "\n".join(lines)

    def _worst_first(self) -> list[tuple[str, _Told]]:
        return sorted(self._sorts.items(), key=lambda each: (each[1].severity.code, -each[1].count))


def fill_subject(template: str, values: Mapping[str, object]) -> str:
    """Return a subject with ``values`` in the place of its fields: one line."""
    return fill(template, lambda name, _: values[name])


def _counted(count: int) -> str:
    return "" if count == 1 else f"{count} x "


def _details(told: _Told) -> list[str]:
    members = list(told.members)
    shown = ", ".join(members[:MOST_MEMBERS]) + (", …" if len(members) > MOST_MEMBERS else "")
    when = told.last.at if told.count == 1 else f"first {told.first.at}, last {told.last.at}"
    facts = fill_template(_FACTS, told.last)
    return [
        f"  {when}, on {shown}",
        *([f"  {facts}"] if facts else []),
        f"  event {told.last.member}/{told.last.seq}",
    ]
