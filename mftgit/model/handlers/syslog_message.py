"""An event as a message of syslog (RFC 5424), in the frame that TCP and TLS need (RFC 6587, 3.4.1; RFC 5425, 4.3)."""

import re
from collections.abc import Iterator
from typing import Final

from mftgit.model.events.event import Event
from mftgit.model.events.kinds import KINDS, component
from mftgit.model.events.template import PLAIN, event_id, fill_template
from mftgit.model.printable import json_line, printable

FACILITIES: Final = {
    name: code
    for code, name in enumerate(
        (
            "kern",
            "user",
            "mail",
            "daemon",
            "auth",
            "syslog",
            "lpr",
            "news",
            "uucp",
            "cron",
            "authpriv",
            "ftp",
        )
    )
} | {f"local{number}": 16 + number for number in range(8)}
"""RFC 5424, 6.2.1."""

MOST_BYTES: Final = 8192
"""So long a message is at the most: what receivers should take over TLS (RFC 5425, 4.3.1)."""

_ENTERPRISE: Final = 32473  # for examples and for who has none (RFC 5612)
_MOST_VALUE: Final = 500
_MOST_NAME: Final = 32
_BOM: Final = b"\xef\xbb\xbf"
_NOT_IN_NAME: Final = re.compile(r'[^!-~]|[="\]]')


def syslog_frame(event: Event, *, facility: str, cluster: str, template: str | None) -> bytes:
    """Return ``event`` as one message with its length before it. Nothing in the event can begin another message."""
    priority = FACILITIES[facility] * 8 + KINDS[event.event].severity.code
    head = f"<{priority}>1 {event.at} {event.member} mftgit - {event.event.value}".encode()
    text = fill_template(template or PLAIN, event).encode(errors="backslashreplace")
    if not text.isascii():
        text = _BOM + text
    data = _data(event, cluster, MOST_BYTES - len(head) - min(len(text), _MOST_VALUE) - 2)
    message = b" ".join((head, data, text))[:MOST_BYTES]
    whole = message.decode(errors="ignore").encode()  # a character that was cut is left out
    return b"%d %s" % (len(whole), whole)


def _data(event: Event, cluster: str, most_bytes: int) -> bytes:
    """Return the structured data: what always is told, and the facts as far as they have room."""
    data = f"[mftgit@{_ENTERPRISE}".encode()
    for name, value in _parameters(event, cluster):
        more = f' {name}="{value}"'.encode(errors="backslashreplace")
        if len(data) + len(more) < most_bytes:
            data += more
    return data + b"]"


def _parameters(event: Event, cluster: str) -> Iterator[tuple[str, str]]:
    kind = KINDS[event.event]
    fixed = {
        "cluster": cluster,
        "id": event_id(event),
        "group": kind.group.value,
        "severity": kind.severity.value,
        "component": component(event),
        "revision": event.revision,
        "epoch": event.epoch,
    }
    for name, value in {
        **fixed,
        **{f"fact_{key}": fact for key, fact in event.facts.items()},
    }.items():
        if value is not None:
            text = json_line(value) if isinstance(value, dict | list | bool) else str(value)
            yield _NOT_IN_NAME.sub("_", name)[:_MOST_NAME], _escape(text)


def _escape(text: str) -> str:
    r"""Return a value with ``"``, ``\`` and ``]`` escaped (RFC 5424, 6.3.3), and nothing in it that is no text."""
    return re.sub(r'(["\\\]])', r"\\\1", printable(text[:_MOST_VALUE]))
