"""A bucket of an object store that speaks S3, as a place of files."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, unique
from typing import ClassVar

from mftgit.model.locations.location import RemoteLocation
from mftgit.model.locations.login import SecretRef
from mftgit.model.names import SecretName


@unique
class Addressing(Enum):
    """Where the bucket's name stands in a request: in the path, or before the host name."""

    PATH = "path"
    VIRTUAL = "virtual"


@unique
class Encryption(Enum):
    """How the store is asked to encrypt what it keeps; by default it is not asked."""

    AES256 = "AES256"
    KMS = "aws:kms"


@unique
class Machine(Enum):
    """Who logs in where no keys are given: the machine, by the role that its cloud gave it."""

    INSTANCE = "instance"


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Keys:
    """The keys of a user or of a session of the store."""

    access_key_id: str
    secret_access_key: SecretRef
    session_token: SecretRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Location(RemoteLocation):
    """A bucket, and below ``path`` in it the files; see the fields of the document.

    ``endpoint`` is an address with https, None for that of Amazon in ``region``. ``ca`` are certificates in PEM that
    are trusted instead of the machine's, and ``fingerprints`` those of the only certificates that are taken.
    ``kms_key`` goes with `Encryption.KMS`.
    """

    KIND: ClassVar[str] = "s3"

    bucket: str
    auth: S3Keys | Machine
    region: str = "us-east-1"
    endpoint: str | None = None
    addressing: Addressing = Addressing.VIRTUAL
    ca: str | None = None
    fingerprints: tuple[str, ...] = ()
    encryption: Encryption | None = None
    kms_key: str | None = None
    storage_class: str | None = None
    checksums: bool = True
    conditional_writes: bool = True

    @property
    def url(self) -> str:
        """Where the store answers."""
        if self.endpoint is not None:
            return self.endpoint.rstrip("/")
        ending = ".cn" if self.region.startswith("cn-") else ""
        return f"https://s3.{self.region}.amazonaws.com{ending}"

    @property
    def server(self) -> tuple[object, ...]:
        """See `RemoteLocation.server`; Amazon has one bucket of a name, in whichever region."""
        return (self.KIND, (self.endpoint or "").rstrip("/").lower(), self.bucket)

    @property
    def place(self) -> tuple[object, ...]:
        """See `RemoteLocation.place`; every user of a bucket sees the same objects."""
        return (*self.server, self.path)

    def secrets(self) -> Iterator[tuple[str, SecretName]]:
        """See `RemoteLocation.secrets`."""
        if isinstance(self.auth, S3Keys):
            for field in ("secret_access_key", "session_token"):
                kept = getattr(self.auth, field)
                if kept is not None and kept.secret is not None:
                    yield f"/auth/{field}/secret", kept.secret

    def __str__(self) -> str:
        """Return where it is, for people."""
        return f"bucket {self.bucket} at {self.url}, {self.path}"
