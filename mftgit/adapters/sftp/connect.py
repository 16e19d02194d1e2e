"""From a location to an open SFTP channel: its secrets, the pinned host keys, the logins, the subsystem."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Timer
from typing import Final

import paramiko

from mftgit.adapters.endpoint.contract import EndpointLostError, EndpointRefusedError
from mftgit.adapters.location_secrets import Values
from mftgit.adapters.sftp.exec import output_of
from mftgit.adapters.sftp.host_key import open_pinned_transport
from mftgit.adapters.sftp.jump import ThroughJump
from mftgit.adapters.sftp.login import Way, log_in, prepare
from mftgit.adapters.sftp.session import Session
from mftgit.adapters.sftp.transport import TROUBLE, hang_up, reason
from mftgit.adapters.sftp.wire import StatusError
from mftgit.adapters.ssh.stream import ChannelStream
from mftgit.model.locations.hop import Hop
from mftgit.model.locations.location import SftpLocation

STAGES: Final = ("read secrets", "connect", "log in", "start SFTP")
"""What is done one after the other until files can be asked for. Connecting includes the host key, and a jump host."""

Passed = Callable[[str], None]
"""Is told of each of `STAGES` as it is done."""

_SETTLE_S = 0.5  # in which the loss of a jump host reaches its own thread


def pass_by(_stage: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A channel on which the server speaks SFTP, and the connections that carry it."""

    transport: paramiko.Transport
    channel: paramiko.Channel
    server: Hop
    jump: ThroughJump | None = None

    def greet(self) -> Session:
        """See `sftp.conversation.Line`."""
        return Session(ChannelStream(self.channel), is_openssh=self.is_openssh)

    def further(self, count: int) -> list[Session]:
        """See `sftp.conversation.Line`; they are begun side by side."""
        with ThreadPoolExecutor(count, "channel") as pool:
            return [each for each in pool.map(self._another, range(count)) if each is not None]

    def _another(self, _number: int) -> Session | None:
        try:
            channel = _sftp_channel(self.transport, self.server)
            return Session(ChannelStream(channel), is_openssh=self.is_openssh)
        except (EndpointRefusedError, StatusError, *TROUBLE):
            return None

    def explain(self, error: BaseException) -> str:
        """Return why the connection was lost with ``error``, and at which hop."""
        if self.jump is not None:
            self.jump.transport.join(_SETTLE_S)
            if not self.jump.transport.is_active():
                return f"the connection to the {self.jump.hop.name} was lost"
        return reason(error)

    def output_of(
        self, command: str, given: bytes, *, within_s: float, most_bytes: int
    ) -> bytes | None:
        """See `sftp.exec.output_of`."""
        return output_of(self.transport, command, given, within_s=within_s, most_bytes=most_bytes)

    @property
    def is_openssh(self) -> bool:
        """Whether the server says that it is OpenSSH (RFC 4253, 4.2)."""
        return str(self.transport.remote_version).startswith("SSH-2.0-OpenSSH_")

    def close(self) -> None:
        """End the connections and their threads; a second call does nothing."""
        # The jump host first: what is said through a connection that is gone waits for nobody.
        if self.jump is not None:
            self.jump.close()
        hang_up(self.transport)


def open_channel(
    location: SftpLocation,
    *,
    secrets_dir: Path,
    values: Values,
    now: datetime,
    passed: Passed = pass_by,
) -> Connection:
    """Connect to ``location``, check its host key, log in and start SFTP; ``now`` is for certificates.

    A jump host is connected to before, with a host key and a login of its own. Errors name the server that they are
    of.

    ``passed`` is told of each of `STAGES` but the last.

    Raises:
        ConfigError: a secret is missing, empty, unreadable, or open to other users of this machine.
        HostKeyError: the server shows nothing that is in ``host_keys`` or certified by ``host_ca``; no credential
            was sent.
        LoginError: the server took none of ``location.auth``.
        EndpointRefusedError: the server has no safe algorithm or no SFTP for us.
        EndpointLostError: it cannot be reached or does not answer in time.
    """
    ways = prepare(location, secrets_dir=secrets_dir, values=values)
    passed(STAGES[0])
    *before, server = ways
    if not before:
        return _connect(server, ways[server], now, None, passed)
    through = before[0]
    with _telling(through):
        jump = ThroughJump(
            transport=_enter(through, ways[through], now, None, pass_by), hop=through
        )
    try:
        return _connect(server, ways[server], now, jump, passed)
    except BaseException:
        jump.close()
        raise


def _connect(
    server: Hop, ways: list[Way], now: datetime, jump: ThroughJump | None, passed: Passed
) -> Connection:
    with _telling(server):
        transport = _enter(server, ways, now, jump, passed)
        try:
            channel = _sftp_channel(transport, server)
        except BaseException:
            hang_up(transport)
            raise
    return Connection(transport=transport, channel=channel, server=server, jump=jump)


def _enter(
    hop: Hop, ways: list[Way], now: datetime, jump: ThroughJump | None, passed: Passed
) -> paramiko.Transport:
    """Connect to ``hop``, check its host key and log in."""
    transport = open_pinned_transport(hop, now=now, jump=jump)
    try:
        passed(STAGES[1])
        log_in(transport, hop, ways)
        passed(STAGES[2])
        transport.set_keepalive(hop.keepalive_s)
    except BaseException:
        hang_up(transport)
        raise
    return transport


@contextmanager
def _telling(hop: Hop) -> Iterator[None]:
    """Turn what paramiko and sockets raise while connecting into `EndpointLostError`."""
    try:
        yield
    except TROUBLE as error:
        what = "SSH" if hop.fields else "SFTP"
        raise EndpointLostError(
            f"{hop.name} cannot be reached by {what}: {reason(error)}"
        ) from error


def _sftp_channel(transport: paramiko.Transport, server: Hop) -> paramiko.Channel:
    """Open a session and start its subsystem "sftp" (RFC 4254, 6.5; draft-ietf-secsh-filexfer-02, 2)."""
    try:
        channel = transport.open_session(timeout=server.connect_s)
        channel.settimeout(server.timeout_s)
        # paramiko waits for this answer without end.
        watch = Timer(server.connect_s, hang_up, [transport])
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
            f"{server.name} let {server.username!r} in, but not to SFTP: {error}"
        ) from error
    return channel
