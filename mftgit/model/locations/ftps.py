"""A folder on an FTP server over TLS (RFC 4217), as a document says it, read and written."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from mftgit.model.documents.fault import Fault
from mftgit.model.documents.given import Value, given, given_remote
from mftgit.model.locations.location import RemoteLocation
from mftgit.model.locations.tls import TlsAuth, build_tls_auth, check_tls, format_tls_auth
from mftgit.model.names import LocationName, SecretName

PORT: Final = 21
IMPLICIT_PORT: Final = 990


@dataclass(frozen=True, slots=True, kw_only=True)
class FtpsLocation(RemoteLocation):
    """A folder on an FTP server.

    TLS begins with AUTH TLS, or with the first byte where ``implicit``. The server's certificate is checked by
    ``fingerprints`` (SHA-256 of certificates, ``AB:CD:…``), by the authorities in ``ca`` (PEM), or by those of this
    machine. ``keepalive_s`` is 0 where nothing is sent for the connection's sake.
    """

    KIND: ClassVar[str] = "ftps"

    host: str
    port: int = PORT
    username: str
    auth: TlsAuth
    implicit: bool = False
    ca: str | None = None
    fingerprints: tuple[str, ...] = ()
    keepalive_s: int = 15

    @property
    def server(self) -> tuple[object, ...]:
        """See `RemoteLocation.server`."""
        home = "" if self.path.startswith("/") else self.username
        return (self.KIND, self.host.lower(), self.port, home)

    @property
    def place(self) -> tuple[object, ...]:
        """See `RemoteLocation.place`."""
        return (self.KIND, self.host.lower(), self.port, self.username, self.path)

    def secrets(self) -> Iterator[tuple[str, SecretName]]:
        """See `RemoteLocation.secrets`."""
        for below, secret in self.auth.secrets():
            yield f"/auth{below}", secret

    def __str__(self) -> str:
        """Return where it is, for people."""
        return f"ftps://{self.username}@{self.host}:{self.port}, {self.path}"


def build_ftps(name: LocationName, value: Value) -> FtpsLocation:
    """Return what ``locations/NAME.yaml`` of the type ftps says, once its templates are replaced."""
    return FtpsLocation(
        name=name,
        host=value["host"],
        username=value["username"],
        auth=build_tls_auth(value["auth"]),
        port=value.get("port", IMPLICIT_PORT if value.get("implicit") else PORT),
        **given_remote(value),
        **given(value, implicit=bool, ca=str, fingerprints=tuple, keepalive_s=int),
    )


def format_ftps(location: FtpsLocation) -> dict[str, Any]:
    """Return what ``location`` has besides the fields of every `RemoteLocation`, in the words of its document."""
    own: dict[str, Any] = {
        "host": location.host,
        "port": location.port,
        "username": location.username,
        "auth": format_tls_auth(location.auth),
        "implicit": location.implicit,
        "keepalive_s": location.keepalive_s,
    }
    if location.ca is not None:
        own["ca"] = location.ca
    if location.fingerprints:
        own["fingerprints"] = list(location.fingerprints)
    return own


def check_ftps(location: FtpsLocation) -> Iterator[Fault]:
    """Give what is wrong with ``location`` by itself."""
    return check_tls(location.auth, ca=location.ca, fingerprints=location.fingerprints)
