"""SFTP over OpenSSH's own client, for servers that are too old for ours; host keys are pinned all the same."""

from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from socket import socket

from mftgit.adapters.endpoint.contract import EndpointLostError, EndpointRefusedError, HostKeyError
from mftgit.adapters.location_secrets import Values
from mftgit.adapters.openssh.agent import Agent
from mftgit.adapters.openssh.child import SshChild
from mftgit.adapters.openssh.command import command_line, environment
from mftgit.adapters.openssh.doors import PrivateDoors
from mftgit.adapters.openssh.verdict import Complaint, Failure, failure_of, shown_keys
from mftgit.adapters.sftp.login import Way, prepare
from mftgit.adapters.sftp.session import Session
from mftgit.adapters.sftp.transport import TROUBLE, reason
from mftgit.adapters.sftp.wire import StatusError
from mftgit.adapters.ssh.stream import SocketStream
from mftgit.model.keys.ssh_certificate import SUFFIX
from mftgit.model.locations.hop import Hop, host_key_kinds
from mftgit.model.locations.location import SftpLocation

_AGENT, _ASK = "agent", "password"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildConnection:
    """An ``ssh`` through which the server speaks SFTP; see `sftp.conversation.Line`."""

    child: SshChild
    session: Session

    def greet(self) -> Session:
        """Return the session, which had to be begun to see whether ssh gets in."""
        return self.session

    def further(self, count: int) -> list[Session]:  # noqa: ARG002  see `Line`
        """See `Line.further`; a process has one session."""
        return []

    def explain(self, error: BaseException) -> str:
        """Return why the connection was lost with ``error``, by what ssh says."""
        if isinstance(error, TimeoutError):
            return reason(error)
        return failure_of(self.child.told()).said or reason(error)

    def output_of(
        self, command: str, given: bytes, *, within_s: float, most_bytes: int
    ) -> bytes | None:
        """Run nothing: it would take another ssh, and another login."""
        del command, given, within_s, most_bytes
        return None

    def close(self) -> None:
        """End ssh and wait for that."""
        self.child.close()


def open_child(location: SftpLocation, *, secrets_dir: Path, values: Values) -> ChildConnection:
    """Start ssh for ``location``, and again for another type of host key as long as it shows none that is trusted.

    Raises:
        ConfigError: a secret is missing, empty, unreadable, or open to others; or this machine has no fit ssh.
        HostKeyError, LoginError, EndpointRefusedError, EndpointLostError: see `sftp.connect.open_channel`.
    """
    ((hop, ways),) = prepare(location, secrets_dir=secrets_dir, values=values).items()
    kinds = host_key_kinds(hop, legacy=location.legacy)
    shown: list[str] = []
    while kinds:
        opened = _try(location, hop, ways, kinds)
        if isinstance(opened, ChildConnection):
            return opened
        keys = shown_keys(opened.told)
        if opened.kind is Failure.NO_ALGORITHM and shown:
            break
        if opened.kind is not Failure.HOST_KEY or not keys:
            raise opened.as_error(hop, [way.name for way in ways])
        flaw = f" ({opened.said})" if opened.said and hop.host_ca else ""
        shown += [f"{kind} {fingerprint}{flaw}" for kind, fingerprint in keys]
        left = {kind: names for kind, names in kinds.items() if kind not in dict(keys)}
        if len(left) == len(kinds) or not (hop.host_keys or _certified(left)):
            break
        kinds = left
    raise HostKeyError(
        f"{hop.name} showed the host key {' and '.join(shown)}, "
        f"but {hop.document} expects {' or '.join((*hop.host_keys, *hop.host_ca))}: nothing was sent; "
        "ask the partner whether the key was changed, and only if they confirm the new one, put it into "
        f"{'host_keys' if hop.host_keys else 'host_ca'} of {hop.document}"
    )


def _certified(kinds: dict[str, tuple[str, ...]]) -> bool:
    return any(kind.endswith(SUFFIX) for kind in kinds)


def _try(
    location: SftpLocation, hop: Hop, ways: list[Way], kinds: dict[str, tuple[str, ...]]
) -> ChildConnection | Complaint:
    """Start ssh and SFTP over it, or return what it complained of.

    The sockets by which it logs in, and with them the secrets, are gone when this returns.
    """
    passwords = _Passwords([way.password.reveal() for way in ways if way.password is not None])
    agent = Agent([way.key for way in ways if way.key is not None], sha1=location.legacy)
    doors = {_AGENT: agent.serve, **({_ASK: passwords.serve} if passwords.left else {})}
    with _telling(hop), closing(PrivateDoors(doors)) as private:
        command = command_line(
            hop,
            legacy=location.legacy,
            kinds=kinds,
            agent=private.path(_AGENT),
            methods=_methods(ways),
            passwords=len(passwords.left),
        )
        asks = private.path(_ASK) if passwords.left else None
        child = SshChild(command, environment(asks, private.folder))
        try:
            return ChildConnection(child=child, session=_begin(child, hop))
        except StatusError as error:
            child.close()
            raise EndpointRefusedError(f"{hop.name} does not begin with SFTP: {error}") from error
        except TROUBLE as error:
            complaint = failure_of(child.told())
            child.close()
            if complaint.kind is Failure.LOST and not complaint.said:
                return replace(complaint, said=reason(error))
            return complaint
        except BaseException:
            child.close()
            raise


@contextmanager
def _telling(hop: Hop) -> Iterator[None]:
    """Tell of a machine that cannot start ssh: no room for its sockets, no memory, no more processes."""
    try:
        yield
    except OSError as error:
        raise EndpointLostError(f"ssh to {hop.name} cannot be started: {error}") from error


def _begin(child: SshChild, hop: Hop) -> Session:
    """Greet the server, which answers once ssh got in."""
    child.pipe.settimeout(hop.connect_s)
    session = Session(SocketStream(child.pipe))
    child.pipe.settimeout(hop.timeout_s)
    child.forget()
    return session


def _methods(ways: list[Way]) -> list[str]:
    """Return the methods of RFC 4252 in the order in which ``ways`` need them first."""
    names: list[str] = []
    for way in ways:
        names += ["publickey"] if way.password is None else ["password", "keyboard-interactive"]
    return list(dict.fromkeys(names))


class _Passwords:
    """Gives each password once, in their order, and then nothing."""

    def __init__(self, passwords: list[str]) -> None:
        self.left = deque(passwords)

    def serve(self, peer: socket) -> None:
        """Tell ``peer`` the next one."""
        if self.left:
            peer.sendall(self.left.popleft().encode())
