"""Reach the controller at another address, because an administrator of this machine says so."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime

from mftgit.adapters.channel import Channel
from mftgit.adapters.proof import Prover
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.errors import ConfigError
from mftgit.member.followed import ReplacedError, require_followed
from mftgit.model.configuration.config import Role
from mftgit.model.members.incarnation import Shown
from mftgit.model.members.record import parse_record


def follow_controller(
    folder: StateFolder, bootstrap: Bootstrap, url: str, *, now: Callable[[], datetime]
) -> str:
    """Try the controller at ``url`` with the node's own proof, then write it down; return the address.

    Raises:
        ConfigError: the folder is a controller's, or who answers there was replaced.
        MftgitError: no answer, or not from this cluster's controller; nothing was changed.
    """
    if bootstrap.role is not Role.NODE:
        raise ConfigError(f"{folder.root} is the controller's own: it follows nobody")
    key = folder.read(folder.member_key)
    prover = Prover(member=bootstrap.name, cluster_id=bootstrap.cluster_id, key=key, now=now)
    known = _shown(folder)
    with closing(Channel(url, ca_file=folder.ca_file, headers=prover.headers)) as channel:
        head = channel.head(None, known)
    if head is None:
        raise ConfigError(f"{url} has no head to follow")
    try:
        require_followed(
            known,
            head.shown,
            cluster_id=bootstrap.cluster_id,
            ca_pem=folder.read(folder.ca_file),
        )
    except ReplacedError as error:
        raise ConfigError(f"{url}: {error}") from error
    address = url.rstrip("/")
    folder.write_bootstrap(replace(bootstrap, controller_url=address))
    return address


def _shown(folder: StateFolder) -> Shown:
    if not folder.record.exists():
        return Shown()
    try:
        record = parse_record(folder.read(folder.record))
    except ValueError:
        return Shown()
    return Shown(incarnation=record.incarnation, warrant=record.warrant)
