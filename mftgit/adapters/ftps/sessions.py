"""The sessions of one endpoint: a server moves one file at a time on each, so that another one is opened for more."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Final

from mftgit.adapters.endpoint.contract import EndpointLostError, EndpointRefusedError, HostKeyError
from mftgit.adapters.ftps.connect import Session
from mftgit.adapters.ftps.replies import BROKEN, REFUSED, meaning, trouble
from mftgit.adapters.ftps.sockets import Sockets

MOST: Final = 4
"""At a time: a file is read, another one written, and something asked for meanwhile."""

_WAIT_S: Final = 1.0  # for who uses a session, once all its sockets were ended


class Sessions:
    """Used by one thread at a time, but for `close`. ``first`` is one that is open; ``open_one`` makes others.

    A loss closes all of them, and every further use says so.
    """

    def __init__(
        self, first: Session, *, server: str, sockets: Sockets, open_one: Callable[[], Session]
    ) -> None:
        self.server = server
        self._sockets = sockets
        self._open_one = open_one
        self._idle = [first]
        self._lent: list[Session] = []
        self._used = RLock()

    @property
    def closed(self) -> bool:
        """Whether they were closed or lost."""
        return self._sockets.ended

    @contextmanager
    def telling(self, *paths: str) -> Iterator[None]:
        """Turn what goes wrong in the body into the errors of endpoints.

        Raises:
            EndpointLostError: the connection was lost, or closed before.
        """
        what = f"{self.server}: {' to '.join(repr(path) for path in paths)}"
        with self._used:
            self._require_open()
            try:
                yield
            except ssl.SSLCertVerificationError as error:
                self.close()
                raise HostKeyError(
                    f"{what}: a data connection shows a certificate that is not trusted: {error.verify_message}"
                ) from error
            except BROKEN as error:
                self.close()
                raise EndpointLostError(f"{what}: {trouble(error)}") from error
            except REFUSED as error:
                told = meaning(error, what)
                if isinstance(told, EndpointLostError):
                    self.close()
                raise told from error
            except EndpointLostError:
                self.close()
                raise

    @contextmanager
    def asking(self, *paths: str) -> Iterator[Session]:
        """Give a session for what is asked and answered in the body; see `telling`."""
        with self.telling(*paths), self.holding() as session:
            yield session

    @contextmanager
    def holding(self) -> Iterator[Session]:
        """Give a session that nothing else is done on; one that is out of step at the end is closed.

        Raises:
            EndpointLostError: they were closed before, or another one cannot be opened.
        """
        with self._used:
            self._require_open()
            if len(self._lent) >= MOST:
                raise EndpointRefusedError(f"{self.server}: {MOST} files are open already")
            session = self._idle.pop() if self._idle else self._open()
            self._lent.append(session)
        try:
            yield session
        finally:
            with self._used:
                self._lent.remove(session)
                if session.in_step and not self.closed:
                    self._idle.append(session)
                else:
                    session.close()

    def close(self) -> None:
        """End all of them; any thread may do so, and whoever waits for one is told within a second."""
        self._sockets.end()
        if self._used.acquire(timeout=_WAIT_S):
            try:
                for session in (*self._idle, *self._lent):
                    session.close()
                self._idle.clear()
            finally:
                self._used.release()

    def _open(self) -> Session:
        try:
            return self._open_one()
        except EndpointLostError:
            self.close()
            raise

    def _require_open(self) -> None:
        if self.closed:
            raise EndpointLostError(f"{self.server}: the connection is closed: connect again")
