"""Tell a forge of a commit's status, by its API."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import urllib3

from mftgit.errors import MftgitError, TransientError
from mftgit.model.forge_status import StatusCall, is_settled, may_pass

_TIMEOUT = urllib3.Timeout(connect=5.0, read=15.0)
_MAX_ANSWER_BYTES = 4_000


class StatusNotTakenError(MftgitError):
    """The forge said no."""


class ForgeAwayError(TransientError):
    """The forge does not answer, or not now."""


def send_status(call: StatusCall, token: str, *, ca: str | None = None) -> None:
    """Send a status; ``ca`` is PEM, in place of the system's authorities.

    Raises:
        ForgeAwayError: try again later.
        StatusNotTakenError: it will not be taken; the message is the forge's, and never holds the token.
    """
    headers = {
        call.token_header: call.token_prefix + token,
        "Content-Type": "application/json",
        "Accept": "application/json",
        "User-Agent": "mftgit",
    }
    with _pool(ca) as pool:
        try:
            response = pool.request(
                "POST",
                call.url,
                body=json.dumps(call.body).encode(),
                headers=headers,
                redirect=False,
                timeout=_TIMEOUT,
                preload_content=False,
            )
            try:
                text = response.read(_MAX_ANSWER_BYTES).decode("utf-8", "replace")
            finally:
                response.close()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ForgeAwayError(f"{call.url}: {error}".replace(token, "…")) from None
    if is_settled(response.status, text):
        return
    said = " ".join(text.split())[:300].replace(token, "…")
    message = f"{call.url} answered {response.status}: {said}"
    raise (ForgeAwayError if may_pass(response.status) else StatusNotTakenError)(message)


@contextmanager
def _pool(ca: str | None) -> Iterator[urllib3.PoolManager]:
    with tempfile.NamedTemporaryFile("w", encoding="ascii", suffix=".pem") as file:
        file.write(ca or "")
        file.flush()
        with urllib3.PoolManager(
            cert_reqs="CERT_REQUIRED", ca_certs=file.name if ca else None, retries=False
        ) as pool:
            yield pool
