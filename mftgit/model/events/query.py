"""Which events somebody wants to see: one set of words for the command line, the API, the pages and event handlers."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cached_property
from typing import Final, TypeVar

from mftgit.errors import ConfigError
from mftgit.model.documents.schema_words import did_you_mean, show
from mftgit.model.events.event import Event, EventName
from mftgit.model.events.kinds import KINDS, Component, Group, Severity, account, component
from mftgit.model.events.text import has_words, words
from mftgit.model.names import MemberName, is_name

MAX_TEXT: Final = 200
"""How many characters a search may look for."""

MAX_VALUES: Final = 100
"""How many values one filter may be given."""

FILTERS: Final = (
    "since",
    "until",
    "member",
    "event",
    "group",
    "severity",
    "component",
    "account",
    "revision",
    "epoch",
    "text",
)
"""What may be asked for, by the names of the parameters."""

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO: Final = re.compile(r"([0-9]{1,9})([smhdw])")
_REVISION: Final = re.compile(r"[0-9a-f]{4,40}")
_EPOCH: Final = re.compile(r"[0-9]{1,18}")
_KINDS: Final = ("transfer", "service")
_E = TypeVar("_E", bound=Enum)


class QueryError(ConfigError):
    """A search that cannot be made as it was asked for."""


@dataclass(frozen=True, kw_only=True)
class EventQuery:
    """What a search asks for; a filter that is left out lets everything through, and all of them have to agree.

    An event is at ``since`` or later, by its writer's clock, and before ``until``. ``revision`` is how one begins.
    Every word of ``text`` is somewhere in the event.
    """

    since: datetime | None = None
    until: datetime | None = None
    members: frozenset[MemberName] = frozenset()
    events: frozenset[EventName] = frozenset()
    groups: frozenset[Group] = frozenset()
    least: Severity | None = None
    component: Component | None = None
    account: str | None = None
    revision: str | None = None
    epoch: int | None = None
    text: str | None = None

    def matches(self, event: Event) -> bool:
        """Tell whether ``event`` is one of those."""
        return (
            self._is_named(event)
            and (not self.span[0] or event.at >= self.span[0])
            and (not self.span[1] or event.at < self.span[1])
            and (self.component is None or component(event) == self.component)
            and (self.account is None or account(event) == self.account)
            and (not self.words or has_words(event, self.words))
        )

    def _is_named(self, event: Event) -> bool:
        return (
            (not self.members or event.member in self.members)
            and (self.names is None or event.event in self.names)
            and (self.revision is None or (event.revision or "").startswith(self.revision))
            and (self.epoch is None or event.epoch == self.epoch)
        )

    @cached_property
    def names(self) -> frozenset[EventName] | None:
        """The names that ``events``, ``groups`` and ``least`` leave; None where all are."""
        if not (self.events or self.groups or self.least):
            return None
        return frozenset(
            name
            for name, kind in KINDS.items()
            if (not self.events or name in self.events)
            and (not self.groups or kind.group in self.groups)
            and (self.least is None or kind.reaches(self.least))
        )

    @cached_property
    def span(self) -> tuple[str, str]:
        """``since`` and ``until`` as the log has them, which sorts as text; empty where there is none."""
        return _written(self.since), _written(self.until)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words of ``text``, in small letters."""
        return words(self.text or "")


