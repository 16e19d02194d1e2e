"""One share of a server, as far as a session with it goes: requests and answers, until it is closed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from smbprotocol.connection import SMB2Echo
from smbprotocol.exceptions import SMBException, SMBResponseException

from mftgit.adapters.endpoint.contract import EndpointLostError
from mftgit.adapters.smb.connection import GuardedConnection
from mftgit.adapters.smb.status import BrokenAnswerError, kind_of, status_of, words_of
from mftgit.errors import MftgitError

CREDIT_BYTES: Final = 64 << 10
"""What one credit stands for (MS-SMB2 3.2.4.1.5)."""

TROUBLE: Final = (SMBException, OSError, BrokenAnswerError)

_LISTED_BYTES: Final = CREDIT_BYTES  # of names in one answer


class Share:
    """The share that ``tree`` is, by a session on ``connection``; ``server`` is its name in messages.

    What all but `telling` and `close` raise is told by the errors of endpoints within `telling`.
    """

    def __init__(
        self, connection: GuardedConnection, session: Any, tree: Any, *, server: str
    ) -> None:
        self.server = server
        self.closed = False
        self._connection = connection
        self._session_id = session.session_id
        self._tree_id = tree.tree_connect_id

    @property
    def credits_left(self) -> int:
        """Return how many more units of `CREDIT_BYTES` may be on the way."""
        return self._connection.credits_left

    @property
    def read_bytes(self) -> int:
        """Return how much one request may read."""
        return int(self._connection.max_read_size)

    @property
    def write_bytes(self) -> int:
        """Return how much one request may write."""
        return int(self._connection.max_write_size)

    @property
    def listed_bytes(self) -> int:
        """Return how large a part of a list may be."""
        return min(int(self._connection.max_transact_size), _LISTED_BYTES)

    def send(self, message: Any) -> Any:
        """Send ``message``, and return what to ask `answer` for."""
        return self._connection.send(message, sid=self._session_id, tid=self._tree_id)

    def answer(self, request: Any) -> bytes:
        """Return the answer to ``request``; raises SMBResponseException where that is no success."""
        return bytes(self._connection.receive(request)["data"].get_value())

    def ask(self, message: Any) -> bytes:
        """Send ``message``, and return its answer."""
        return self.answer(self.send(message))

    def send_together(self, messages: Sequence[Any]) -> list[Any]:
        """Send ``messages`` about one file in one packet, and return what to ask `answers` for."""
        return list(
            self._connection.send_compound(
                list(messages), self._session_id, self._tree_id, related=len(messages) > 1
            )
        )

    def answers(self, requests: Sequence[Any]) -> list[bytes]:
        """Return the answers to ``requests``; raises what the first of them that is no success raises."""
        answers: list[bytes] = []
        failed: SMBResponseException | None = None
        for request in requests:
            try:
                answers.append(self.answer(request))
            except SMBResponseException as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return answers

    def echo(self) -> None:
        """Ask whether the server is there."""
        self._connection.receive(self._connection.send(SMB2Echo(), sid=self._session_id))

    @contextmanager
    def telling(self, *paths: str) -> Iterator[None]:
        """Turn what goes wrong in the body into the errors of endpoints; a loss closes the connection.

        Raises:
            EndpointLostError: the connection was lost, or closed before.
        """
        if self.closed:
            raise EndpointLostError(f"{self.server}: the connection is closed: connect again")
        named = " to ".join(repr(path) for path in paths)
        try:
            yield
        except SMBResponseException as error:
            raise self._meaning(status_of(error), named) from error
        except TROUBLE as error:
            self.close()
            raise EndpointLostError(f"{self.server}: {named}: {error}") from error

    def _meaning(self, status: int, named: str) -> MftgitError:
        kind = kind_of(status)
        if kind is EndpointLostError:
            self.close()
        return kind(f"{self.server}: {named}: {words_of(status)}")

    def close(self) -> None:
        """End the connection, whoever waits for an answer; a second call does nothing."""
        self.closed = True
        self._connection.disconnect()
