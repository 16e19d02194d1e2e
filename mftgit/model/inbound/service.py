"""``services/NAME.yaml``: what every member listens on, so that a client cannot tell which member it met."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

from mftgit.model.keys.algorithms import Algorithms
from mftgit.model.locations.login import SecretRef
from mftgit.model.names import SecretName, ServiceName

LOOPBACK: Final = "127.0.0.1"
"""Where a member's own page is, unless its document says otherwise: for this machine alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """A TCP address to listen on."""

    address: str = "0.0.0.0"  # noqa: S104  inbound services are there to be reached
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLimits:
    """What a member takes in at once, and for how long it waits.

    ``unauthenticated`` connections have not logged in; ``login_s`` is what they have for that, with at most
    ``attempts`` refused tries. A session that asks for nothing for ``idle_s`` is ended.
    """

    connections: int = 1000
    per_source: int = 100
    unauthenticated: int = 100
    login_s: float = 60.0
    attempts: int = 6
    idle_s: float = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Defence:
    """A source that fails to log in ``failures`` times within ``within_s`` is banned for ``ban_s`` on all members.

    Each failed try before that is answered ``delay_s`` later than the one before it, ten times that at the most.
    ``exempt`` are networks that are slowed, but never banned.
    """

    failures: int = 10
    within_s: float = 600.0
    ban_s: float = 900.0
    delay_s: float = 0.5
    exempt: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploads:
    """What holds for files that come in.

    What was sent of a file whose connection broke is kept for ``stalled_s``, and the client can go on with it.
    ``flush``: a file is on disk before the client is told that it is there.
    """

    stalled_s: float = 86_400.0
    flush: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Service(ABC):
    """What members listen on for the accounts, whatever is spoken there.

    ``proxies`` are networks (CIDR) of load balancers, which have to tell the client's address by the PROXY protocol;
    nobody else may. ``health`` is where ``GET /readyz`` is answered 200 while new clients are welcome, else 503. After
    `drain`, sessions have ``drain_s`` to end. ``processes`` is how many share the work; None: one for each processor,
    up to 4.
    """

    KIND: ClassVar[str]
    """What ``type`` is in its document."""

    name: ServiceName
    listen: Listen
    proxies: tuple[str, ...] = ()
    health: Listen | None = None
    drain_s: float = 60.0
    limits: ServiceLimits = ServiceLimits()
    defence: Defence = Defence()
    uploads: Uploads = Uploads()
    processes: int | None = None

    @property
    @abstractmethod
    def proofs(self) -> Mapping[str, SecretRef]:
        """By its pointer, where each private key lies by which it proves which server it is."""

    def secrets(self) -> Iterator[tuple[str, SecretName]]:
        """Give pointer and name of every document in ``secrets/`` that is needed to serve."""
        for pointer, kept in self.proofs.items():
            if kept.secret is not None:
                yield f"{pointer}/secret", kept.secret


@dataclass(frozen=True, slots=True, kw_only=True)
class SftpService(Service):
    """An SFTP server with the same host keys on all members; the first one of each kind is shown, all are announced."""

    KIND: ClassVar[str] = "sftp"

    host_keys: tuple[SecretRef, ...]
    algorithms: Algorithms = field(default_factory=Algorithms)
    banner: str | None = None

    @property
    def proofs(self) -> Mapping[str, SecretRef]:
        """See `Service.proofs`."""
        return {f"/host_keys/{index}": kept for index, kept in enumerate(self.host_keys)}


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpsService(Service):
    """An HTTPS server with the same certificate on all members.

    ``certificate`` is where the chain and its private key lie, PEM, in one text. A browser has to log in again after
    ``session_s``.
    """

    KIND: ClassVar[str] = "https"

    certificate: SecretRef
    session_s: float = 28_800.0

    @property
    def proofs(self) -> Mapping[str, SecretRef]:
        """See `Service.proofs`."""
        return {"/certificate": self.certificate}


AnyService = SftpService | HttpsService
