"""TLS with a partner's server: how its certificate is checked, and which one of ours is shown."""

import hashlib
import os
import ssl
from collections.abc import Collection
from pathlib import Path

from mftgit.adapters.endpoint.contract import HostKeyError
from mftgit.adapters.location_secrets import Values, name_of, read_password, read_text
from mftgit.errors import ConfigError
from mftgit.model.locations.tls import TlsAuth
from mftgit.model.names import LocationName


def client_context(
    document: str, *, ca: str | None, fingerprints: Collection[str]
) -> ssl.SSLContext:
    """Return the settings of TLS 1.2 and later for what ``document`` says.

    The certificate is checked for the name of the host and by the authorities in ``ca`` (PEM), else by those of this
    machine. With ``fingerprints`` it is checked by nothing here: call `require_pinned` after each handshake.

    Raises:
        ConfigError: ``ca`` holds no certificates.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if fingerprints:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca is None:
        context.load_default_certs()
    else:
        try:
            context.load_verify_locations(cadata=ca)
        except (ssl.SSLError, ValueError) as error:
            raise ConfigError(
                f"ca of {document} holds no certificates in PEM ({error}): see what was copied"
            ) from error
    return context


def show_certificate(
    context: ssl.SSLContext, auth: TlsAuth, *, secrets_dir: Path, values: Values
) -> None:
    """Have the certificate of ``auth``, if it has one, shown to servers that ask; its key is in memory only.

    Raises:
        ConfigError: a secret is missing, unreadable or open to others, the key is locked, or the two do not belong
            together.
    """
    private_key, certificate, passphrase = auth.private_key, auth.certificate, auth.passphrase
    if private_key is None or certificate is None:
        return
    chain = (
        certificate if isinstance(certificate, str) else read_text(certificate, secrets_dir, values)
    )
    key = read_text(private_key, secrets_dir, values)
    opens = (
        ""
        if passphrase is None
        else read_password(passphrase, secrets_dir=secrets_dir, values=values)
    )
    # The module ssl takes files only: this one is memory, and of this process (memfd_create(2)).
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(f"{key}\n{chain}\n".encode())
        # Without a function that answers, a locked key would be asked for at the terminal.
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=lambda: opens)
    except (ssl.SSLError, ValueError) as error:
        reason = (
            getattr(error, "reason", None) or "it is locked by another passphrase, or is no key"
        )
        raise ConfigError(
            f"the private key in {name_of(private_key)} does not open with its certificate ({reason}): "
            "a key and a certificate in PEM that belong together were expected"
        ) from None  # what the error holds may be of the key
    finally:
        os.close(descriptor)


def require_pinned(
    sock: ssl.SSLSocket, fingerprints: Collection[str], *, server: str, name: LocationName
) -> None:
    """See that ``sock``, after its handshake, was shown one of ``fingerprints``, where there are any.

    Raises:
        HostKeyError: the server shows another certificate, or none.
    """
    if not fingerprints:
        return
    shown = hashlib.sha256(sock.getpeercert(binary_form=True) or b"").hexdigest().upper()
    pairs = ":".join(shown[at : at + 2] for at in range(0, len(shown), 2))
    if pairs not in {each.upper() for each in fingerprints}:
        raise HostKeyError(
            f"{server} shows the certificate {pairs}, which is not in fingerprints of locations/{name}.yaml: "
            "compare it with the partner"
        )
