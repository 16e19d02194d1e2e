"""What is shown to an HTTPS server and what it has to show, with the secrets of this member."""

import base64
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mftgit.adapters.location_secrets import Values, name_of, read_password
from mftgit.adapters.tls.client import client_context, show_certificate
from mftgit.errors import ConfigError
from mftgit.model.locations.https_location import HttpsLocation
from mftgit.model.locations.login import SecretRef

_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, 2.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How to speak with a server: by which TLS, and with which headers of each request."""

    context: ssl.SSLContext
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        """Return nothing of what it holds: the headers are secret."""
        return "Login(…)"


def prepare(location: HttpsLocation, *, secrets_dir: Path, values: Values) -> Login:
    """Return what is needed to speak with the server of ``location``, with its secrets read.

    Raises:
        ConfigError: a secret is missing, empty, unreadable, open to other users of this machine, or not what it is
            taken for.
    """
    context = client_context(
        f"locations/{location.name}.yaml", ca=location.ca, fingerprints=location.fingerprints
    )
    show_certificate(context, location.auth, secrets_dir=secrets_dir, values=values)
    return Login(
        context=context,
        headers=_headers(location, secrets_dir=secrets_dir, values=values),
    )


def _headers(location: HttpsLocation, *, secrets_dir: Path, values: Values) -> dict[str, str]:
    auth = location.auth
    if auth.password is not None:
        password = _password(auth.password, secrets_dir, values)
        both = f"{location.username}:{password}".encode()  # RFC 7617, 2.1
        return {"Authorization": f"Basic {base64.b64encode(both).decode()}"}
    if auth.token is not None:
        token = _password(auth.token, secrets_dir, values)
        if _TOKEN.fullmatch(token) is None:
            raise ConfigError(
                f"secret {name_of(auth.token)} is no token of RFC 6750: letters, digits and -._~+/ were expected"
            )
        return {"Authorization": f"Bearer {token}"}
    return {}


def _password(kept: SecretRef, secrets_dir: Path, values: Values) -> str:
    return read_password(kept, secrets_dir=secrets_dir, values=values)
