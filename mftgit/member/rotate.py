"""Give a member another key without a gap: make the next one, offer it, put it in the place of the present one.

A kill between any two steps leaves one of these, K and L being the keys, and in each the member gets in:

| present file | next file | registry | next there | what happens |
|---|---|---|---|---|
| K | | K | | at rest |
| K | L | K | | L was made, and is not taken: the next call offers L |
| K | L | K | L | L is taken, but not in place: the next call offers L again, which changes nothing |
| L | | K | L | L is in place: its first use, by whatever request, ends K |
| L | | L | | at rest |

The controller never sees L used before the file with L is durably in place: `mftgit.adapters.member_key` flushes
the folder before it uses a key. A next file that was lost or damaged is made anew, and what is offered then takes
the place of what was offered before.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mftgit.adapters.channel import Channel, ControllerRefusedError
from mftgit.adapters.durable import move_file
from mftgit.adapters.process_lock import one_at_a_time
from mftgit.adapters.proof import Prover
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.adapters.tls import pki
from mftgit.errors import ConfigError, MftgitError


class KeyRefusedError(MftgitError):
    """The controller did not take the next key, or the present one that was to prove it."""


class KeyLine(Protocol):
    """To the controller, which knows the keys: over the network from a node, in the process on the controller."""

    def offer(self, key: bytes) -> None:
        """Return when ``key`` opens the doors beside the present one; raises MftgitError."""

    def confirm(self, key: bytes) -> None:
        """Use ``key``, which ends the one before; raises MftgitError, and then its next use does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """The new key's fingerprint, and whether the one before has ended; if not, the next request ends it."""

    fingerprint: str
    previous_ended: bool


def rotate_key(folder: StateFolder, line: KeyLine) -> Rotated:
    """Replace the key of the member in ``folder``, whether the member runs or not.

    May be repeated when it was broken off: it goes on where it was.

    Raises:
        ConfigError: the folder is another user's, who could not read the new key.
        BusyError: another process is at it.
        MftgitError: the controller did not take the next key; the present one is in force.
    """
    folder.check_user()
    with one_at_a_time(folder.root):
        key = _next_key(folder)
        line.offer(key)
        try:
            move_file(folder.next_key, folder.member_key)
        except OSError as error:
            raise _unwritable(folder, error) from error
    try:
        line.confirm(key)
    except MftgitError:
        ended = False
    else:
        ended = True
    fingerprint = pki.identity_fingerprint(pki.public_identity(key))
    return Rotated(fingerprint=fingerprint, previous_ended=ended)


class RemoteKeyLine:
    """A node's line, over HTTPS."""

    def __init__(
        self, folder: StateFolder, bootstrap: Bootstrap, *, now: Callable[[], datetime]
    ) -> None:
        """Offer with the key that is in ``folder`` at that time."""
        self._folder = folder
        self._bootstrap = bootstrap
        self._now = now

    def offer(self, key: bytes) -> None:
        """See `KeyLine.offer`."""
        try:
            self._send(key, proven_by=self._folder.read(self._folder.member_key))
        except ControllerRefusedError as error:
            raise KeyRefusedError(
                f"{error}: the key here stays as it is; where the controller does not know it, say there "
                "`mftgit member remove` and `mftgit member add`, and join again into another folder"
            ) from error

    def confirm(self, key: bytes) -> None:
        """See `KeyLine.confirm`; to offer the key that is in force changes nothing else."""
        if not self._send(key, proven_by=key):
            raise MftgitError("the controller could not end the key before yet")

    def _send(self, key: bytes, *, proven_by: bytes) -> bool:
        offered = self._prover(key)
        headers = self._prover(proven_by).headers
        url, ca_file = self._bootstrap.controller_url, self._folder.ca_file
        with closing(Channel(url, ca_file=ca_file, headers=headers)) as channel:
            return channel.offer_key(
                self._bootstrap.name,
                public_key=offered.public_key,
                possession=offered.possession(),
            )

    def _prover(self, key: bytes) -> Prover:
        own = self._bootstrap
        return Prover(member=own.name, cluster_id=own.cluster_id, key=key, now=self._now)


def _next_key(folder: StateFolder) -> bytes:
    """Return the key that was made before and may be known to the controller, or else a new one."""
    try:
        key = folder.next_key.read_bytes()
        pki.public_identity(key)
    except (FileNotFoundError, ConfigError):
        key = pki.make_identity()
        try:
            folder.write_secret(folder.next_key, key)
        except OSError as error:
            raise _unwritable(folder, error) from error
    except OSError as error:
        raise ConfigError(f"{folder.next_key}: cannot be read: {error.strerror}") from error
    return key


def _unwritable(folder: StateFolder, error: OSError) -> ConfigError:
    return ConfigError(
        f"{folder.root}: cannot be written: {error.strerror}: the key that was in force still opens the doors; "
        "see to the disk and say this again"
    )
