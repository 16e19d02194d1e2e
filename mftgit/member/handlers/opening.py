"""Make what an event handler works with: everything that can fail before the first event is handled."""

import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from mftgit.adapters.clock import Clock
from mftgit.adapters.command import require_program
from mftgit.adapters.handlers.event_file import EventFile, place_of
from mftgit.adapters.handlers.program import Program
from mftgit.adapters.handlers.smtp import Mailer
from mftgit.adapters.handlers.syslog import Syslog
from mftgit.adapters.handlers.target import Target
from mftgit.adapters.handlers.webhook import Message, Webhook
from mftgit.adapters.location_secrets import SecretsHere, name_of
from mftgit.adapters.state_folder import StateFolder
from mftgit.adapters.tls.client import client_context, show_certificate
from mftgit.errors import ConfigError
from mftgit.member.handlers.work import Mails, Pieces, Work
from mftgit.model.events.bounds import bounded
from mftgit.model.events.event import Event
from mftgit.model.events.kinds import KINDS, component
from mftgit.model.events.template import event_id, fill_template
from mftgit.model.handlers.handler import (
    AnyEventHandler,
    CommandHandler,
    EmailHandler,
    FileHandler,
    SyslogHandler,
    WebhookHandler,
)
from mftgit.model.handlers.syslog_message import syslog_frame
from mftgit.model.handlers.webhook_message import read_signing_key, webhook_body, webhook_headers
from mftgit.model.locations.login import SecretRef
from mftgit.model.names import MemberName
from mftgit.model.printable import json_line

WORKERS: Final = 4
"""So many components' events are posted at once: one that hangs does not keep the others."""

MOST_IN_PROGRAM_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where a handler works: on which member of which cluster, with which files and secrets."""

    folder: StateFolder
    cluster: str
    member: MemberName
    secrets: SecretsHere
    clock: Clock


def open_work(handler: AnyEventHandler, around: Surroundings) -> Work:
    """Return what handles events as ``handler`` says; nobody is called upon yet.

    Raises:
        ConfigError: it cannot work on this machine as it is: a secret, a program or a folder is missing or wrong.
    """
    if isinstance(handler, EmailHandler):
        return Mails(
            handler, open_mailer(handler, around), cluster=around.cluster, clock=around.clock
        )
    target = open_target(handler, around)
    return Pieces(target, workers=WORKERS if handler.KEYED else 1)


def open_target(
    handler: FileHandler | SyslogHandler | WebhookHandler | CommandHandler, around: Surroundings
) -> Target:
    """Return where events go that are handed over one by one; raises ConfigError as `open_work`."""
    match handler:
        case FileHandler():
            return _open_file(handler, around)
        case SyslogHandler():
            return _open_syslog(handler, around)
        case WebhookHandler():
            return _open_webhook(handler, around)
        case CommandHandler():
            return _open_program(handler, around)


def open_mailer(handler: EmailHandler, around: Surroundings) -> Mailer:
    """Return what sends the mails of ``handler``; raises ConfigError as `open_work`."""
    return Mailer(
        handler,
        context=client_context(_document(handler), ca=handler.ca, fingerprints=()),
        password=_password(handler.password, around),
        clock=around.clock,
    )


def server_of(
    handler: SyslogHandler | WebhookHandler, around: Surroundings
) -> tuple[str, int, ssl.SSLContext | None]:
    """Return host, port and settings of TLS of the server of ``handler``; raises ConfigError as `open_work`."""
    if isinstance(handler, WebhookHandler):
        parts = urlsplit(handler.url)
        secure = parts.scheme == "https"
        host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    else:
        secure, host, port = handler.tls, handler.host, handler.port
    if not secure:
        return host, port, None
    context = client_context(_document(handler), ca=handler.ca, fingerprints=())
    if isinstance(handler, SyslogHandler):
        secrets = around.secrets
        show_certificate(context, handler.auth, secrets_dir=secrets.folder, values=secrets.values)
    return host, port, context


def _open_file(handler: FileHandler, around: Surroundings) -> Target:
    template = handler.template

    def line(event: Event) -> str:
        return json_line(event.as_json()) if template is None else fill_template(template, event)

    path = place_of(handler, logs=around.folder.logs, state=around.folder.root)
    return EventFile(handler, path, line=line, clock=around.clock)


def _open_syslog(handler: SyslogHandler, around: Surroundings) -> Target:
    def frame(event: Event) -> bytes:
        return syslog_frame(
            event, facility=handler.facility, cluster=around.cluster, template=handler.template
        )

    host, port, context = server_of(handler, around)
    return Syslog(
        host,
        port,
        context=context,
        timeout_s=handler.timeout_s,
        frame=frame,
        clock=around.clock,
    )


def _open_webhook(handler: WebhookHandler, around: Surroundings) -> Target:
    key = _signing_key(handler.signing_secret, around)
    token = _password(handler.token, around)
    if token is not None and not (token.isascii() and token.isprintable()):
        raise ConfigError("the token has characters that no header of HTTP takes")

    def message(event: Event) -> Message:
        body = webhook_body(event, cluster=around.cluster, text=handler.text)
        sent_at_s = int(around.clock.now().timestamp())
        return body, webhook_headers(event, body, sent_at_s=sent_at_s, key=key, token=token)

    _, _, context = server_of(handler, around)
    return Webhook(
        handler.url,
        context=context,
        timeout_s=handler.timeout_s,
        message=message,
        clock=around.clock,
    )


def _open_program(handler: CommandHandler, around: Surroundings) -> Target:
    require_program(around.folder.commands, handler.program)

    def facts(event: Event) -> dict[str, str]:
        told = {
            "member": around.member,
            "cluster": around.cluster,
            "event_handler": handler.name,
            "event": event.event.value,
            "event_id": event_id(event),
            "severity": KINDS[event.event].severity.value,
            "component": component(event) or "",
        }
        return {f"MFTGIT_{name.upper()}": str(value) for name, value in told.items()}

    return Program(
        handler,
        folder=around.folder.commands,
        given=lambda event: (
            json_line(bounded(event, MOST_IN_PROGRAM_BYTES).as_json()) + "\n"
        ).encode(),
        facts=facts,
        clock=around.clock,
    )


def _password(kept: SecretRef | None, around: Surroundings) -> str | None:
    return None if kept is None else around.secrets.password(kept)


def _signing_key(kept: SecretRef | None, around: Surroundings) -> bytes | None:
    text = _password(kept, around)
    if kept is None or text is None:
        return None
    try:
        return read_signing_key(text)
    except ValueError as error:
        raise ConfigError(f"{name_of(kept)} is no key to sign with: {error}") from None


def _document(handler: AnyEventHandler) -> str:
    return f"event-handlers/{handler.name}.yaml"
