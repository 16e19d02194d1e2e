"""An SFTP location as its document says it, read and written."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mftgit.model.documents.given import Value, given, given_remote
from mftgit.model.keys.algorithms import Algorithms
from mftgit.model.locations.location import Client, Jump, SftpLocation
from mftgit.model.locations.login import Auth, Kept, KeyAuth, PasswordAuth, SecretRef
from mftgit.model.names import LocationName, SecretName


def build_sftp(name: LocationName, value: Value) -> SftpLocation:
    """Return what ``locations/NAME.yaml`` of the type sftp says, once its templates are replaced."""
    return SftpLocation(
        name=name,
        host=value["host"],
        username=value["username"],
        auth=_auth(value["auth"]),
        **given_remote(value),
        **given(
            value,
            port=int,
            host_keys=tuple,
            host_ca=tuple,
            jump=_jump,
            client=Client,
            legacy=bool,
            algorithms=build_algorithms,
            keepalive_s=int,
            flush=bool,
            channels=int,
        ),
    )


def _jump(value: Value) -> Jump:
    return Jump(
        host=value["host"],
        username=value["username"],
        host_keys=tuple(value["host_keys"]),
        auth=_auth(value["auth"]),
        **given(value, port=int),
    )


def build_algorithms(value: Value) -> Algorithms:
    """Return what ``algorithms`` says."""
    return Algorithms(**given(value, ciphers=tuple, macs=tuple, kex=tuple, host_keys=tuple))


def format_sftp(location: SftpLocation) -> dict[str, Any]:
    """Return what ``location`` has besides the fields of every `RemoteLocation`, in the words of its document."""
    value = {
        "host": location.host,
        "port": location.port,
        "username": location.username,
        "host_keys": location.host_keys,
        "host_ca": location.host_ca,
        "auth": [_format_way(way) for way in location.auth],
        "client": location.client.value,
        "legacy": location.legacy,
        "algorithms": asdict(location.algorithms),
        "keepalive_s": location.keepalive_s,
        "flush": location.flush,
        "channels": location.channels,
    }
    if location.jump is not None:
        value["jump"] = _format_jump(location.jump)
    return value


def _format_jump(jump: Jump) -> dict[str, Any]:
    return {
        "host": jump.host,
        "port": jump.port,
        "username": jump.username,
        "host_keys": jump.host_keys,
        "auth": [_format_way(way) for way in jump.auth],
    }


def _auth(ways: list[Value]) -> tuple[Auth, ...]:
    return tuple(_way(way) for way in ways)


def _way(way: Value) -> Auth:
    if "password" in way:
        return PasswordAuth(**_kept(way["password"]))
    return KeyAuth(
        **_kept(way["private_key"]),
        **given(way, passphrase=_reference, certificate=_certificate),
    )


def _certificate(value: str | Value) -> str | SecretRef:
    return value if isinstance(value, str) else _reference(value)


def _reference(value: Value) -> SecretRef:
    return SecretRef(**_kept(value))


def _kept(value: Value) -> dict[str, Any]:
    return given(value, file=str, secret=SecretName)


def _format_way(way: Auth) -> Mapping[str, Any]:
    if isinstance(way, PasswordAuth):
        return {"password": _format_kept(way)}
    value = {"private_key": _format_kept(way)}
    if way.passphrase is not None:
        value["passphrase"] = _format_kept(way.passphrase)
    if way.certificate is not None:
        value["certificate"] = _format_kept(way.certificate)
    return value


def _format_kept(kept: str | Kept) -> Any:
    if isinstance(kept, str):
        return kept
    return {"file": kept.file} if kept.secret is None else {"secret": kept.secret}
