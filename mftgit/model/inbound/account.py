"""``accounts/NAME.yaml`` with its groups: who may come in, how they prove it, what they see and may do."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, unique

from mftgit.model.inbound.permission import FULL, Rule
from mftgit.model.locations.login import SecretRef
from mftgit.model.names import AccountName, LocationName, SecretName, ServiceName


@unique
class Factor(Enum):
    """What proves who somebody is. KEY: an authorized key, or a certificate of an authority."""

    KEY = "key"
    PASSWORD = "password"  # noqa: S105  the name of a factor
    TOTP = "totp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How an account proves who it is: by all factors of one of ``require``, in any order but TOTP last.

    ``keys`` and ``authorities`` are OpenSSH public keys, as lines; certificates of ``authorities`` have to name one
    of ``principals``. ``password`` is where the argon2id hash of a password lies, ``totp`` where the key of RFC 6238
    lies, in base32.
    """

    require: tuple[frozenset[Factor], ...]
    keys: tuple[str, ...] = ()
    authorities: tuple[str, ...] = ()
    principals: tuple[str, ...] = ()
    password: SecretRef | None = None
    totp: SecretRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A folder of a location; ``path`` is below that of the location."""

    location: LocationName
    path: str = "."


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualFolder:
    """At ``at``, an absolute path of the account, it sees ``place``."""

    at: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How much may lie in an account's home, virtual folders not counted; None is no limit."""

    size_bytes: int | None = None
    files: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user of the services, with what its groups say where it says nothing.

    ``services`` are those it may use, None all. ``sources`` are networks (CIDR) that it may come from, empty any.
    From ``expires_at`` on it may not come in. ``max_sessions`` is for all members, ``max_file_bytes`` per upload.
    """

    name: AccountName
    home: Place
    login: Login
    folders: tuple[VirtualFolder, ...] = ()
    rules: tuple[Rule, ...] = (Rule(path="/", allow=FULL),)
    services: frozenset[ServiceName] | None = None
    sources: tuple[str, ...] = ()
    expires_at: datetime | None = None
    quota: Quota = Quota()
    max_sessions: int = 20
    max_file_bytes: int | None = None

    def secrets(self) -> Iterator[tuple[str, SecretName]]:
        """Give pointer and name of every document in ``secrets/`` that is needed to let it in."""
        for key, kept in (("password", self.login.password), ("totp", self.login.totp)):
            if kept is not None and kept.secret is not None:
                yield f"/login/{key}/secret", kept.secret

    @property
    def locations(self) -> tuple[LocationName, ...]:
        """The locations that it sees, its home's first."""
        return (self.home.location, *(each.place.location for each in self.folders))
