"""What is shown to an FTPS server and what it has to show, with the secrets of this member."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from mftgit.adapters.location_secrets import Values, name_of, read_password
from mftgit.adapters.tls.client import client_context, show_certificate
from mftgit.errors import ConfigError
from mftgit.model.locations.ftps import FtpsLocation


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """The settings of TLS, and the password; empty where the certificate alone logs in."""

    context: ssl.SSLContext
    password: str

    def __repr__(self) -> str:
        """Return nothing of what it holds."""
        return "Login(…)"


def prepare(location: FtpsLocation, *, secrets_dir: Path, values: Values) -> Login:
    """Return what is needed to log in to ``location``, with its secrets read.

    Raises:
        ConfigError: a secret is missing, empty, unreadable, open to other users of this machine, or not what it is
            taken for.
    """
    auth = location.auth
    context = client_context(
        f"locations/{location.name}.yaml", ca=location.ca, fingerprints=location.fingerprints
    )
    show_certificate(context, auth, secrets_dir=secrets_dir, values=values)
    password = ""
    if auth.password is not None:
        password = read_password(auth.password, secrets_dir=secrets_dir, values=values)
        if any(each in password for each in "\r\n\0"):
            raise ConfigError(
                f"secret {name_of(auth.password)} has more than one line: FTP has passwords of one line only"
            )
    return Login(context=context, password=password)
