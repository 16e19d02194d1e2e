"""What one process serves: a service, its accounts with the folders and secrets that they come to on this member."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mftgit.model.account import Account
from mftgit.model.names import AccountName, MemberName, Revision
from mftgit.model.secret_value import SecretValue
from mftgit.model.service import AnyService


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One account; ``home`` and ``folders`` are absolute folders of this machine, the latter by virtual path."""

    account: Account
    home: str
    folders: Mapping[str, str] = field(default_factory=dict)
    password: SecretValue | None = None
    totp: SecretValue | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Everything that a process needs to serve; equal ones serve alike. ``keys`` are those of `Service.proofs`."""

    revision: Revision
    member: MemberName
    service: AnyService
    keys: tuple[SecretValue, ...]
    accounts: Mapping[AccountName, Served]
