"""Open a location, of whichever kind, with the secrets of this member."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from mftgit.adapters.clock import Clock
from mftgit.adapters.endpoint.contract import Endpoint, RemoteEndpoint
from mftgit.adapters.ftps import connect as ftps_connect
from mftgit.adapters.ftps import endpoint as ftps
from mftgit.adapters.ftps import login as ftps_login
from mftgit.adapters.https import endpoint as https
from mftgit.adapters.https import login as https_login
from mftgit.adapters.local.endpoint import open_local
from mftgit.adapters.s3 import client as s3_client
from mftgit.adapters.s3 import endpoint as s3
from mftgit.adapters.sftp import connect as sftp_connect
from mftgit.adapters.sftp import endpoint as sftp
from mftgit.adapters.sftp import login as sftp_login
from mftgit.adapters.smb import connect as smb_connect
from mftgit.adapters.smb import endpoint as smb
from mftgit.model.locations.ftps import FtpsLocation
from mftgit.model.locations.https_location import HttpsLocation
from mftgit.model.locations.location import LocalLocation, Location, RemoteLocation, SftpLocation
from mftgit.model.locations.s3_location import S3Location
from mftgit.model.locations.smb import SmbLocation
from mftgit.model.names import SecretName
from mftgit.model.secrets.value import SecretValue

Secrets = Mapping[SecretName, SecretValue]


class _Connect(Protocol):
    def __call__(
        self,
        location: Any,
        *,
        secrets_dir: Path,
        secrets: Secrets,
        clock: Clock | None,
        passed: Callable[[str], None],
    ) -> RemoteEndpoint: ...


class _Prepare(Protocol):
    def __call__(self, location: Any, *, secrets_dir: Path, values: Secrets) -> object: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """How locations of one kind are opened.

    ``stages`` are what connecting does one after the other, as it tells ``passed``. ``prepare`` reads the secrets
    without connecting, and raises ConfigError where that cannot be.
    """

    stages: tuple[str, ...]
    prepare: _Prepare
    connect: _Connect


_KINDS: Final[Mapping[type[RemoteLocation], _Kind]] = {
    SftpLocation: _Kind(
        stages=sftp_connect.STAGES, prepare=sftp_login.prepare, connect=sftp.connect
    ),
    SmbLocation: _Kind(stages=smb_connect.STAGES, prepare=smb_connect.prepare, connect=smb.connect),
    S3Location: _Kind(stages=s3.STAGES, prepare=s3_client.prepare, connect=s3.connect),
    FtpsLocation: _Kind(
        stages=ftps_connect.STAGES, prepare=ftps_login.prepare, connect=ftps.connect
    ),
    HttpsLocation: _Kind(stages=https.STAGES, prepare=https_login.prepare, connect=https.connect),
}


def open_location(
    location: Location,
    *,
    files_root: Path,
    secrets_dir: Path,
    secrets: Secrets,
    make: bool,
    passed: Callable[[str], None],
) -> Endpoint:
    """Return a fresh endpoint of ``location``; with ``make`` a folder of this machine that is missing is made.

    ``passed`` is told of each of `stages` that was come through.

    Raises:
        MftgitError: it cannot be opened; see `open_local` and `connect`.
    """
    if isinstance(location, LocalLocation):
        opened = open_local(location, files_root=files_root, make=make)
        passed("open")
        return opened
    return connect(location, secrets_dir=secrets_dir, secrets=secrets, passed=passed)


def connect(
    location: RemoteLocation,
    *,
    secrets_dir: Path,
    secrets: Secrets,
    clock: Clock | None = None,
    passed: Callable[[str], None] = lambda _stage: None,
) -> RemoteEndpoint:
    """Connect and log in to ``location``.

    Raises:
        ConfigError: a secret is missing or open to others; `HostKeyError` and `LoginError` are of this kind.
        EndpointRefusedError: the server speaks nothing that is safe.
        EndpointLostError: it cannot be reached or does not answer in time.
    """
    return _KINDS[type(location)].connect(
        location, secrets_dir=secrets_dir, secrets=secrets, clock=clock, passed=passed
    )


def prepare(location: Location, *, secrets_dir: Path, secrets: Secrets) -> None:
    """See that what is needed on this machine to log in to ``location`` is there.

    Raises:
        ConfigError: a secret or a program is missing, or a secret is empty, unreadable, or open to other users.
    """
    if isinstance(location, RemoteLocation):
        _KINDS[type(location)].prepare(location, secrets_dir=secrets_dir, values=secrets)


def stages(location: Location) -> tuple[str, ...]:
    """Return what opening ``location`` does one after the other, in words."""
    return ("open",) if isinstance(location, LocalLocation) else _KINDS[type(location)].stages
