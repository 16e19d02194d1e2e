"""A member's state folder: what lies where, and the local bootstrap that names the member."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mftgit.adapters.durable import sync_folder, write_file
from mftgit.errors import ConfigError
from mftgit.model.configuration.config import Role
from mftgit.model.names import MemberName

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """All that a member is told locally; everything else comes from the repository.

    ``files_root`` is where relative paths of documents begin; ``listen`` is the controller's address,
    empty on a node.
    """

    name: MemberName
    role: Role
    cluster_id: str
    controller_url: str
    files_root: str
    listen: tuple[str, int] | tuple[()] = ()


@dataclass(frozen=True, slots=True)
class StateFolder:
    """The places in one state folder."""

    root: Path

    @property
    def bootstrap_file(self) -> Path:
        """Written last when the folder is made: with it, the folder is a member."""
        return self.root / "bootstrap.json"

    @property
    def unfinished(self) -> Path:
        """There while the folder is made, and after that was broken off."""
        return self.root / "unfinished"

    @property
    def ca_file(self) -> Path:
        """The certificates of the authorities that are taken for the controller's, PEM."""
        return self.root / "ca.pem"

    @property
    def ca_key(self) -> Path:
        """The private key of the cluster's authority, and its certificate; on the controller only."""
        return self.root / "ca.key"

    @property
    def next_ca(self) -> Path:
        """The authority that follows, key and certificate, while `mftgit controller rotate-ca` is under way."""
        return self.root / "ca-next.pem"

    @property
    def old_ca(self) -> Path:
        """The certificate of the authority before, until no member takes it any more."""
        return self.root / "ca-old.pem"

    @property
    def tls_certificate(self) -> Path:
        """The controller's server certificate."""
        return self.root / "tls.pem"

    @property
    def tls_key(self) -> Path:
        """The key of the server certificate."""
        return self.root / "tls.key"

    @property
    def member_key(self) -> Path:
        """The member's Ed25519 private key; it never leaves the machine."""
        return self.root / "member.key"

    @property
    def age_key(self) -> Path:
        """The member's private keys of age, which open `secrets/` of the repository; they never leave the machine."""
        return self.root / "age.key"

    @property
    def next_key(self) -> Path:
        """The key that follows the present one, while `mftgit member rotate-key` is under way."""
        return self.root / "member-next.key"

    @property
    def repository(self) -> Path:
        """The hosted bare repository; on the controller only."""
        return self.root / "repository.git"

    @property
    def store(self) -> Path:
        """A node's own bare copy."""
        return self.root / "store.git"

    @property
    def record(self) -> Path:
        """The durable record of activation."""
        return self.root / "record.json"

    @property
    def orders(self) -> Path:
        """What an operator has ordered here: `mftgit suspend`, `pin`, `drain` and the like."""
        return self.root / "orders.json"

    @property
    def events(self) -> Path:
        """The event log."""
        return self.root / "events.sqlite"

    @property
    def recovery_recipients(self) -> Path:
        """Public keys of age that the recovery bundle is sealed for, one a line; on the controller only."""
        return self.root / "recovery-recipients"

    @property
    def recovery(self) -> Path:
        """The newest recovery bundle, sealed: what a lost controller is made anew from."""
        return self.root / "recovery.json"

    @property
    def mirror(self) -> Path:
        """Which branch of a forge is published here, as `mftgit controller mirror` set it; on the controller only."""
        return self.root / "mirror.json"

    @property
    def mirror_state(self) -> Path:
        """What the last look at that branch found."""
        return self.root / "mirror-state.json"

    @property
    def registry(self) -> Path:
        """Operators, members and the head pointer; on the controller only."""
        return self.root / "registry.sqlite"

    @property
    def status(self) -> Path:
        """What the running member last said of itself."""
        return self.root / "status.json"

    @property
    def drafts(self) -> Path:
        """What operators are editing in the Web Manager, a file each; on the controller only."""
        return self.root / "drafts"

    @property
    def volumes(self) -> Path:
        """How much was moved by the hour, counted from the event log; on the controller only."""
        return self.root / "volumes.sqlite"

    @property
    def sessions(self) -> Path:
        """Who is logged in at the running member's services."""
        return self.root / "sessions.json"

    @property
    def used_codes(self) -> Path:
        """Which one-time codes were used of late at the member's services: account and time step."""
        return self.root / "used-codes.json"

    @property
    def homes(self) -> Path:
        """Which folders of accounts the member serves, and has served of late."""
        return self.root / "homes.json"

    @property
    def storage_id(self) -> Path:
        """The id of the members' storage that this member knows."""
        return self.root / "storage-id"

    @property
    def secrets(self) -> Path:
        """Files with passwords and keys for locations, put there by the member's administrator."""
        return self.root / "secrets"

    @property
    def commands(self) -> Path:
        """Programs that a document may name, put there by the member's administrator."""
        return self.root / "commands"

    @property
    def active(self) -> Path:
        """The files of the active revision, for reading; edits are put right."""
        return self.root / "active"

    @property
    def drift(self) -> Path:
        """What was found edited in `active`, and how it differs; the newest 20 finds."""
        return self.root / "drift"

    @property
    def logs(self) -> Path:
        """The log files for people."""
        return self.root / "logs"

    @property
    def default_files_root(self) -> Path:
        """Where files lie when nothing else was said."""
        return self.root / "files"

    def prepare(self) -> None:
        """Make the folder for a new member.

        Raises:
            ConfigError: it holds a member already, or a controller that lost its bootstrap, or cannot be written.
        """
        if self.bootstrap_file.exists():
            raise ConfigError(
                f"{self.root} holds a member already: choose another folder, or remove this one"
            )
        if self._is_controllers() and not self._was_broken_off():
            raise self._without_bootstrap()
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            for folder in (self.secrets, self.logs):
                folder.mkdir(exist_ok=True, mode=0o700)
            write_file(self.unfinished, b"")
        except OSError as error:
            raise ConfigError(f"{self.root}: cannot be written: {error.strerror}") from error

    def read(self, path: Path) -> bytes:
        """Return a file of this folder that every member has.

        Raises:
            ConfigError: it is not there, or this user may not read it.
        """
        try:
            return path.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"{path}: cannot be read: {error.strerror}: run as the state folder's owner, restore the file, "
                "or make the member anew (`mftgit join`, `mftgit controller init`)"
            ) from error

    def check_user(self) -> None:
        """See that what this user writes can be read by the member.

        Raises:
            ConfigError: the folder is another user's.
        """
        owner = self.bootstrap_file.stat().st_uid
        if owner != os.geteuid():
            raise ConfigError(
                f"{self.root} belongs to the user with the id {owner}, whose member could not read what this user "
                f"(id {os.geteuid()}) writes: run as that one"
            )

    def write_secret(self, path: Path, content: bytes) -> None:
        """Write a private key, readable by this user only."""
        write_file(path, content, mode=0o600)

    def write_bootstrap(self, bootstrap: Bootstrap) -> None:
        """Write the bootstrap; from now on the folder is a member."""
        value = {"version": _VERSION, **asdict(bootstrap), "role": bootstrap.role.value}
        write_file(self.bootstrap_file, json.dumps(value, indent=2).encode() + b"\n")
        self.unfinished.unlink(missing_ok=True)
        sync_folder(self.root)

    def read_bootstrap(self) -> Bootstrap:
        """Return the bootstrap.

        Raises:
            ConfigError: the folder holds no member, or its bootstrap is damaged; the message has the way out.
        """
        try:
            content = self.bootstrap_file.read_bytes()
        except FileNotFoundError:
            raise self._without_bootstrap() from None
        except OSError as error:
            raise ConfigError(
                f"{self.bootstrap_file}: cannot be read: {error.strerror}: run as the state folder's owner"
            ) from error
        try:
            return _parse_bootstrap(content)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ConfigError(
                f"{self.bootstrap_file}: damaged at {error}: {self._way_back()}"
            ) from error

    def read_status(self) -> dict[str, Any]:
        """Return what the member wrote of itself last; nothing where that is not there or is damaged."""
        try:
            left = json.loads(self.status.read_bytes())
        except (OSError, ValueError):
            return {}
        return left if isinstance(left, dict) else {}

    def _without_bootstrap(self) -> ConfigError:
        if self._is_controllers():
            found = f"{self.root} holds a controller's records but no {self.bootstrap_file.name}"
            if self._was_broken_off():
                return ConfigError(
                    f"{found}: `mftgit controller init` was broken off; say it again"
                )
            return ConfigError(f"{found}: {self._way_back()}")
        return ConfigError(
            f"{self.root} holds no member: make one with `mftgit controller init {self.root}` "
            f"or `mftgit join {self.root}`"
        )

    def _was_broken_off(self) -> bool:
        """Tell whether the making of the folder was; a mark that was left where a member ran tells nothing."""
        return self.unfinished.exists() and not self.record.exists()

    def _is_controllers(self) -> bool:
        """Tell what the folder is by what only a controller has."""
        return any(path.exists() for path in (self.ca_key, self.repository, self.registry))

    def _way_back(self) -> str:
        if self._is_controllers():
            return (
                "put it back from a backup, or write it anew with what a node's own says "
                "(docs/how-to/operate.md: Restore bootstrap.json)"
            )
        return (
            "put it back from a copy, or say `mftgit member remove` and `mftgit member add` on the controller and "
            "join again, into another folder"
        )


def _parse_bootstrap(content: bytes) -> Bootstrap:
    value = json.loads(content)
    if not isinstance(value, dict):
        raise TypeError("its start, which is no JSON object")
    listen = value["listen"]
    return Bootstrap(
        name=MemberName(value["name"]),
        role=Role(value["role"]),
        cluster_id=value["cluster_id"],
        controller_url=value["controller_url"],
        files_root=value["files_root"],
        listen=(listen[0], int(listen[1])) if listen else (),
    )
