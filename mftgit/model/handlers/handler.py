"""``event-handlers/NAME.yaml``: which events go where, out of the cluster to people and their systems."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import ClassVar, Final

from mftgit.model.configuration.config import ActiveOn, Role
from mftgit.model.events.event import Event
from mftgit.model.events.kinds import KINDS, Severity, account, component
from mftgit.model.locations.login import SecretRef
from mftgit.model.locations.tls import TlsAuth
from mftgit.model.names import EventHandlerName, SecretName

ON_CONTROLLER: Final = ActiveOn(roles=frozenset({Role.CONTROLLER}))
"""Where a handler is active whose document says nothing of it."""

ONE_LANE: Final = ""
"""The lane of everything, where all events go one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events are meant: those that fit every field that is set, and one word of each list.

    ``components`` are written as ``transfer/NAME``, or ``transfer/*`` for each of that kind. An event that is about no
    component, or no account, does not fit where some are named.
    """

    events: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    least: Severity | None = None
    components: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()

    def fits(self, event: Event) -> bool:
        """Tell whether ``event`` is meant."""
        kind = KINDS[event.event]
        return (
            (not self.events or event.event.value in self.events)
            and (not self.groups or kind.group.value in self.groups)
            and (self.least is None or kind.reaches(self.least))
            and (not self.members or event.member in self.members)
            and (not self.accounts or account(event) in self.accounts)
            and (not self.components or self._is_about_one(event))
        )

    def _is_about_one(self, event: Event) -> bool:
        about = component(event)
        return about is not None and not {str(about), f"{about.kind}/*"}.isdisjoint(self.components)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventHandler(ABC):
    """What is done with each event that fits ``include``, unless it fits ``exclude``.

    ``active_on`` is where it is active: there it handles the member's own events, and on the controller those of each
    member besides on which it is not active.
    """

    KIND: ClassVar[str]
    """What ``type`` is in its document."""

    KEYED: ClassVar[bool] = False
    """Whether events of one component do not wait for those of another."""

    name: EventHandlerName
    include: EventFilter = field(default_factory=EventFilter)
    exclude: EventFilter | None = None
    active_on: ActiveOn = ON_CONTROLLER

    def wants(self, event: Event) -> bool:
        """Tell whether ``event`` is for this handler. What is about the handler itself never is."""
        about = component(event)
        if about is not None and (about.kind, about.name) == ("event-handler", self.name):
            return False
        return self.include.fits(event) and not (self.exclude and self.exclude.fits(event))

    def lane(self, event: Event) -> str:
        """Return after which events ``event`` has to come: those of its lane."""
        if not self.KEYED:
            return ONE_LANE
        about = component(event)
        return f"member/{event.member}" if about is None else str(about)

    @abstractmethod
    def secrets(self) -> Iterator[tuple[str, SecretName]]:
        """Give pointer and name of every document in ``secrets/`` that it needs."""


@unique
class Every(Enum):
    """How often another file is begun, by the clock in UTC."""

    HOUR = "hour"
    DAY = "day"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHandler(EventHandler):
    """Appends a line to a file: the event as JSON, or by ``template``.

    ``path`` begins in the member's ``logs`` folder. Another file is begun above ``max_bytes``, and by the clock; the
    last ``keep`` ones before it are kept.
    """

    KIND: ClassVar[str] = "file"

    path: str
    template: str | None = None
    max_bytes: int = 104_857_600
    every: Every | None = None
    keep: int = 10

    def secrets(self) -> Iterator[tuple[str, SecretName]]:
        """See `EventHandler.secrets`."""
        return iter(())


@dataclass(frozen=True, slots=True, kw_only=True)
class SyslogHandler(EventHandler):
    """Sends each event to a syslog server, by TCP or by TLS. ``auth`` is the certificate that is shown there."""

    KIND: ClassVar[str] = "syslog"

    host: str
    port: int
    tls: bool = True
    ca: str | None = None
    auth: TlsAuth = field(default_factory=TlsAuth)
    facility: str = "daemon"
    template: str | None = None
    timeout_s: float = 10.0

    def secrets(self) -> Iterator[tuple[str, SecretName]]:
        """See `EventHandler.secrets`."""
        return self.auth.secrets()


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookHandler(EventHandler):
    """Posts each event to an address of HTTPS, signed with ``signing_secret``, where there is one.

    With ``text`` what is posted is ``{"text": …}`` alone, as chats take it.
    """

    KIND: ClassVar[str] = "webhook"
    KEYED: ClassVar[bool] = True

    url: str
    ca: str | None = None
    signing_secret: SecretRef | None = None
    token: SecretRef | None = None
    text: str | None = None
    timeout_s: float = 10.0

    def secrets(self) -> Iterator[tuple[str, SecretName]]:
        """See `EventHandler.secrets`."""
        return _secrets(signing_secret=self.signing_secret, token=self.token)


@unique
class MailTls(Enum):
    """How a mail server is spoken to in private. NONE: not at all, which a server on this machine alone may be."""

    STARTTLS = "starttls"
    IMPLICIT = "implicit"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailHandler(EventHandler):
    """Tells by mail: of what is new after ``settle_s``, and of more of the same once in ``digest_s``.

    No more than ``at_most_per_hour`` mails are sent; what comes meanwhile stands in the next one.
    """

    KIND: ClassVar[str] = "email"

    host: str
    port: int
    sender: str
    to: tuple[str, ...]
    tls: MailTls = MailTls.STARTTLS
    ca: str | None = None
    username: str | None = None
    password: SecretRef | None = None
    subject: str = "[{cluster}] {summary}"
    settle_s: float = 10.0
    digest_s: float = 900.0
    at_most_per_hour: int = 12
    timeout_s: float = 30.0

    def secrets(self) -> Iterator[tuple[str, SecretName]]:
        """See `EventHandler.secrets`."""
        return _secrets(password=self.password)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandHandler(EventHandler):
    """Runs a program out of the member's ``commands`` folder for each event, which it reads as JSON."""

    KIND: ClassVar[str] = "command"

    program: str
    arguments: tuple[str, ...] = ()
    timeout_s: float = 60.0

    def secrets(self) -> Iterator[tuple[str, SecretName]]:
        """See `EventHandler.secrets`."""
        return iter(())


AnyEventHandler = FileHandler | SyslogHandler | WebhookHandler | EmailHandler | CommandHandler
"""An event handler as its document says it."""


def _secrets(**places: SecretRef | None) -> Iterator[tuple[str, SecretName]]:
    for key, kept in places.items():
        if kept is not None and kept.secret is not None:
            yield f"/{key}/secret", kept.secret
