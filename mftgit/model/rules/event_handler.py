"""Rules of one event handler by itself that no schema can express."""

import ipaddress
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from mftgit.model.documents.fault import Fault
from mftgit.model.documents.schema_words import did_you_mean, show
from mftgit.model.events.event import EventName
from mftgit.model.events.kinds import Group
from mftgit.model.events.template import FIELDS, wrong_template
from mftgit.model.handlers.handler import (
    AnyEventHandler,
    EmailHandler,
    EventFilter,
    FileHandler,
    MailTls,
    SyslogHandler,
    WebhookHandler,
)
from mftgit.model.locations.tls import check_tls

_EVENTS: Final = frozenset(each.value for each in EventName)
_GROUPS: Final = frozenset(each.value for each in Group)
SUBJECT_FIELDS: Final = ("cluster", "handler", "summary", "count")


def check_event_handler(handler: AnyEventHandler) -> Iterator[Fault]:
    """Give what is wrong with ``handler`` by itself."""
    yield from _check_filter(handler.include, "/include")
    if handler.exclude is not None:
        yield from _check_filter(handler.exclude, "/exclude")
    if isinstance(handler, FileHandler):
        yield from _check_template(handler.template, "/template")
        yield from _check_path(handler.path)
    elif isinstance(handler, SyslogHandler):
        yield from _check_template(handler.template, "/template")
        yield from check_tls(handler.auth, ca=handler.ca, fingerprints=())
        yield from _check_plain_syslog(handler)
    elif isinstance(handler, WebhookHandler):
        yield from _check_template(handler.text, "/text")
        yield from _check_url(handler.url)
    elif isinstance(handler, EmailHandler):
        yield from _check_template(handler.subject, "/subject", SUBJECT_FIELDS)
        yield from _check_login(handler)


def is_loopback(host: str) -> bool:
    """Tell whether ``host`` is this machine, so that nobody in between can listen."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_filter(named: EventFilter, at: str) -> Iterator[Fault]:
    for what, words, known in (
        ("event", named.events, _EVENTS),
        ("group", named.groups, _GROUPS),
    ):
        for index, word in enumerate(words):
            if word not in known:
                yield Fault(
                    pointer=f"{at}/{what}s/{index}",
                    rule="choice",
                    message=f"there is no {what} {show(word)}",
                    hint=did_you_mean(word, known) or f"known are {', '.join(sorted(known))}",
                )


def _check_template(
    template: str | None, pointer: str, fields: tuple[str, ...] = FIELDS
) -> Iterator[Fault]:
    wrong = None if template is None else wrong_template(template, fields)
    if wrong is not None:
        yield Fault(
            pointer=pointer,
            rule="template",
            message=f"the template {wrong}",
            hint="see docs/how-to/events.md: Templates",
        )


def _check_path(path: str) -> Iterator[Fault]:
    if ".." in PurePosixPath(path).parts or path.endswith("/"):
        yield Fault(
            pointer="/path",
            rule="path",
            message="this is no path of a file, or leads out of its folder by ..",
            hint="name a file in the logs folder of the member, or write the whole path",
        )


def _check_plain_syslog(handler: SyslogHandler) -> Iterator[Fault]:
    if not handler.tls and (handler.ca is not None or handler.auth.certificate is not None):
        yield Fault(
            pointer="/tls",
            rule="login",
            message="without TLS no certificate is shown or checked",
            hint="say tls: true, or remove ca and auth",
        )


def _check_url(url: str) -> Iterator[Fault]:
    wrong = _wrong_url(url)
    if wrong is not None:
        yield Fault(
            pointer="/url",
            rule="address",
            message=wrong,
            hint="write https://host/path; http:// goes to this machine alone, as http://127.0.0.1:8080/",
        )


def _wrong_url(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "this is no address of HTTP"
    if parts.username is not None or parts.password is not None:
        return "a name and password do not belong into an address: whoever reads the repository knows them now"
    if not host or parts.fragment or not url.isascii() or not url.isprintable() or " " in url:
        return "this is no address of HTTP"
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        return "events would go over the network for everybody to read"
    return None


def _check_login(handler: EmailHandler) -> Iterator[Fault]:
    if (handler.username is None) != (handler.password is None):
        yield Fault(
            pointer="/password" if handler.username is None else "/username",
            rule="login",
            message="a username and its password belong together",
            hint="have both of them, or neither",
        )
    if handler.tls is MailTls.NONE and not is_loopback(handler.host):
        yield Fault(
            pointer="/tls",
            rule="login",
            message="mails would go over the network for everybody to read",
            hint="use starttls or implicit; none goes with a server on this machine, as 127.0.0.1",
        )
