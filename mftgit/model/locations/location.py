"""Where files come from and go to, as a document says it: a folder of this machine, or a server of a partner.

Each kind of server is a class of its own, below `RemoteLocation`, in its table of `mftgit.model.locations.document`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import ClassVar

from mftgit.model.keys.algorithms import Algorithms
from mftgit.model.locations.login import Auth, secrets_of_ways
from mftgit.model.names import LocationName, SecretName


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalLocation:
    """A folder of this member; a relative ``path`` is below the member's files root.

    ``bytes_per_s`` is what all runs of one member together move there, to and fro; None is no limit.
    """

    KIND: ClassVar[str] = "local"

    name: LocationName
    path: str
    bytes_per_s: int | None = None

    @property
    def server(self) -> tuple[object, ...]:
        """Return what two locations have in common that see the same paths."""
        return (self.KIND,)

    @property
    def place(self) -> tuple[object, ...]:
        """Return what makes two locations one place on one member."""
        return (self.KIND, self.path)

    def secrets(self) -> Iterator[tuple[str, SecretName]]:
        """Give nothing: nobody logs in."""
        yield from ()

    def __str__(self) -> str:
        """Return where it is, for people."""
        return f"local folder {self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteLocation(ABC):
    """A folder on a server; ``path`` is there.

    ``timeout_s`` is how long an answer may take. ``idle_s`` is how long a connection may be kept between runs, and
    ``max_connections`` how many one member may have.
    """

    KIND: ClassVar[str]
    """What ``type`` is in its document."""

    name: LocationName
    path: str = "."
    timeout_s: float = 30.0
    connect_timeout_s: float | None = None
    bytes_per_s: int | None = None
    idle_s: float = 60.0
    max_connections: int = 4

    @property
    def connect_s(self) -> float:
        """How many seconds each step of connecting may take."""
        return self.timeout_s if self.connect_timeout_s is None else self.connect_timeout_s

    @property
    @abstractmethod
    def server(self) -> tuple[object, ...]:
        """Return what two locations have in common that are on one server and see the same paths there.

        Where a relative path begins in the home folder of the user, that is the user too.
        """

    @property
    @abstractmethod
    def place(self) -> tuple[object, ...]:
        """Return what makes two locations one place: how it is reached, as whom, and the path."""

    @abstractmethod
    def secrets(self) -> Iterator[tuple[str, SecretName]]:
        """Give pointer and name of every document in ``secrets/`` that is needed to log in."""

    @abstractmethod
    def __str__(self) -> str:
        """Return where it is, for people."""


@unique
class Client(Enum):
    """Whose SSH speaks with the server."""

    BUILTIN = "builtin"
    OPENSSH = "openssh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Jump:
    """A jump host, through which the server of a location is reached; its fields are like those of `SftpLocation`."""

    host: str
    port: int = 22
    username: str
    host_keys: tuple[str, ...]
    auth: tuple[Auth, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SftpLocation(RemoteLocation):
    """A folder on an SFTP server.

    ``host_keys`` are OpenSSH fingerprints (``SHA256:…``, as ``ssh-keygen -l`` prints them), and ``host_ca`` public keys
    of authorities that certify hosts, as lines. There is at least one of them, and a server that shows another key is
    not talked to. ``auth`` is tried in order. ``legacy`` lets OpenSSH's client take old algorithms too. ``keepalive_s``
    is 0 where nothing is sent for the connection's sake. ``channels`` is how many of one connection a large file may
    be sent over, where the server is far away, and many small ones, where it flushes them.
    """

    KIND: ClassVar[str] = "sftp"

    host: str
    port: int = 22
    username: str
    host_keys: tuple[str, ...] = ()
    host_ca: tuple[str, ...] = ()
    auth: tuple[Auth, ...]
    jump: Jump | None = None
    client: Client = Client.BUILTIN
    legacy: bool = False
    algorithms: Algorithms = field(default_factory=Algorithms)
    keepalive_s: int = 15
    flush: bool = True
    channels: int = 8

    @property
    def server(self) -> tuple[object, ...]:
        """See `RemoteLocation.server`."""
        home = "" if self.path.startswith("/") else self.username
        return (self.KIND, self.host.lower(), self.port, home)

    @property
    def place(self) -> tuple[object, ...]:
        """See `RemoteLocation.place`; an address may mean another server behind another jump host."""
        jump = self.jump and (self.jump.host.lower(), self.jump.port)
        return (self.KIND, self.host.lower(), self.port, self.username, self.path, jump)

    def secrets(self) -> Iterator[tuple[str, SecretName]]:
        """See `RemoteLocation.secrets`."""
        yield from secrets_of_ways(self.auth, "/auth")
        if self.jump is not None:
            yield from secrets_of_ways(self.jump.auth, "/jump/auth")

    def __str__(self) -> str:
        """Return where it is, for people."""
        return f"sftp://{self.username}@{self.host}:{self.port}, {self.path}"


Location = LocalLocation | RemoteLocation
