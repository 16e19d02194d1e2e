"""What is posted to a webhook, and by what its receiver knows who sent it (Standard Webhooks 1.0)."""

import base64
import hashlib
import hmac
from typing import Final

from mftgit.model.events.bounds import bounded
from mftgit.model.events.event import Event
from mftgit.model.events.kinds import KINDS, component
from mftgit.model.events.template import event_id, fill_template
from mftgit.model.printable import json_line

LEAST_KEY_BYTES: Final = 24
"""So long a key is at least, by Standard Webhooks."""

_PREFIX: Final = "whsec_"


def webhook_body(event: Event, *, cluster: str, text: str | None) -> bytes:
    """Return what is posted: the event, or by the template ``text`` what a chat shows."""
    if text is not None:
        return json_line({"text": fill_template(text, event)}).encode()
    kind, about = KINDS[event.event], component(event)
    return json_line(
        {
            "type": event.event.value,
            "timestamp": event.at,
            "id": event_id(event),
            "cluster": cluster,
            "group": kind.group.value,
            "severity": kind.severity.value,
            "component": None if about is None else str(about),
            "data": bounded(event).as_json(),
        }
    ).encode()


def read_signing_key(text: str) -> bytes:
    """Return the key: what ``whsec_`` has before it is base64, all else is taken as it stands.

    Raises:
        ValueError: it is too short, or no base64; the text is not told.
    """
    if text.startswith(_PREFIX):
        try:
            key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
        except ValueError:
            raise ValueError(f"what stands after {_PREFIX} is not base64") from None
    else:
        key = text.encode()
    if len(key) < LEAST_KEY_BYTES:
        raise ValueError(f"a key has at least {LEAST_KEY_BYTES} bytes, this one has {len(key)}")
    return key


def webhook_headers(
    event: Event, body: bytes, *, sent_at_s: int, key: bytes | None, token: str | None
) -> dict[str, str]:
    """Return the headers: who repeats a request keeps the id, so that its receiver can pass it over."""
    named = event_id(event)
    headers = {
        "Content-Type": "application/json",
        "webhook-id": named,
        "webhook-timestamp": str(sent_at_s),
    }
    if key is not None:
        headers["webhook-signature"] = f"v1,{_signature(key, named, sent_at_s, body)}"
    return headers if token is None else {**headers, "Authorization": f"Bearer {token}"}


def _signature(key: bytes, named: str, sent_at_s: int, body: bytes) -> str:
    signed = hmac.digest(key, b"%s.%d.%s" % (named.encode(), sent_at_s, body), hashlib.sha256)
    return base64.b64encode(signed).decode()
