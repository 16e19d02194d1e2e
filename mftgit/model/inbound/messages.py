"""What a member and its processes that serve clients say to each other over their control line.

Each message is JSON behind its length: four bytes, big-endian. What a process asks has a ``request``, and is answered
by a `Verdict` with the same. A ``connection`` is the number that the process gave it; ``number`` is that of the
configuration it began under. Secrets are revealed on this line, a pair of sockets that nobody else has, and nowhere
else.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mftgit.model.inbound.account import Factor
from mftgit.model.inbound.finished import Finished
from mftgit.model.inbound.login_steps import Flaw
from mftgit.model.inbound.serving import Serving
from mftgit.model.names import AccountName
from mftgit.model.plain_value import from_plain, to_plain

LENGTH_BYTES: Final = 4
MAX_ORDER_BYTES: Final = 256 << 20
"""How long a message to a process may be; one holds all accounts with their keys."""

MAX_TELLING_BYTES: Final = 1 << 20
"""How long one from a process may be, which speaks with outsiders."""

MAX_PATH: Final = 32 << 10
MAX_TOLD_ACCOUNT: Final = 64
"""So much of a name that somebody logs in with is told; no account's is longer."""


# From a process to its member


@dataclass(frozen=True, slots=True, kw_only=True)
class Serves:
    """The configuration ``number`` is in force for new connections. ``accepting``: they are taken.

    0 is none: the process has begun, and takes orders.
    """

    number: int
    accepting: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Admit:
    """Somebody has connected from ``source``, an address: is it let on to the handshake?"""

    request: int
    connection: int
    number: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A try to log in was wrong; ``account`` is what was asked for, whether there is one or not.

    Granted: the client may try again, after ``delay_s``; otherwise it is hung up on.
    """

    request: int
    connection: int
    account: str
    flaw: Flaw


@dataclass(frozen=True, slots=True, kw_only=True)
class Redeem:
    """A good one-time code, of the time step ``step`` (RFC 6238, 5.2), is granted if none of it or after it was."""

    request: int
    account: AccountName
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedIn:
    """An account has proved itself by ``factors``: is it let in? ``client`` is what its software calls itself."""

    request: int
    connection: int
    account: AccountName
    factors: frozenset[Factor]
    client: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """A file is under its visible name; granted once that is written down, and told to the client only then."""

    request: int
    connection: int
    finished: Finished


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    """A file was read to its end, or as far as the client wanted it."""

    connection: int
    path: str
    size_bytes: int
    sent_bytes: int
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a connection has done by now."""

    connection: int
    received_bytes: int = 0
    sent_bytes: int = 0
    uploads: int = 0
    downloads: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What connections have done that did something since this was told before; none of them: a sign of life."""

    usages: tuple[Usage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A connection that was admitted is over, for the reason ``why``."""

    usage: Usage
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """So many uploads that nobody went on with were removed."""

    removed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """A line for the member's log; ``level`` is loguru's."""

    level: str
    message: str
    fields: Mapping[str, str] = field(default_factory=dict)


# From a member to its processes


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer to a request, to be acted on after ``delay_s``. ``why`` says why not, for the log.

    To `Admit`, ``ahead`` says how many connections more the process has than the one that has fewest.
    """

    request: int
    granted: bool
    delay_s: float = 0.0
    why: str | None = None
    ahead: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Configure:
    """Serve this from now on; connections that are there go on by what they began with.

    Where ``listens``, the socket to accept from comes with it; otherwise nothing is accepted. ``others`` is how many
    other processes accept from it.
    """

    number: int
    serving: Serving
    listens: bool
    others: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndConnections:
    """End these, now; uploads under way get no visible name.

    ``connections`` None: all. ``idle``: only those that have no file open, and have heard of all that they closed.
    """

    connections: tuple[int, ...] | None
    why: str
    idle: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Remove uploads that nobody went on with for as long as the service says; answered by `Swept`.

    They are looked for in the folders of its accounts, and in those that are ``left``, of accounts that are gone.
    """

    left: tuple[str, ...] = ()


Telling = (
    Serves
    | Admit
    | Failed
    | Redeem
    | LoggedIn
    | Uploaded
    | Downloaded
    | Traffic
    | Ended
    | Swept
    | Noted
)
Order = Verdict | Configure | EndConnections | Sweep
Request = Admit | Failed | Redeem | LoggedIn | Uploaded

_TELLINGS: Final = {each.__name__: each for each in Telling.__args__}
_ORDERS: Final = {each.__name__: each for each in Order.__args__}


def format_message(message: Telling | Order) -> bytes:
    """Return ``message`` as it goes over the line, its length before it."""
    plain = {**to_plain(message), "is": type(message).__name__}
    content = json.dumps(plain).encode()
    return len(content).to_bytes(LENGTH_BYTES, "big") + content


def parse_telling(content: bytes) -> Telling:
    """Return what a process says, without its length.

    Raises:
        ValueError: it is none of these messages.
    """
    told: Telling = _parse(content, _TELLINGS)
    return told


def parse_order(content: bytes) -> Order:
    """Return what a member says to its process, without its length.

    Raises:
        ValueError: it is none of these messages.
    """
    order: Order = _parse(content, _ORDERS)
    return order


def _parse(content: bytes, kinds: dict[str, Any]) -> Any:
    try:
        value = json.loads(content)
        kind = kinds[value["is"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("not a message of a control line") from None
    return from_plain(kind, value)
