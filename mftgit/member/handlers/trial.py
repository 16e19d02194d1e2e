"""Try an event handler, step by step, with an event that tells of nothing but this."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from mftgit.adapters.clock import Clock, rfc3339
from mftgit.adapters.handlers.dialled import Dialled
from mftgit.errors import MftgitError
from mftgit.member.handlers.opening import Surroundings, open_mailer, open_target, server_of
from mftgit.member.handlers.work import digest_mail
from mftgit.model.events.event import Event, EventName
from mftgit.model.handlers.handler import (
    AnyEventHandler,
    EmailHandler,
    MailTls,
    SyslogHandler,
    WebhookHandler,
)
from mftgit.model.handlers.mail_digest import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: how long it took and, where it failed, why."""

    step: str
    ms: float
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Tell whether it went well."""
        return self.error is None

    def as_json(self) -> dict[str, Any]:
        """Return the shape that ``event-handler test --json`` documents."""
        return {**asdict(self), "ms": round(self.ms, 1), "ok": self.ok}


Tell = Callable[[Step], None]
Secrets = Callable[[], Surroundings]
"""Gives where the handler works; raises ConfigError where a secret cannot be read."""


def trial_event(handler: AnyEventHandler, around: Surroundings, *, by: str) -> Event:
    """Return an event for a trial; its number is that of the moment, so that no receiver takes it for one it had."""
    now = around.clock.now()
    return Event(
        member=around.member,
        seq=int(now.timestamp() * 1000),
        at=rfc3339(now),
        event=EventName.EVENT_HANDLER_TESTED,
        facts={"event_handler": handler.name, "by": by},
    )


def try_handler(
    handler: AnyEventHandler, surroundings: Secrets, *, by: str, clock: Clock, tell: Tell
) -> None:
    """Bring one event to where ``handler`` brings them, whatever it includes, and tell each step."""
    trial = _Trial(_steps(handler), clock, tell)
    try:
        around = surroundings()
        event = trial_event(handler, around, by=by)
        if isinstance(handler, EmailHandler):
            _try_mail(handler, around, event, trial)
            return
        target = open_target(handler, around)
        try:
            trial.passed()
            if isinstance(handler, SyslogHandler | WebhookHandler):
                host, port, context = server_of(handler, around)
                Dialled(
                    host, port, context=context, timeout_s=handler.timeout_s, clock=clock
                ).close()
                trial.passed()
            target.send([event])
            trial.passed()
        finally:
            target.close()
    except MftgitError as error:
        trial.failed(error)


def _try_mail(handler: EmailHandler, around: Surroundings, event: Event, trial: "_Trial") -> None:
    digest = Digest()
    digest.add(event)
    mail = digest_mail(digest, handler, cluster=around.cluster)
    mailer = open_mailer(handler, around)
    trial.passed()
    mailer.send(mail, trial.passed)


def _steps(handler: AnyEventHandler) -> Iterator[str]:
    yield "prepare"
    if isinstance(handler, SyslogHandler | WebhookHandler | EmailHandler):
        yield "connect"
    if isinstance(handler, EmailHandler):
        if handler.tls is MailTls.STARTTLS:
            yield "start TLS"
        if handler.username is not None:
            yield "log in"
    yield "hand over"


class _Trial:
    """Times the steps of a trial, which come in their order."""

    def __init__(self, steps: Iterator[str], clock: Clock, tell: Tell) -> None:
        self._steps = list(steps)
        self._clock = clock
        self._tell = tell
        self._begun = clock.boottime()

    def passed(self, _step: str = "") -> None:
        """Tell that the step at hand went well; the next one begins."""
        self._tell(self._now())
        self._steps.pop(0)
        self._begun = self._clock.boottime()

    def failed(self, error: MftgitError) -> None:
        """Tell why the step at hand failed."""
        self._tell(replace(self._now(), error=str(error)))

    def _now(self) -> Step:
        return Step(step=self._steps[0], ms=(self._clock.boottime() - self._begun) * 1000)