def parse_query(values: Mapping[str, Sequence[str]], *, now: datetime) -> EventQuery:
    """Return what the parameters of a URL, or the options of a command, ask for.

    They are ``since until member event group severity component account revision epoch text``. Those that are left
    empty, as a form sends them, count as left out. A span of time, as in ``since=2h``, ends at ``now``. ``member``,
    ``event`` and ``group`` may come several times, or have several values with spaces or commas between them.

    Raises:
        QueryError: a filter is unknown, comes too often, or has a value that it cannot have.
    """
    given = {key: _values(key, found) for key, found in values.items()}
    for key in given:
        if key not in FILTERS:
            hint = did_you_mean(key, FILTERS) or f"expected one of {', '.join(FILTERS)}"
            raise QueryError(f"there is no filter {show(key)}: {hint}")
    query = EventQuery(
        since=_one(given, "since", lambda text: _moment(text, now)),
        until=_one(given, "until", lambda text: _moment(text, now)),
        members=frozenset(MemberName(_name(each)) for each in _some(given, "member")),
        events=frozenset(_word(EventName, each, "an event") for each in _some(given, "event")),
        groups=frozenset(_word(Group, each, "a group") for each in _some(given, "group")),
        least=_one(given, "severity", lambda text: _word(Severity, text, "a severity")),
        component=_one(given, "component", parse_component),
        account=_one(given, "account", _short),
        revision=_one(given, "revision", _revision),
        epoch=_one(given, "epoch", _epoch),
        text=_one(given, "text", _short),
    )
    if query.since and query.until and query.since >= query.until:
        raise QueryError(
            f"since ({query.span[0]}) is not before until ({query.span[1]}): nothing can be between"
        )
    return query


_MANY: Final = {"member", "event", "group"}

_T = TypeVar("_T")


def _values(key: str, found: Sequence[str]) -> list[str]:
    if key in _MANY:
        return [each for text in found for each in text.replace(",", " ").split()]
    return [each.strip() for each in found if each.strip()]


def _one(given: Mapping[str, Sequence[str]], key: str, parse: Callable[[str], _T]) -> _T | None:
    found = given.get(key, ())
    if len(found) > 1:
        raise QueryError(f"{key} was given {len(found)} times: give it once")
    return parse(found[0]) if found else None


def _some(given: Mapping[str, Sequence[str]], key: str) -> Sequence[str]:
    found = given.get(key, ())
    if len(found) > MAX_VALUES:
        raise QueryError(f"{key} was given {len(found)} times: give it {MAX_VALUES} times at most")
    return found


def parse_component(text: str) -> Component:
    """Return ``KIND/NAME`` as what an event may be about.

    Raises:
        QueryError: it is no such thing.
    """
    kind, _, name = text.partition("/")
    if kind not in _KINDS or not is_name(name):
        raise QueryError(
            f"{show(text)} is not a component: expected transfer/NAME or service/NAME, as transfer/invoices"
        )
    return Component(kind=kind, name=name)


def _moment(text: str, now: datetime) -> datetime:
    try:
        if ago := _AGO.fullmatch(text):
            return now - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise QueryError(
            f"{show(text)} is not a time: expected 2026-11-29, 2026-11-29T10:00Z (UTC where no zone is given), "
            "or how long ago, as 90s, 15m, 2h, 3d or 1w"
        ) from None


def _written(moment: datetime | None) -> str:
    if moment is None:
        return ""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _word(words: type[_E], text: str, what: str) -> _E:
    known = {each.value.lower(): each for each in words}
    if text.lower() in known:
        return known[text.lower()]
    near = did_you_mean(text, [each.value for each in words])
    hint = near or f"expected one of {', '.join(each.value for each in words)}"
    raise QueryError(f"{show(text)} is not {what}: {hint}")


def _name(text: str) -> str:
    if not is_name(text):
        raise QueryError(f"{show(text)} is not the name of a member: expected one as node-1")
    return text


def _revision(text: str) -> str:
    if not _REVISION.fullmatch(text.lower()):
        raise QueryError(
            f"{show(text)} is not a revision: expected its first 4 to 40 hexadecimal digits"
        )
    return text.lower()


def _epoch(text: str) -> int:
    if not _EPOCH.fullmatch(text):
        raise QueryError(f"{show(text)} is not an epoch: expected a whole number, as 7")
    return int(text)


def _short(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise QueryError(f"a text of {len(text)} characters is too long: {MAX_TEXT} at most")
    return text
