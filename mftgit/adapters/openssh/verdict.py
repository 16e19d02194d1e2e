"""What ``ssh`` complains of, in the errors of endpoints: its exit status does not tell one failure from the other."""

import re
from dataclasses import dataclass
from enum import Enum, unique

from mftgit.adapters.endpoint.contract import (
    EndpointLostError,
    EndpointRefusedError,
    HostKeyError,
    LoginError,
)
from mftgit.adapters.openssh.known_host import SHOWN
from mftgit.errors import ConfigError, MftgitError
from mftgit.model.locations.hop import Hop
from mftgit.model.printable import printable

_TOLD = 500  # characters
_TOLD_LINES = 3  # the last ones; before them may stand what a server greets with


@unique
class Failure(Enum):
    """What kind of failure it was."""

    HOST_KEY = "host key"
    NO_ALGORITHM = "no algorithm"
    LOGIN = "login"
    NO_SFTP = "no sftp"
    OLD_SSH = "old ssh"
    LOST = "lost"


# How OpenSSH begins the lines by which it ends; what a server says stands behind other words.
_BEGINS = {
    Failure.HOST_KEY: r"Host key verification failed\.",
    Failure.NO_ALGORITHM: r"Unable to negotiate with ",
    Failure.LOGIN: r"\S+: Permission denied \(|Received disconnect from .*:2: Too many authentication",
    Failure.NO_SFTP: r"subsystem request failed on channel",
    Failure.OLD_SSH: r"(?:command-line|\S+)(?: line \d+|:\d+)?: Bad (?:configuration option|SSH2|key types|protocol)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """``told`` is all that ssh said, and ``said`` what is worth telling of it, on one line."""

    kind: Failure
    told: str
    said: str

    def as_error(self, hop: Hop, ways: list[str]) -> MftgitError:
        """Return the error of endpoints that says the same; ``ways`` are those to log in, without secrets."""
        said = self.said or "the connection was closed"
        if self.kind is Failure.LOGIN:
            return LoginError(
                f"{hop.name} does not let {hop.username!r} in ({'; '.join(ways)}): {said}: "
                f"check username and auth of {hop.document} and the secrets that it names"
            )
        if self.kind is Failure.NO_ALGORITHM:
            return EndpointRefusedError(
                f"{hop.name} has no algorithm that is taken: {said}: ask the partner, or look at algorithms "
                f"and legacy of {hop.document}"
            )
        if self.kind is Failure.NO_SFTP:
            return EndpointRefusedError(
                f"{hop.name} let {hop.username!r} in, but not to SFTP: {said}"
            )
        if self.kind is Failure.HOST_KEY:
            return HostKeyError(
                f"{hop.name} showed no host key that {hop.document} expects: {said}"
            )
        if self.kind is Failure.OLD_SSH:
            return ConfigError(
                f"the ssh of this machine does not know what it is asked for: {said}: OpenSSH 8.5 or later is needed"
            )
        return EndpointLostError(f"{hop.name} cannot be reached by SFTP: {said}")


def failure_of(told: str) -> Complaint:
    """Return what the complaints of ssh, ``told``, come to."""
    lines = [line.strip() for line in told.splitlines()]
    lines = [line for line in lines if line and not line.startswith(SHOWN)]
    kind = Failure.LOST
    for line in lines:
        for each, begins in _BEGINS.items():
            if re.match(begins, line):
                kind = each
    return Complaint(kind=kind, told=told, said=printable("; ".join(lines[-_TOLD_LINES:]))[-_TOLD:])


def shown_keys(told: str) -> list[tuple[str, str]]:
    """Return kind and fingerprint of every host key that ssh was shown and that is not pinned."""
    return re.findall(rf"^{SHOWN} (\S{{1,80}}) (\S{{1,80}})$", told, re.MULTILINE)
