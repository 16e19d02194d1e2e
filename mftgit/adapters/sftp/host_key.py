"""A connection to a server whose host key its location pins, or has certified (RFC 4253, 8)."""

from datetime import datetime

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from mftgit.adapters.endpoint.contract import EndpointRefusedError, HostKeyError
from mftgit.adapters.sftp.jump import ThroughJump
from mftgit.adapters.sftp.transport import dial_directly, hang_up, open_transport
from mftgit.adapters.ssh.verify import is_certified
from mftgit.model.keys.host_authority import host_flaw, read_authority
from mftgit.model.keys.ssh_certificate import read_certificate
from mftgit.model.locations.hop import Hop, host_key_kinds


def open_pinned_transport(
    hop: Hop, *, now: datetime, jump: ThroughJump | None
) -> paramiko.Transport:
    """Connect, and come back asking for another type of key as long as the server shows none that is trusted.

    A fingerprint does not tell the type of its key, and a server shows one key for each connection. Certificates are
    asked for first, where an authority is named.

    Raises:
        HostKeyError: nothing that the server shows is in ``host_keys`` or certified by ``host_ca``; no credential was
            sent.
        EndpointRefusedError: the server has no safe algorithm.
    """
    shown: list[str] = []
    types = host_key_kinds(hop)
    while types:
        transport = _handshake(hop, types, jump, first=not shown)
        if transport is None:
            break
        try:
            key = transport.get_remote_server_key()
            flaw = _flaw(key, hop, now)
        except BaseException:
            hang_up(transport)
            raise
        if flaw is None:
            return transport
        hang_up(transport)
        shown.append(flaw)
        types.pop(_kind(key), None)
        if key.public_blob is None and not hop.host_keys:
            break  # certificates were asked for before plain keys: it has no further one
    raise HostKeyError(
        f"{hop.name} showed {' and '.join(shown)}, "
        f"but {hop.document} expects {' or '.join(_expected(hop))}: nothing was sent; "
        "ask the partner whether the key was changed, and only if they confirm the new one, put it into "
        f"{hop.fields}{'host_keys' if hop.host_keys else 'host_ca'} of {hop.document}"
    )


def _flaw(key: paramiko.PKey, hop: Hop, now: datetime) -> str | None:
    """Return why ``key``, which the server has proved to have, is not trusted; None where it is."""
    told = f"the host key {key.get_name()} {key.fingerprint}"
    if key.fingerprint in hop.host_keys:
        return None
    if key.public_blob is None:
        return told
    try:
        certificate = read_certificate(key.public_blob.key_blob)
    except ValueError as error:
        return f"{told} with a certificate that cannot be read ({error})"
    authorities = tuple(map(read_authority, hop.host_ca))
    flaw = host_flaw(certificate, host=hop.host, authorities=authorities, now=now)
    if flaw is None and not is_certified(certificate):
        flaw = "its signature is not by that authority"
    if flaw is None:
        return None
    return f"{told} with the certificate {certificate.key_id[:60]!r} ({flaw})"


def _kind(key: paramiko.PKey) -> str:
    return key.get_name() if key.public_blob is None else key.public_blob.key_type


def _expected(hop: Hop) -> list[str]:
    authorities = (read_authority(line).fingerprint for line in hop.host_ca)
    return [*hop.host_keys, *(f"a certificate by {each}" for each in authorities)]


def _handshake(
    hop: Hop, types: dict[str, tuple[str, ...]], jump: ThroughJump | None, *, first: bool
) -> paramiko.Transport | None:
    """Return a transport with keys exchanged; None when the server has no host key of the types left."""
    wanted = [name for names in types.values() for name in names]
    try:
        return open_transport(
            hop, key_types=wanted, dial=dial_directly if jump is None else jump.dial
        )
    except IncompatiblePeer as error:
        if not first:
            return None
        raise EndpointRefusedError(
            f"{hop.name} has no algorithm that is safe and known here: {error}: "
            f"ask the partner, or look at algorithms of {hop.document}"
        ) from error
