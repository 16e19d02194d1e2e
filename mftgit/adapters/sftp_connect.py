"""From a location to an open SFTP channel: its secrets, the pinned host key, the login, the subsystem."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Timer

import paramiko

from mftgit.adapters.endpoint import EndpointLostError, EndpointRefusedError
from mftgit.adapters.sftp_host_key import open_pinned_transport
from mftgit.adapters.sftp_login import log_in, prepare
from mftgit.adapters.sftp_secrets import Values
from mftgit.adapters.sftp_transport import TROUBLE, hang_up, reason, server_name
from mftgit.model.config import SftpLocation


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A channel on which the server speaks SFTP, and the connection that carries it."""

    transport: paramiko.Transport
    channel: paramiko.Channel

    @property
    def is_openssh(self) -> bool:
        """Whether the server says that it is OpenSSH (RFC 4253, 4.2)."""
        return str(self.transport.remote_version).startswith("SSH-2.0-OpenSSH_")

    def close(self) -> None:
        """End the connection and its threads; a second call does nothing."""
        hang_up(self.transport)


def open_channel(
    location: SftpLocation, *, secrets_dir: Path, values: Values, now: datetime
) -> Connection:
    """Connect to ``location``, check its host key, log in and start SFTP; ``now`` is for certificates.

    Raises:
        ConfigError: a secret is missing, empty, unreadable, or open to other users of this machine.
        HostKeyError: the server shows nothing that is in ``host_keys`` or certified by ``host_ca``; no credential
            was sent.
        LoginError: the server took none of ``location.auth``.
        EndpointRefusedError: the server has no safe algorithm or no SFTP for us.
        EndpointLostError: it cannot be reached or does not answer in time.
    """
    ways = prepare(location, secrets_dir=secrets_dir, values=values)
    with _telling(location):
        transport = open_pinned_transport(location, now=now)
        try:
            log_in(transport, location, ways)
            return Connection(transport=transport, channel=_sftp_channel(transport, location))
        except BaseException:
            hang_up(transport)
            raise


@contextmanager
def _telling(location: SftpLocation) -> Iterator[None]:
    """Turn what paramiko and sockets raise while connecting into `EndpointLostError`."""
    try:
        yield
    except TROUBLE as error:
        raise EndpointLostError(
            f"{server_name(location)} cannot be reached by SFTP: {reason(error)}"
        ) from error


def _sftp_channel(transport: paramiko.Transport, location: SftpLocation) -> paramiko.Channel:
    """Open a session and start its subsystem "sftp" (RFC 4254, 6.5; draft-ietf-secsh-filexfer-02, 2)."""
    try:
        channel = transport.open_session(timeout=location.connect_s)
        channel.settimeout(location.timeout_s)
        transport.set_keepalive(location.keepalive_s)
        # paramiko waits for this answer without end.
        watch = Timer(location.connect_s, hang_up, [transport])
        watch.start()
        try:
            channel.invoke_subsystem("sftp")
        finally:
            watch.cancel()
            watch.join()
    except paramiko.SSHException as error:
        if not transport.is_active():
            raise
        raise EndpointRefusedError(
            f"{server_name(location)} let {location.username!r} in, but not to SFTP: {error}"
        ) from error
    return channel
