"""What an FTP server's replies mean to whoever uses an endpoint (RFC 959, 4.2)."""

import ftplib
from collections.abc import Mapping
from typing import Final

from mftgit.adapters.endpoint.contract import (
    EndpointBusyError,
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    LoginError,
)
from mftgit.errors import MftgitError


class ProtocolError(Exception):
    """The server says what is not FTP, or too much of it."""


BROKEN: Final = (OSError, EOFError, ProtocolError, ftplib.error_proto, ftplib.error_reply)
"""After these nobody knows what the server will take the next command for."""

REFUSED: Final = (ftplib.error_temp, ftplib.error_perm)
"""The server's own no; the connection goes on."""

MISSING: Final = frozenset({"450", "501", "550", "553"})
"""Are said of a path that is not there, and of much else."""

_MEANING: Final[Mapping[str, type[MftgitError]]] = {
    "421": EndpointLostError,
    "425": EndpointLostError,
    "426": EndpointLostError,
    "452": EndpointFullError,
    "530": LoginError,
    "552": EndpointFullError,
}
_MOST_CHARACTERS = 300  # of what a server says, in a message


def code_of(error: Exception) -> str:
    """Return the three digits of the reply."""
    return str(error)[:3]


def meaning(error: Exception, what: str) -> MftgitError:
    """Return the error of endpoints that the reply in ``error`` is; ``what`` names server and path."""
    otherwise = EndpointBusyError if code_of(error).startswith("4") else EndpointRefusedError
    kind = _MEANING.get(code_of(error), otherwise)
    return kind(f"{what}: the server said {said(error)!r}")


def is_denied(error: Exception, remote: str) -> bool:
    """Tell whether the server says in its own words that it is about rights; its numbers do not tell.

    Those that name a path name ``remote``, or have the reason behind it and a colon.
    """
    text = str(error).replace(remote, "").rpartition(": ")[2].lower()
    return "denied" in text or "permi" in text or "not allowed" in text


def said(error: Exception) -> str:
    """Return the server's words, not too many of them."""
    return " ".join(str(error).split())[:_MOST_CHARACTERS]


def trouble(error: BaseException) -> str:
    """Return in words what broke a connection."""
    otherwise = "the server hung up" if isinstance(error, EOFError) else type(error).__name__
    return " ".join(str(error).split())[:_MOST_CHARACTERS] or otherwise
