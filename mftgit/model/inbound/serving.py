"""What one process serves: a service, its accounts with the folders and secrets that they come to on this member."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mftgit.model.inbound.account import Account
from mftgit.model.inbound.service import AnyService
from mftgit.model.locations.far_place import FarPlace
from mftgit.model.names import AccountName, MemberName, Revision, SecretName
from mftgit.model.secrets.value import SecretValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One account; ``home`` and ``folders`` are absolute folders of this machine, the latter by virtual path.

    ``far`` are the virtual folders that lie on servers.
    """

    account: Account
    home: str
    folders: Mapping[str, str] = field(default_factory=dict)
    far: Mapping[str, FarPlace] = field(default_factory=dict)
    password: SecretValue | None = None
    totp: SecretValue | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Everything that a process needs to serve; equal ones serve alike. ``keys`` are those of `Service.proofs`.

    ``secrets`` are those of the repository that log in to the servers behind virtual folders; others are files of the
    folder ``secrets_dir`` of this machine, and read when they are needed.
    """

    revision: Revision
    member: MemberName
    service: AnyService
    keys: tuple[SecretValue, ...]
    accounts: Mapping[AccountName, Served]
    secrets: Mapping[SecretName, SecretValue] = field(default_factory=dict)
    secrets_dir: str = ""

    @property
    def roots(self) -> frozenset[str]:
        """The folders of this machine that accounts come to."""
        served = self.accounts.values()
        return frozenset(root for each in served for root in (each.home, *each.folders.values()))
