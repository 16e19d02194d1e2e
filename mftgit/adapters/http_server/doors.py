"""What the HTTP server is given: doors, which are its routes, and who says who stands before them."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import IO, Final, Protocol

from mftgit.errors import MftgitError
from mftgit.model.access import Access, OperatorRole, Principal

BODY_TIMEOUT_S = 300.0
"""How long a client may take to send one request's body, where its door says nothing else."""


@unique
class Pool(Enum):
    """Which threads do a work, so that one kind does not keep another waiting; the value is how many.

    GIT: clone, fetch and push. LOGIN: passwords, each of which costs tens of milliseconds by design, so that a flood of
    wrong ones delays other operators at most. SEARCH: searches, which take seconds, so that these delay one another
    only. COMPARE: what waits for differences and validation, for up to half a minute. PEOPLE: the other pages, and what
    programs of operators ask. API: everything else, the members' reports among it.
    """

    API = 8
    GIT = 6
    LOGIN = 2
    SEARCH = 3
    COMPARE = 4
    PEOPLE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; ``body`` stands at its start, ``params`` are the path's named parts.

    ``client`` is the address that it comes from, ``session`` the one whose cookie it showed.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    params: Mapping[str, str]
    body: IO[bytes]
    principal: Principal | None
    client: str = "-"
    session: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One answer; a file as ``body`` is sent from its start and closed."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | IO[bytes] = b""


class NotServedError(MftgitError):
    """What was asked for is not given; the client is told the message with this status of HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class NotAuthenticatedError(MftgitError):
    """A credential was shown and is not good; the message goes to the client."""


class TooManyTriesError(NotAuthenticatedError):
    """No credential is looked at before ``waits_s`` seconds are over."""

    def __init__(self, message: str, *, waits_s: float) -> None:
        super().__init__(message)
        self.waits_s = waits_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Who shows the cookie of a session, and which one that is."""

    principal: Principal
    session: str


class Doorkeeper(Protocol):
    """Tells who asks, by what the request's Authorization header says, or else by its cookies."""

    def recognise(self, method: str, path: str, shown: str) -> Principal | None:
        """Return who that is where it is plain to see: on the loop, so without waiting, and without leaving a trace.

        None says nothing; `authenticate` has the word then.
        """

    def authenticate(self, method: str, path: str, shown: str, client: str) -> Principal:
        """Return who that is; in a thread. ``client`` is the address that the request comes from.

        Raises:
            NotAuthenticatedError: nobody.
        """

    def visitor(self, cookies: str) -> Visit | None:
        """Return who shows ``cookies``, the header; None where they are nobody's. On the loop, as `recognise`."""


EVENT_STREAM: Final[Mapping[str, str]] = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}
"""The headers of server-sent events (HTML, 9.2); the last one keeps a proxy from holding them back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """One route. Exactly one of ``handle`` (in a thread) and ``stream`` (on the loop) is set.

    What ``stream`` gives is sent as it comes, with ``stream_headers``. It may raise `NotServedError` before it begins.

    One that goes ``by_cookie`` takes a session's cookie too; ``refuse`` words what says why somebody is not let in.

    Who passes needs ``role`` besides, which is asked for before a body is taken in.
    ``at_once`` is asked before ``handle``, on the loop, so that it must not wait: None leaves the answer to ``handle``.
    One that is ``polled`` is asked so often that the log tells only what went wrong there. How large a body may be and
    how long it may take is asked anew for each request; ``bounded_by`` tells who is refused what sets that.
    """

    method: str
    path: str
    access: Access
    handle: Callable[[Request], Response] | None = None
    at_once: Callable[[Request], Response | None] | None = None
    stream: Callable[[Request], AsyncIterator[bytes]] | None = None
    stream_headers: Mapping[str, str] = field(default_factory=lambda: dict(EVENT_STREAM))
    by_cookie: bool = False
    refuse: Callable[[Request, Response], Response] | None = None
    role: OperatorRole = OperatorRole.READ
    pool: Pool = Pool.API
    max_body_bytes: int | Callable[[], int] = 0
    max_body_s: float | Callable[[], float] = BODY_TIMEOUT_S
    bounded_by: str = ""
    polled: bool = False
