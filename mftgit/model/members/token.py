"""Join tokens: what a new member needs to trust the controller and to be let in, in one line of text."""

import base64
import binascii
import json
from dataclasses import dataclass

from mftgit.errors import ConfigError
from mftgit.model.names import MemberName, is_name

_PREFIX = "mftgit1."


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinToken:
    """``ca_sha256`` is the fingerprint of the cluster's authority, ``secret`` lets one member in, once."""

    member: MemberName
    ca_sha256: str
    secret: str


def format_token(token: JoinToken) -> str:
    """Return ``token`` as one word, fit for a shell."""
    body = json.dumps([token.member, token.ca_sha256, token.secret]).encode()
    return _PREFIX + base64.urlsafe_b64encode(body).decode().rstrip("=")


def parse_token(text: str) -> JoinToken:
    """Return the token that ``format_token`` gave ``text`` for.

    Raises:
        ConfigError: it is not a join token; the message does not repeat it.
    """
    word = text.strip()
    body = word.removeprefix(_PREFIX)
    try:
        value = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (ValueError, binascii.Error):
        value = None
    match value:
        case [str(member), str(ca_sha256), str(secret)] if is_name(member) and body != word:
            return JoinToken(member=MemberName(member), ca_sha256=ca_sha256, secret=secret)
        case _:
            raise ConfigError(
                "this is not a whole join token: expected the one line that `mftgit member add` "
                f"printed, beginning with {_PREFIX}"
            )
