"""A folder of a share on a Windows or Samba file server, as a document says it, read and written."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from mftgit.model.documents.fault import Fault
from mftgit.model.documents.given import Value, given, given_remote
from mftgit.model.documents.schema_words import show
from mftgit.model.locations.location import RemoteLocation
from mftgit.model.locations.login import SecretRef
from mftgit.model.locations.smb_names import wrong_name
from mftgit.model.names import LocationName, SecretName


@dataclass(frozen=True, slots=True, kw_only=True)
class SmbLocation(RemoteLocation):
    """A folder of ``share`` on a server that speaks SMB 3; ``path`` begins at the share.

    ``domain`` is where the server knows ``username``; None leaves that to the server. ``encrypt`` wants each message
    encrypted, and otherwise each is signed. ``flush`` brings each file to the server's disk before it counts.
    """

    KIND: ClassVar[str] = "smb"

    host: str
    port: int = 445
    share: str
    username: str
    domain: str | None = None
    password: SecretRef
    encrypt: bool = True
    flush: bool = True

    @property
    def server(self) -> tuple[object, ...]:
        """See `RemoteLocation.server`."""
        return (self.KIND, self.host.lower(), self.port, self.share.lower())

    @property
    def place(self) -> tuple[object, ...]:
        """See `RemoteLocation.place`."""
        return (*self.server, self.domain, self.username, self.path)

    def secrets(self) -> Iterator[tuple[str, SecretName]]:
        """See `RemoteLocation.secrets`."""
        if self.password.secret is not None:
            yield "/password/secret", self.password.secret

    def __str__(self) -> str:
        """Return where it is, for people."""
        return f"smb://{self.username}@{self.host}:{self.port}/{self.share}, {self.path}"


def build_smb(name: LocationName, value: Value) -> SmbLocation:
    """Return what ``locations/NAME.yaml`` of the type smb says, once its templates are replaced."""
    return SmbLocation(
        name=name,
        host=value["host"],
        share=value["share"],
        username=value["username"],
        password=SecretRef(**given(value["password"], file=str, secret=SecretName)),
        **given_remote(value),
        **given(value, port=int, domain=str, encrypt=bool, flush=bool),
    )


def format_smb(location: SmbLocation) -> dict[str, Any]:
    """Return what ``location`` has besides the fields of every `RemoteLocation`, in the words of its document."""
    kept = location.password
    value: dict[str, Any] = {
        "host": location.host,
        "port": location.port,
        "share": location.share,
        "username": location.username,
        "password": {"file": kept.file} if kept.secret is None else {"secret": kept.secret},
        "encrypt": location.encrypt,
        "flush": location.flush,
    }
    if location.domain is not None:
        value["domain"] = location.domain
    return value


def check_smb(location: SmbLocation) -> Iterator[Fault]:
    """Give what is wrong with ``location`` by itself."""
    for part in location.path.split("/"):
        wrong = None if part in {"", "."} else wrong_name(part)
        if wrong is not None:
            yield Fault(
                pointer="/path",
                rule="name",
                message=f"no folder of a Windows server is called {show(part)}: {wrong}",
                hint="take the folder's name as it is on the server",
            )
