"""A connection to a server that has shown a host key which its location pins (RFC 4253, 8)."""

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from mftgit.adapters.endpoint import EndpointRefusedError, HostKeyError
from mftgit.adapters.sftp_transport import hang_up, open_transport, server_name
from mftgit.model.config import SftpLocation

# Host key algorithms by the type of key that they show, in the order in which they are asked for: RFC 8709 (ed25519),
# RFC 5656 (ecdsa), RFC 8332 (rsa with SHA-2).
_HOST_KEYS = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}


def open_pinned_transport(location: SftpLocation) -> paramiko.Transport:
    """Connect, and come back asking for another type of key as long as the server shows unpinned ones.

    A fingerprint does not tell the type of its key, and a server shows one key for each connection.

    Raises:
        HostKeyError: no key that the server shows is in ``location.host_keys``; no credential was sent.
        EndpointRefusedError: the server has no safe algorithm.
    """
    shown: list[str] = []
    types = dict(_HOST_KEYS)
    while types:
        transport = _handshake(location, types, first=not shown)
        if transport is None:
            break
        try:
            key = transport.get_remote_server_key()
        except BaseException:
            hang_up(transport)
            raise
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
    wanted = [name for names in types.values() for name in names]
    try:
        return open_transport(location, key_types=wanted)
    except IncompatiblePeer as error:
        if not first:
            return None
        raise EndpointRefusedError(
            f"{server_name(location)} has no algorithm that is safe and known here: {error}"
        ) from error
