"""One SFTP session with a partner's server, whose troubles are told by the errors of endpoints."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from paramiko import sftp as wire

from mftgit.adapters.endpoint.contract import EndpointFullError, EndpointLostError
from mftgit.adapters.sftp.session import Session
from mftgit.adapters.sftp.transport import TROUBLE
from mftgit.adapters.sftp.wire import StatusError
from mftgit.errors import MftgitError


class Line(Protocol):
    """A connection on which a server speaks SFTP."""

    def greet(self) -> Session:
        """Return the session with the server, once it has told its version.

        Raises:
            StatusError: it said no to something.
        """

    def further(self, count: int) -> list[Session]:
        """Begin up to ``count`` further sessions over the same connection; fewer where the server lets us not."""

    def explain(self, error: BaseException) -> str:
        """Return why it was lost with ``error``."""

    def output_of(
        self, command: str, given: bytes, *, within_s: float, most_bytes: int
    ) -> bytes | None:
        """Run a command beside SFTP; see `sftp.exec.output_of`."""

    def close(self) -> None:
        """End it and wait for that; a second call does nothing, and any thread may make it."""


class Conversation:
    """A session on ``connection``, until it is closed; a loss closes it, and every further use says so.

    ``server`` is its name in messages.
    """

    def __init__(self, connection: Line, *, server: str) -> None:
        self.server = server
        self._connection = connection
        self.closed = False
        with self.telling("."):
            self.session = connection.greet()

    def further(self, count: int) -> list[Session]:
        """See `Line.further`."""
        return self._connection.further(count)

    @contextmanager
    def telling(self, *paths: str, full: bool = False) -> Iterator[None]:
        """Turn what goes wrong in the body into the errors of endpoints; with ``full``, FAILURE means that.

        Version 3 has no word for a full disk: OpenSSH says FAILURE (draft-ietf-secsh-filexfer-02, 7).

        Raises:
            EndpointLostError: the connection was lost, or closed before.
        """
        if self.closed:
            raise EndpointLostError(f"{self.server}: the connection is closed: connect again")
        named = " to ".join(repr(path) for path in paths)
        try:
            yield
        except StatusError as error:
            raise self.meaning(error, named, full) from error
        except TROUBLE as error:
            why = self._connection.explain(error)
            self.close()
            raise EndpointLostError(f"{self.server}: {named}: {why}") from error

    def meaning(self, error: StatusError, what: str, full: bool) -> MftgitError:  # noqa: FBT001  see `Meaning`
        """Return the error of endpoints that the server's answer about ``what`` means."""
        kind, hint = error.meaning, ""
        if full and error.code == wire.SFTP_FAILURE:
            kind, hint = EndpointFullError, ", most likely that it is full"
        if kind is EndpointLostError:
            self.close()
        return kind(f"{self.server}: {what}: {error}{hint}")

    def close(self) -> None:
        """End the connection and wait for its thread."""
        self.closed = True
        self._connection.close()
