"""A folder on an HTTPS server that speaks WebDAV (RFC 4918)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from mftgit.model.locations.location import RemoteLocation
from mftgit.model.locations.tls import TlsAuth
from mftgit.model.names import SecretName


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpsLocation(RemoteLocation):
    """A folder on a WebDAV server; ``path`` begins at the root of the server.

    The server's certificate is checked by ``fingerprints`` (SHA-256 of certificates, ``AB:CD:…``), by the authorities
    in ``ca`` (PEM), or by those of this machine.
    """

    KIND: ClassVar[str] = "https"

    host: str
    port: int = 443
    username: str | None = None
    auth: TlsAuth
    ca: str | None = None
    fingerprints: tuple[str, ...] = ()

    @property
    def server(self) -> tuple[object, ...]:
        """See `RemoteLocation.server`; a server that gives each user a root of its own has fewer paths in common."""
        return (self.KIND, self.host.lower(), self.port)

    @property
    def place(self) -> tuple[object, ...]:
        """See `RemoteLocation.place`."""
        return (*self.server, self.username, self.path)

    def secrets(self) -> Iterator[tuple[str, SecretName]]:
        """See `RemoteLocation.secrets`."""
        for below, secret in self.auth.secrets():
            yield f"/auth{below}", secret

    @property
    def address(self) -> str:
        """Return host and port, as they stand in a URL (RFC 3986, 3.2.2)."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        """Return where it is, for people."""
        user = f"{self.username}@" if self.username else ""
        return f"https://{user}{self.address}, {self.path}"
