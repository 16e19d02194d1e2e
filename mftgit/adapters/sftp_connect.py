"""From a location to an open SFTP channel: its secrets, the socket, the pinned host key, the login."""

import io
import os
import socket
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from mftgit.adapters.endpoint import (
    EndpointLostError,
    EndpointRefusedError,
    HostKeyError,
    LoginError,
)
from mftgit.errors import ConfigError
from mftgit.model.config import Auth, KeyAuth, SftpLocation

TROUBLE = (
    OSError,
    EOFError,
    UnicodeError,  # a host name that cannot be one
    struct.error,
    paramiko.SSHException,
    paramiko.SFTPError,
)
"""What sockets and paramiko raise when a connection fails, is lost, or carries nonsense."""

# AES-GCM first: several times faster here than CTR with a MAC. No CBC, 3DES, MD5 or SHA-1, which paramiko 5.1
# still offers; a list of what is allowed stays safe when paramiko adds something.
_CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
_MACS = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
)
# Host key algorithms by the type of key that they show, in the order in which they are asked for.
_HOST_KEYS = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}
_KEEPALIVE_S = 15
_POLL_S = 3.0  # paramiko's own 0.1 s costs 4.7 % of a core for 100 idle connections
_WINDOW_BYTES = (
    16 << 20
)  # more than is ever asked for at once, so that the window never stops a server
_PACKET_BYTES = 256 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A channel on which the server speaks SFTP, and the connection that carries it."""

    transport: paramiko.Transport
    channel: paramiko.Channel

    def close(self) -> None:
        """End the connection and its threads; a second call does nothing."""
        hang_up(self.transport)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """One way to log in; ``name`` is for messages and holds no secret."""

    name: str
    attempt: Callable[[paramiko.Transport], list[str]]


def server_name(location: SftpLocation) -> str:
    """Return the server as messages name it: ``host:port``."""
    return f"{location.host}:{location.port}"


def open_channel(location: SftpLocation, *, secrets_dir: Path) -> Connection:
    """Connect to ``location``, check its host key, log in and start SFTP.

    Raises:
        ConfigError: a secret is missing, empty, unreadable, or open to other users of this machine.
        HostKeyError: no key that the server shows is in ``location.host_keys``; no credential was sent.
        LoginError: the server took none of ``location.auth``.
        EndpointRefusedError: the server has no safe algorithm or no SFTP for us.
        EndpointLostError: it cannot be reached or does not answer within ``location.timeout_s``.
    """
    ways = [_way(location.username, auth, secrets_dir) for auth in location.auth]
    transport = _transport_with_pinned_key(location)
    try:
        with _telling(location):
            _log_in(transport, location, ways)
            return Connection(transport=transport, channel=_sftp_channel(transport, location))
    except BaseException:
        hang_up(transport)
        raise


def hang_up(transport: paramiko.Transport) -> None:
    """Close ``transport`` and wait for its thread; a closed one is fine."""
    # Without the shutdown, the thread would notice only at the end of its poll.
    with suppress(OSError):
        transport.sock.shutdown(socket.SHUT_RDWR)
    transport.close()
    transport.sock.close()
    if transport.is_alive():
        transport.join(_POLL_S)
    transport.packetizer.complete_handshake()  # ends the timer thread of a handshake that failed


def _way(username: str, auth: Auth, secrets_dir: Path) -> _Way:
    secret = _read_secret(secrets_dir, auth.file)
    if isinstance(auth, KeyAuth):
        key = _private_key(secret, auth.file)
        return _Way(
            name=f"key in {auth.file!r} ({key.get_name()} {key.fingerprint})",
            attempt=lambda transport: transport.auth_publickey(username, key),
        )
    password = secret.removesuffix("\n").removesuffix("\r")
    if not password:
        raise ConfigError(f"secret {auth.file!r} is empty: a password was expected")
    return _Way(
        name=f"password in {auth.file!r}",
        attempt=lambda transport: transport.auth_password(username, password),
    )


def _read_secret(secrets_dir: Path, file: str) -> str:
    """Read a secret that nobody but its owner can read; its content is in no message."""
    if "\0" in file or Path(file).name != file:
        raise ConfigError(f"secret {file!r} is not a plain file name: name a file in {secrets_dir}")
    path = secrets_dir / file
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(
            f"secret {path} cannot be read: {error.strerror}: put it there with mode 600"
        ) from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise ConfigError(f"secret {path} is not a regular file")
        if mode & 0o077:
            raise ConfigError(
                f"secret {path} has mode {stat.S_IMODE(mode):o}, so that others may use it: chmod 600 {path}"
            )
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            content = stream.read()
    finally:
        os.close(descriptor)
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"secret {path} is not text in UTF-8") from None  # the error holds it


def _private_key(text: str, file: str) -> paramiko.PKey:
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(text))
        except paramiko.PasswordRequiredException:
            raise ConfigError(
                f"key in {file!r} needs a passphrase: take it off with 'ssh-keygen -p', or use another key"
            ) from None
        except (paramiko.SSHException, ValueError, IndexError, struct.error):
            continue
    raise ConfigError(
        f"{file!r} is not a private key of type ed25519, ecdsa or rsa: make one with 'ssh-keygen -t ed25519'"
    )


def _transport_with_pinned_key(location: SftpLocation) -> paramiko.Transport:
    """Connect, and come back asking for another type of key as long as the server shows unpinned ones.

    A fingerprint does not tell the type of its key, and a server shows one key for each connection.
    """
    shown: list[str] = []
    types = dict(_HOST_KEYS)
    while types:
        transport = _handshake(location, types, first=not shown)
        if transport is None:
            break
        key = transport.get_remote_server_key()
        if key.fingerprint in location.host_keys:
            return transport
        hang_up(transport)
        shown.append(f"{key.get_name()} {key.fingerprint}")
        types.pop(key.get_name(), None)
    raise HostKeyError(
        f"{server_name(location)} showed the host key {' and '.join(shown)}, "
        f"but location {location.name!r} expects {' or '.join(location.host_keys)}: nothing was sent; "
        "ask the partner whether the key was changed, and only if they confirm the new one, put it into "
        f"host_keys of locations/{location.name}.yaml"
    )


def _handshake(
    location: SftpLocation, types: dict[str, tuple[str, ...]], *, first: bool
) -> paramiko.Transport | None:
    """Return a transport with keys exchanged; None when the server has no host key of the types left."""
    with _telling(location):
        sock = _dial(location)
        transport = _transport(sock, location, types)
        try:
            _exchange_keys(transport, timeout_s=location.timeout_s)
        except IncompatiblePeer as error:
            hang_up(transport)
            if not first:
                return None
            raise EndpointRefusedError(
                f"{server_name(location)} has no algorithm that is safe and known here: {error}"
            ) from error
        except BaseException:
            hang_up(transport)
            raise
        return transport


def _dial(location: SftpLocation) -> socket.socket:
    sock = socket.create_connection((location.host, location.port), timeout=location.timeout_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # paramiko sends without end into a peer that takes nothing any more; this makes the kernel give up (tcp(7)).
    sock.setsockopt(
        socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, int(location.timeout_s * 1000))
    )
    return sock


def _transport(
    sock: socket.socket, location: SftpLocation, types: dict[str, tuple[str, ...]]
) -> paramiko.Transport:
    transport = paramiko.Transport(
        sock, default_window_size=_WINDOW_BYTES, default_max_packet_size=_PACKET_BYTES
    )
    sock.settimeout(min(_POLL_S, location.timeout_s))
    options = transport.get_security_options()
    options.ciphers = _CIPHERS
    options.digests = _MACS
    options.key_types = tuple(name for names in types.values() for name in names)
    transport.banner_timeout = location.timeout_s
    transport.handshake_timeout = location.timeout_s
    transport.auth_timeout = location.timeout_s
    transport.channel_timeout = location.timeout_s
    transport.clear_to_send_timeout = location.timeout_s
    return transport


def _exchange_keys(transport: paramiko.Transport, *, timeout_s: float) -> None:
    transport.start_client(timeout=timeout_s)
    if not transport.initial_kex_done:  # start_client returns as if all were well
        raise TimeoutError


def _log_in(transport: paramiko.Transport, location: SftpLocation, ways: list[_Way]) -> None:
    """Try ``ways`` in order; a server may want several of them, one after the other."""
    results: list[str] = []
    for way in ways:
        try:
            wanted = way.attempt(transport)
        except paramiko.BadAuthenticationType as error:
            results.append(f"{way.name}: the server takes only {', '.join(error.allowed_types)}")
        except (paramiko.SSHException, EOFError, OSError) as error:
            # A server that has heard enough hangs up: to come again would only lock the account.
            if not results and _went_away(transport, error):
                raise
            results.append(f"{way.name}: refused")
        else:
            if transport.is_authenticated():
                return
            results.append(f"{way.name}: taken, but the server wants {', '.join(wanted)} as well")
    raise LoginError(
        f"{server_name(location)} does not let {location.username!r} in ({'; '.join(results)}): "
        f"check username and auth of locations/{location.name}.yaml and the files in secrets"
    )


def _went_away(transport: paramiko.Transport, error: Exception) -> bool:
    # paramiko tells a silent server from a refusal by the text alone.
    return not transport.is_active() or "timeout" in str(error).lower()


def _sftp_channel(transport: paramiko.Transport, location: SftpLocation) -> paramiko.Channel:
    try:
        channel = transport.open_session(timeout=location.timeout_s)
        channel.settimeout(location.timeout_s)
        transport.set_keepalive(_KEEPALIVE_S)
        # paramiko waits for this answer without end.
        watch = Timer(location.timeout_s, hang_up, [transport])
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


@contextmanager
def _telling(location: SftpLocation) -> Iterator[None]:
    """Turn what paramiko and sockets raise while connecting into `EndpointLostError`."""
    try:
        yield
    except TROUBLE as error:
        raise EndpointLostError(
            f"{server_name(location)} cannot be reached by SFTP: {reason(error)}"
        ) from error


def reason(error: BaseException) -> str:
    """Return what ``error`` says, or for one that says nothing what it means."""
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    return str(error) or "the connection was closed"
