"""Open a location, of whichever kind, with the secrets of this member."""

from collections.abc import Callable, Mapping
from pathlib import Path

from mftgit.adapters.clock import Clock
from mftgit.adapters.endpoint import Endpoint
from mftgit.adapters.local import open_local
from mftgit.adapters.sftp import connect
from mftgit.model.config import LocalLocation, Location
from mftgit.model.names import SecretName
from mftgit.model.secret_value import SecretValue


def open_location(
    location: Location,
    *,
    files_root: Path,
    secrets_dir: Path,
    secrets: Mapping[SecretName, SecretValue],
    make: bool,
    clock: Clock | None = None,
    passed: Callable[[str], None] = lambda _stage: None,
) -> Endpoint:
    """Return a fresh endpoint of ``location``; with ``make`` a folder of this machine that is missing is made.

    ``passed`` is told of each of `mftgit.adapters.sftp_connect.STAGES` that a connection has come through; of a local
    folder, which has none, of "open".

    Raises:
        MftgitError: it cannot be opened; see `open_local` and `connect`.
    """
    if isinstance(location, LocalLocation):
        opened = open_local(location, files_root=files_root, make=make)
        passed("open")
        return opened
    return connect(location, secrets_dir=secrets_dir, secrets=secrets, clock=clock, passed=passed)
