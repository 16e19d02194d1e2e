"""Where an etcd is, and how members log in to it: ``coordinator.etcd`` of ``cluster.yaml``."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urlsplit

from mftgit.model.documents.fault import Fault
from mftgit.model.documents.given import Value, given
from mftgit.model.locations.tls import TlsAuth, build_tls_auth, check_tls
from mftgit.model.names import SecretName

PORT: Final = 2379
"""Where etcd listens to clients, by IANA."""

_AT: Final = "/coordinator/etcd"
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One etcd that takes questions of clients."""

    scheme: str
    host: str
    port: int = PORT

    def __str__(self) -> str:
        """Return its URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdPlace:
    """The etcd over which a cluster coordinates: URLs of its servers; all keys are below ``prefix``.

    The servers' certificates are checked by the authorities in ``ca`` (PEM), or by those of this machine.
    """

    endpoints: tuple[str, ...]
    prefix: str
    username: str | None = None
    auth: TlsAuth = field(default_factory=TlsAuth)
    ca: str | None = None

    def secrets(self) -> Iterator[tuple[str, SecretName]]:
        """Give pointer, in ``cluster.yaml``, and name of every document in ``secrets/`` that it needs."""
        for below, secret in self.auth.secrets():
            yield f"{_AT}/auth{below}", secret


def build_etcd(value: Value, cluster: str) -> EtcdPlace:
    """Return what ``coordinator.etcd`` says; the keys of two clusters are not below one prefix unless they say so."""
    fields = given(value, prefix=str, username=str, ca=str, auth=build_tls_auth)
    fields["prefix"] = fields.get("prefix", f"/mftgit/{cluster}").rstrip("/")
    return EtcdPlace(endpoints=tuple(value["endpoints"]), **fields)


def parse_endpoint(url: str) -> Endpoint:
    """Return what ``url`` says; one that names no host or port that there can be has the port 0."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = 0
    return Endpoint(
        scheme=parts.scheme, host=parts.hostname or "", port=PORT if port is None else port
    )


def check_etcd(place: EtcdPlace) -> Iterator[Fault]:
    """Give what is wrong with ``place`` by itself."""
    seen: set[Endpoint] = set()
    for index, endpoint in enumerate(map(parse_endpoint, place.endpoints)):
        pointer = f"{_AT}/endpoints/{index}"
        if not endpoint.host or not endpoint.port:
            yield Fault(
                pointer=pointer,
                rule="url",
                message="this names no host and port that there can be",
                hint="write https://HOST:PORT, as: https://etcd-1.example.org:2379",
            )
        elif endpoint.scheme == "http" and endpoint.host not in _LOOPBACK:
            yield Fault(
                pointer=pointer,
                rule="insecure",
                message=f"{endpoint} would be asked in the clear, and whoever answers could name the owners",
                hint="have etcd listen with TLS, and write https://",
            )
        if endpoint in seen:
            yield Fault(
                pointer=pointer,
                rule="duplicate",
                message=f"{endpoint} stands here twice",
                hint="remove one of them",
            )
        seen.add(endpoint)
    yield from _check_login(place)


def _check_login(place: EtcdPlace) -> Iterator[Fault]:
    if (place.username is None) != (place.auth.password is None):
        yield Fault(
            pointer=_AT + ("/username" if place.username is not None else "/auth/password"),
            rule="login",
            message="a username and its password belong together",
            hint="have both of them, or neither",
        )
    for fault in check_tls(place.auth, ca=place.ca, fingerprints=()):
        yield replace(fault, pointer=_AT + fault.pointer)
