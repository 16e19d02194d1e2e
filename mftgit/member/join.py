"""Become a member: check the controller by the token's fingerprint, make a key, be let in."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from mftgit.adapters import age
from mftgit.adapters.channel import Channel, fetch_authority
from mftgit.adapters.durable import write_file
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.adapters.tls import pki
from mftgit.errors import ConfigError, MftgitError
from mftgit.model.configuration.config import Role
from mftgit.model.members.token import JoinToken


def join(
    folder: StateFolder,
    *,
    controller_url: str,
    token: JoinToken,
    files_root: Path | None,
    now: Callable[[], datetime],
    again: bool = False,
) -> Bootstrap:
    """Join the cluster of ``controller_url`` and make ``folder`` that member's state.

    May be repeated when it was broken off: the key that was made is used again, and the controller
    lets the same key in again. A node that joins ``again`` keeps its folder: key, history, anchor, events and files
    root; where it runs, its transfers go on, and it follows that controller at its next look.

    Raises:
        ConfigError: the folder holds a member already, or the controller is not the token's.
        MftgitError: the controller refused the token.
        TransientError: no answer; try again.
    """
    if again:
        _check_again(folder, token)
    else:
        folder.prepare()
    authority = fetch_authority(controller_url, expected_fingerprint=token.ca_sha256)
    if not again:
        write_file(folder.ca_file, authority)
    if not folder.member_key.exists():
        folder.write_secret(folder.member_key, pki.make_identity())
    age.ensure_identity(folder.age_key)
    public_key = pki.public_identity(folder.member_key.read_bytes())
    channel = Channel(controller_url, ca_file=authority, headers=lambda _method, _path: {})
    try:
        answer = channel.join(member=token.member, secret=token.secret, public_key=public_key)
    finally:
        channel.close()
    try:
        bootstrap = Bootstrap(
            name=token.member,
            role=Role(answer["role"]),
            cluster_id=str(answer["cluster_id"]),
            controller_url=controller_url.rstrip("/"),
            files_root=str(files_root or folder.default_files_root),
        )
        last_seq = int(answer["last_seq"])
    except (KeyError, ValueError, TypeError) as error:
        raise MftgitError(f"{controller_url}: the answer to the join lacks {error}") from error
    events = EventStore(folder.events, member=token.member, now=now)
    try:
        events.start_after(last_seq)
    finally:
        events.close()
    if again:
        before = folder.read_bootstrap()
        if bootstrap.cluster_id != before.cluster_id:
            raise ConfigError(
                f"{controller_url} is the controller of another cluster: join with a new folder"
            )
        bootstrap = replace(before, controller_url=bootstrap.controller_url)
        # Between the two, the old address is not reached by the new authority: it is said again then.
        write_file(folder.ca_file, authority)
    folder.write_bootstrap(bootstrap)
    return bootstrap


def _check_again(folder: StateFolder, token: JoinToken) -> None:
    before = folder.read_bootstrap()
    folder.check_user()
    if before.role is not Role.NODE or before.name != token.member:
        raise ConfigError(
            f"{folder.root} is the state of {before.name}: the token is for the node {token.member}"
        )
