"""What is needed on this machine to log in to an etcd."""

import hashlib
import ssl
from dataclasses import dataclass, field

from mftgit.adapters.location_secrets import SecretsHere
from mftgit.adapters.tls.client import client_context, show_certificate
from mftgit.model.ownership.etcd import EtcdPlace, parse_endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How to log in; two are equal where the same things are shown.

    ``context`` is there where an endpoint is spoken to by TLS. ``digest`` is one of all secrets that were read.
    """

    context: ssl.SSLContext | None = field(default=None, compare=False)
    password: str | None = field(default=None, repr=False)
    digest: bytes = field(default=b"", repr=False)


def prepare(place: EtcdPlace, secrets: SecretsHere) -> Login:
    """Return what is needed to log in to ``place``, with its secrets read.

    Raises:
        ConfigError: a secret is missing, empty, unreadable, open to other users of this machine, or not what it is
            taken for; or ``ca`` is no certificate.
    """
    auth = place.auth
    kept = (auth.private_key, auth.passphrase, auth.certificate)
    texts = [each if isinstance(each, str) else secrets.text(each) for each in kept if each]
    return Login(
        context=_context(place, secrets),
        password=None if auth.password is None else secrets.password(auth.password),
        digest=hashlib.sha256("\0".join(texts).encode()).digest(),
    )


def _context(place: EtcdPlace, secrets: SecretsHere) -> ssl.SSLContext | None:
    if all(parse_endpoint(each).scheme == "http" for each in place.endpoints):
        return None
    context = client_context("cluster.yaml", ca=place.ca, fingerprints=())
    show_certificate(context, place.auth, secrets_dir=secrets.folder, values=secrets.values)
    return context
