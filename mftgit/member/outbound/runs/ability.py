"""Which errors that end a run may be this member's alone, so that another one could do what it cannot."""

from typing import Final

from mftgit.adapters.content.pgp_home import PgpError
from mftgit.adapters.endpoint.contract import EndpointLostError, EndpointRefusedError
from mftgit.adapters.s3.errors import SlowDownError
from mftgit.errors import ConfigError, MftgitError
from mftgit.member.outbound.places.lanes import HaltedError
from mftgit.member.outbound.records.intents import StateUnavailableError

_MAY_BE_ALONE: Final[tuple[tuple[type[MftgitError], bool], ...]] = (
    (SlowDownError, False),  # the store has too much to do, whoever asks
    (HaltedError, False),  # because of another error, which is the one that counts
    (
        EndpointLostError,
        True,
    ),  # no route, a firewall, a name that is not resolved here; nothing comes in time
    (
        EndpointRefusedError,
        True,
    ),  # the address or the account of this member; a mount that is read-only here
    (StateUnavailableError, True),  # the members' storage, as it is mounted here
    (PgpError, True),  # gpg of this machine
    (ConfigError, True),  # no login, another host key; a secret or a program that is missing here
    (MftgitError, False),  # what is wrong with a file, or missing at the partner, is so for all
)
"""The first that fits counts."""


def may_be_alone(error: MftgitError) -> bool:
    """Tell whether ``error``, which ended a run, may be none for another member."""
    return next(alone for kind, alone in _MAY_BE_ALONE if isinstance(error, kind))
