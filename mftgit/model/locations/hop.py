"""The SSH servers on the way to a location, the last of which serves its files."""

from dataclasses import dataclass

from mftgit.model.keys.algorithms import Algorithms, with_legacy
from mftgit.model.keys.ssh_certificate import SUFFIX
from mftgit.model.locations.location import SftpLocation
from mftgit.model.locations.login import Auth


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One server: where it is, how it is known, how to log in there.

    ``name`` is what messages call it, and ``fields`` says where its own fields stand in the location's document.
    """

    name: str
    document: str
    fields: str
    host: str
    port: int
    username: str
    host_keys: tuple[str, ...]
    host_ca: tuple[str, ...]
    auth: tuple[Auth, ...]
    algorithms: Algorithms
    timeout_s: float
    connect_s: float
    keepalive_s: int


def server_of(location: SftpLocation) -> Hop:
    """Return the server that has the files of ``location``."""
    return Hop(
        name=f"{location.host}:{location.port}",
        document=f"locations/{location.name}.yaml",
        fields="",
        host=location.host,
        port=location.port,
        username=location.username,
        host_keys=location.host_keys,
        host_ca=location.host_ca,
        auth=location.auth,
        algorithms=location.algorithms,
        timeout_s=location.timeout_s,
        connect_s=location.connect_s,
        keepalive_s=location.keepalive_s,
    )


def _jump_of(location: SftpLocation) -> Hop | None:
    """Return the server through which that of ``location`` is reached; None where it is reached itself."""
    jump = location.jump
    if jump is None:
        return None
    return Hop(
        name=f"jump host {jump.host}:{jump.port}",
        document=f"locations/{location.name}.yaml",
        fields="jump.",
        host=jump.host,
        port=jump.port,
        username=jump.username,
        host_keys=jump.host_keys,
        host_ca=(),
        auth=jump.auth,
        algorithms=location.algorithms,
        timeout_s=location.timeout_s,
        connect_s=location.connect_s,
        keepalive_s=location.keepalive_s,
    )


def hops(location: SftpLocation) -> tuple[Hop, ...]:
    """Return the servers on the way to ``location``, the one that has its files at the end."""
    jump = _jump_of(location)
    return (server_of(location),) if jump is None else (jump, server_of(location))


def host_key_kinds(hop: Hop, *, legacy: bool = False) -> dict[str, tuple[str, ...]]:
    """Return the algorithms to ask ``hop`` for, by the kind of host key or certificate that it shows for them.

    Certificates come first, where an authority is named. Plain keys are asked for without pinned ones too: what a
    server without a certificate shows can be told.
    """
    algorithms = with_legacy(hop.algorithms) if legacy else hop.algorithms
    plain = algorithms.host_keys_by_kind()
    certified = {
        kind + SUFFIX: tuple(name + SUFFIX for name in names) for kind, names in plain.items()
    }
    return {**(certified if hop.host_ca else {}), **plain}
