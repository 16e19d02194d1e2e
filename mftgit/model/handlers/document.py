"""Make event handlers from their documents."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from mftgit.model.configuration.build import build_active_on
from mftgit.model.documents.given import Value, given
from mftgit.model.events.kinds import Severity
from mftgit.model.handlers.handler import (
    AnyEventHandler,
    CommandHandler,
    EmailHandler,
    EventFilter,
    Every,
    FileHandler,
    MailTls,
    SyslogHandler,
    WebhookHandler,
)
from mftgit.model.locations.login import SecretRef
from mftgit.model.locations.tls import build_tls_auth
from mftgit.model.names import EventHandlerName, SecretName

_LISTS: Final = ("events", "groups", "components", "members", "accounts")


def build_event_handler(name: EventHandlerName, value: Value) -> AnyEventHandler:
    """Return what ``event-handlers/NAME.yaml`` says, once its templates are replaced."""
    common = {
        "name": name,
        **given(value, include=_filter, exclude=_filter, active_on=build_active_on),
    }
    return _BUILD[value["type"]](common, value)


def _filter(value: Value) -> EventFilter:
    return EventFilter(**given(value, least=Severity, **dict.fromkeys(_LISTS, tuple)))


def _file(common: dict[str, Any], value: Value) -> FileHandler:
    rotate = given(value.get("rotate", {}), max_bytes=int, every=Every, keep=int)
    return FileHandler(**common, path=value["path"], **given(value, template=str), **rotate)


def _syslog(common: dict[str, Any], value: Value) -> SyslogHandler:
    return SyslogHandler(
        **common,
        host=value["host"],
        port=value["port"],
        auth=build_tls_auth(value.get("auth", {})),
        **given(value, tls=bool, ca=str, facility=str, template=str, timeout_s=float),
    )


def _webhook(common: dict[str, Any], value: Value) -> WebhookHandler:
    return WebhookHandler(
        **common,
        url=value["url"],
        **given(value, ca=str, signing_secret=_kept, token=_kept, text=str, timeout_s=float),
    )


def _email(common: dict[str, Any], value: Value) -> EmailHandler:
    return EmailHandler(
        **common,
        host=value["host"],
        port=value["port"],
        sender=value["from"],
        to=tuple(value["to"]),
        **given(value, tls=MailTls, ca=str, username=str, password=_kept, timeout_s=float),
        **given(value, subject=str, settle_s=float, digest_s=float, at_most_per_hour=int),
    )


def _command(common: dict[str, Any], value: Value) -> CommandHandler:
    return CommandHandler(
        **common, program=value["program"], **given(value, arguments=tuple, timeout_s=float)
    )


def _kept(value: Value) -> SecretRef:
    return SecretRef(**given(value, file=str, secret=SecretName))


_BUILD: Final[Mapping[str, Callable[[dict[str, Any], Value], AnyEventHandler]]] = {
    FileHandler.KIND: _file,
    SyslogHandler.KIND: _syslog,
    WebhookHandler.KIND: _webhook,
    EmailHandler.KIND: _email,
    CommandHandler.KIND: _command,
}
