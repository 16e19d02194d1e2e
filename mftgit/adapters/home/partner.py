"""The server behind a virtual folder, as one session uses it: connected when it is first asked for something."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import RLock
from typing import Final, Protocol

from loguru import logger

from mftgit.adapters.clock import Clock
from mftgit.adapters.endpoint.contract import (
    EndpointBusyError,
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    FileExistsAtEndpointError,
    FileMissingError,
    RemoteEndpoint,
)
from mftgit.adapters.home.contract import HomeError, Refusal
from mftgit.errors import MftgitError
from mftgit.model.locations.far_place import FarPlace
from mftgit.model.locations.location import RemoteLocation

REST_S: Final = 3.0
"""A session that asks for nothing for so long, and has no file open there, gives its connection back.

Where somebody waits for one it does so at once.
"""

_WARN_EVERY_S: Final = 60.0
_MOST_LEFT: Final = 100

_MEANINGS: Final[tuple[tuple[type[MftgitError], Refusal, str], ...]] = (
    (FileMissingError, Refusal.MISSING, "it is not there"),
    (FileExistsAtEndpointError, Refusal.EXISTS, "it is there already"),
    (EndpointBusyError, Refusal.BUSY, "the server behind this folder has it in use: try again"),
    (EndpointFullError, Refusal.FULL, "the server behind this folder has no room"),
    (EndpointRefusedError, Refusal.DENIED, "the server behind this folder refuses it"),
    (
        MftgitError,
        Refusal.FAILED,
        "the server behind this folder cannot be reached: try again later, or ask the operator",
    ),
)


class Resting(Protocol):
    """What has a connection that it may not need now."""

    def rest(self) -> None:
        """Give back what has not been used for a while; called by any thread, and waits for nobody."""


class Lender(Protocol):
    """Lends connections to servers; for any thread."""

    def lend(self, location: RemoteLocation) -> RemoteEndpoint:
        """Return a connection that nobody else uses.

        Raises:
            MftgitError: there is none.
        """

    def give_back(self, endpoint: RemoteEndpoint) -> None:
        """Take back what was lent; it may be lost by now."""

    def is_wanted(self, location: RemoteLocation) -> bool:
        """Tell whether somebody waits for a connection."""

    def look_after(self, resting: Resting) -> None:
        """Have ``resting`` rest now and then."""

    def forget(self, resting: Resting) -> None:
        """Look after it no more."""


class NoLender:
    """See `Lender`: it has no connections."""

    def lend(self, location: RemoteLocation) -> RemoteEndpoint:
        """See `Lender.lend`."""
        raise EndpointLostError(f"{location.name} is not connected to from here")

    def give_back(self, endpoint: RemoteEndpoint) -> None:
        """See `Lender.give_back`."""
        endpoint.close()

    def is_wanted(self, location: RemoteLocation) -> bool:  # noqa: ARG002  there is none
        """See `Lender.is_wanted`."""
        return False

    def look_after(self, resting: Resting) -> None:
        """See `Lender.look_after`."""

    def forget(self, resting: Resting) -> None:
        """See `Lender.forget`."""


@dataclass(slots=True, eq=False)
class Line:
    """A connection that was lent; ``held`` is how many files and lists are open over it."""

    endpoint: RemoteEndpoint
    held: int = 0


class Partner:
    """One server for one session. The session's thread asks; another one may only let it rest."""

    def __init__(self, place: FarPlace, lender: Lender, clock: Clock) -> None:
        """Ask for nothing yet."""
        self._place = place
        self._location = place.read()
        self._lender = lender
        self._clock = clock
        self._lock = RLock()  # what ends a list may be called wherever nobody has it any more
        self._warned_s: float | None = None
        self._line: Line | None = None
        self._used_s = clock.boottime()
        self._left: list[str] = []

    def remote(self, inner: tuple[str, ...]) -> str:
        """Return how the endpoint calls what lies at ``inner`` of the folder."""
        return "/".join((self._place.path, *inner))

    @contextmanager
    def asking(self, path: str, line: Line | None = None) -> Iterator[Line]:
        """Give a connection, for what the account calls ``path``; with ``line`` that one, whatever became of it.

        Raises:
            HomeError: what the body raises of errors of endpoints, told so that nothing of the server is.
        """
        with self._lock:
            try:
                yield line or self._connected()
            except HomeError:
                raise
            except MftgitError as error:
                raise self._meaning(error, path) from error
            finally:
                self._used_s = self._clock.boottime()
                self._drop_lost()
                if self._lender.is_wanted(self._location):
                    self._give_back(held=False)

    def rest(self) -> None:
        """See `Resting.rest`."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            rests = self._clock.boottime() - self._used_s >= REST_S
            if rests or self._lender.is_wanted(self._location):
                self._give_back(held=False)
        finally:
            self._lock.release()

    def close(self) -> None:
        """Let go of the connection, whatever is open over it."""
        with self._lock:
            self._give_back(held=True)

    def _connected(self) -> Line:
        self._drop_lost()
        if self._line is None:
            self._line = Line(self._lender.lend(self._location))
            left, self._left = self._left, []
            for each in left:
                with suppress(MftgitError):
                    self._line.endpoint.remove(each)
        return self._line

    def clear_away(self, line: Line, remote: str) -> None:
        """Remove the file ``remote``, over ``line`` or over the next connection; while it is asked."""
        try:
            line.endpoint.remove(remote)
        except MftgitError:
            if not line.endpoint.is_open and len(self._left) < _MOST_LEFT:
                self._left.append(remote)

    def _drop_lost(self) -> None:
        if self._line is not None and not self._line.endpoint.is_open:
            self._give_back(held=True)

    def _give_back(self, *, held: bool) -> None:
        line = self._line
        if line is not None and (held or not line.held):
            self._line = None
            if line.held:
                line.endpoint.close()  # for nobody else, as long as something may be on the way
            self._lender.give_back(line.endpoint)

    def _meaning(self, error: MftgitError, path: str) -> HomeError:
        refusal, words = next(
            (refusal, words) for kind, refusal, words in _MEANINGS if isinstance(error, kind)
        )
        logger.log(
            "WARNING" if refusal is Refusal.FAILED and self._is_news() else "DEBUG",
            "the server behind a virtual folder did not do what a client asked for",
            location=self._place.location,
            path=path,
            why=str(error),
        )
        return HomeError(refusal, f"{path!r}: {words}")

    def _is_news(self) -> bool:
        """Tell whether a failure is to be told to operators: now and then, however often a client asks."""
        now = self._clock.boottime()
        if self._warned_s is not None and now - self._warned_s < _WARN_EVERY_S:
            return False
        self._warned_s = now
        return True
