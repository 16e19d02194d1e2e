"""What a mail says about many events: each sort once, with how often, when, and what the last one said."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from mftgit.model.events.event import Event
from mftgit.model.events.kinds import KINDS, Severity, component, location
from mftgit.model.events.template import fill, fill_template
from mftgit.model.printable import printable

MOST_SORTS: Final = 200
"""So many sorts of events stand in one mail; the others are counted."""

MOST_MEMBERS: Final = 10
MOST_COMPONENTS: Final = 100
MOST_SORT: Final = 120
_FACTS: Final = "{facts}"


def sort_of(event: Event) -> str:
    """Return what events that are told as one have in common: what happened, and to which location or component.

    A location goes before the component: it is one partner that is away, however many transfers go there.
    """
    about = location(event) or component(event)
    return _cut(f"{event.event.value} {about if about is not None else f'on {event.member}'}")


@dataclass(slots=True, kw_only=True)
class _Told:
    severity: Severity
    first: Event
    last: Event
    count: int = 0
    members: dict[str, None] = field(default_factory=dict)
    components: Counter[str] = field(default_factory=Counter)

    def add(self, event: Event) -> None:
        """Add an event of the sort."""
        self.count += 1
        self.last = event
        if len(self.members) <= MOST_MEMBERS:
            self.members[event.member] = None
        about = component(event)
        if location(event) is None or about is None:
            return  # the sort names the component, or there is none
        name = _cut(str(about))
        if name in self.components or len(self.components) <= MOST_COMPONENTS:
            self.components[name] += 1


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
        told.add(event)

    def summary(self) -> str:
        """Return the worst of it in a few words."""
        first, *more = self._worst_first()
        words = _head(*first)
        left = self.count - first[1].count
        return words if not more else f"{words}, and {left} more"

    def text(self, cluster: str) -> str:
        """Return the mail's text: lines of plain text, whatever stands in the events."""
        lines = [f"{self.count} event{'s' if self.count > 1 else ''} of the cluster {cluster}", ""]
        for sort, told in self._worst_first():
            lines += [_head(sort, told), *_details(told), ""]
        if self._others:
            lines += [f"and {self._others} more of other sorts: mftgit events shows them", ""]
        return "\n".join(lines)

    def _worst_first(self) -> list[tuple[str, _Told]]:
        return sorted(self._sorts.items(), key=lambda each: (each[1].severity.code, -each[1].count))


def fill_subject(template: str, values: Mapping[str, object]) -> str:
    """Return a subject with ``values`` in the place of its fields: one line."""
    return fill(template, lambda name, _: values[name])


def _head(sort: str, told: _Told) -> str:
    often = "" if told.count == 1 else f"{told.count} x "
    (about, *more) = told.components or ("",)
    of = f" ({about})" if about and not more else ""
    return f"{told.severity.value}: {often}{sort}{of}"


def _details(told: _Told) -> list[str]:
    shown = _some(told.members, MOST_MEMBERS)
    when = told.last.at if told.count == 1 else f"first {told.first.at}, last {told.last.at}"
    facts = fill_template(_FACTS, told.last)
    return [
        f"  {when}, on {shown}",
        *_components(told),
        *([f"  {facts}"] if facts else []),
        f"  event {told.last.member}/{told.last.seq}",
    ]


def _components(told: _Told) -> Iterator[str]:
    """Give the line that says what the events of a location are about, unless the head does."""
    if len(told.components) > 1:
        counted = [f"{name} ({count})" for name, count in told.components.most_common()]
        yield f"  {_some(counted, MOST_COMPONENTS)}"


def _some(names: Collection[str], most: int) -> str:
    return ", ".join(list(names)[:most]) + (", …" if len(names) > most else "")


def _cut(words: str) -> str:
    return printable(words)[:MOST_SORT]
