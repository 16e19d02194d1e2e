"""What is shown to an HTTPS server and what it has to show, with the secrets of this member."""

import base64
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mftgit.adapters.location_secrets import Values, name_of, read_password, read_text
from mftgit.errors import ConfigError
from mftgit.model.https_location import HttpsAuth, HttpsLocation
from mftgit.model.login import SecretRef

_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, 2.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How to speak with a server: its TLS, the certificates that it may show alone, and the headers of each request.

    ``pins`` are SHA-256 digests in lower-case hexadecimal; none where the context checks the certificate.
    """

    context: ssl.SSLContext
    pins: frozenset[str]
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
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _trust(context, location)
    _show_certificate(context, location.auth, secrets_dir=secrets_dir, values=values)
    return Login(
        context=context,
        pins=frozenset(each.replace(":", "").lower() for each in location.fingerprints),
        headers=_headers(location, secrets_dir=secrets_dir, values=values),
    )


def _trust(context: ssl.SSLContext, location: HttpsLocation) -> None:
    """Have the certificate checked: by pins after the handshake, else by authorities and for the host's name."""
    if location.fingerprints:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif location.ca is None:
        context.load_default_certs()
    else:
        try:
            context.load_verify_locations(cadata=location.ca)
        except (ssl.SSLError, ValueError) as error:
            raise ConfigError(
                f"ca of locations/{location.name}.yaml holds no certificates in PEM ({error}): see what was copied"
            ) from error


def _show_certificate(
    context: ssl.SSLContext, auth: HttpsAuth, *, secrets_dir: Path, values: Values
) -> None:
    if auth.private_key is None or auth.certificate is None:
        return
    certificate = (
        auth.certificate
        if isinstance(auth.certificate, str)
        else read_text(auth.certificate, secrets_dir, values)
    )
    key = read_text(auth.private_key, secrets_dir, values)
    passphrase = "" if auth.passphrase is None else _password(auth.passphrase, secrets_dir, values)
    # The module ssl takes files only: this one is memory, and of this process (memfd_create(2)).
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(f"{key}\n{certificate}\n".encode())
        # Without a function that answers, a locked key would be asked for at the terminal.
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=lambda: passphrase)
    except (ssl.SSLError, ValueError) as error:
        reason = (
            getattr(error, "reason", None) or "it is locked by another passphrase, or is no key"
        )
        raise ConfigError(
            f"the private key in {name_of(auth.private_key)} does not open with its certificate ({reason}): "
            "a key and a certificate in PEM that belong together were expected"
        ) from None
    finally:
        os.close(descriptor)


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
