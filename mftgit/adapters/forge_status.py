"""Tell a forge of a commit's status, by its API."""

import json
from contextlib import closing
from typing import Final
from urllib.parse import urlsplit

from mftgit.adapters.clock import Clock, SystemClock
from mftgit.adapters.handlers.dialled import Dialled
from mftgit.adapters.handlers.http_post import Posted, post
from mftgit.adapters.handlers.target import TargetError
from mftgit.adapters.tls.client import client_context
from mftgit.errors import ConfigError, MftgitError, TransientError
from mftgit.model.revisions.forge_status import StatusCall, is_settled, may_pass

TIMEOUT_S: Final = 20.0
"""So long a call takes at most, however slowly the forge says something; connecting to it takes as long again."""

_MAX_SAID: Final = 300


class StatusNotTakenError(MftgitError):
    """The forge said no."""


class ForgeAwayError(TransientError):
    """The forge does not answer, or not now."""


def send_status(
    call: StatusCall,
    token: str,
    *,
    ca: str | None = None,
    timeout_s: float = TIMEOUT_S,
    clock: Clock | None = None,
) -> None:
    """Send a status; ``ca`` is PEM, in place of the system's authorities.

    Raises:
        ForgeAwayError: try again later.
        StatusNotTakenError: it will not be taken; the message is the forge's, and never holds the token.
    """
    if not (token.isascii() and token.isprintable()):
        raise StatusNotTakenError("the forge's token has characters that no header of HTTP takes")
    try:
        answer = _send(call, token, ca, timeout_s, clock or SystemClock())
    except ConfigError as error:
        raise StatusNotTakenError(str(error)) from error
    except TargetError as error:
        raise ForgeAwayError(f"{call.url}: {error}".replace(token, "…")) from None
    text = answer.content.decode("utf-8", "replace")
    if is_settled(answer.status, text):
        return
    said = " ".join(text.split())[:_MAX_SAID].replace(token, "…")
    message = f"{call.url} answered {answer.status}: {said}"
    raise (ForgeAwayError if may_pass(answer.status) else StatusNotTakenError)(message)


def _send(call: StatusCall, token: str, ca: str | None, timeout_s: float, clock: Clock) -> Posted:
    url = urlsplit(call.url)
    secure = url.scheme == "https"
    context = client_context("mirror.json", ca=ca, fingerprints=()) if secure else None
    port = url.port or (443 if secure else 80)
    headers = {
        call.token_header: call.token_prefix + token,
        "Content-Type": "application/json",
        "Accept": "application/json",
    }
    line = Dialled(url.hostname or "", port, context=context, timeout_s=timeout_s, clock=clock)
    with closing(line):
        return post(line, url, headers=headers, body=json.dumps(call.body).encode())
