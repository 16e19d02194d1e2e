"""What the connections of one process ask its member: each waits for its answer, which decides."""

import itertools
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from mftgit.adapters.control_line import ControlLine, LineEndedError
from mftgit.adapters.home import HomeError, Refusal
from mftgit.model.account import Factor
from mftgit.model.finished import Finished
from mftgit.model.inbound_messages import (
    MAX_PATH,
    MAX_TOLD_ACCOUNT,
    Admit,
    Failed,
    LoggedIn,
    Redeem,
    Request,
    Telling,
    Uploaded,
    Verdict,
    format_message,
)
from mftgit.model.login_steps import Flaw
from mftgit.model.names import AccountName
from mftgit.model.visitor import Visitor

_MAX_CLIENT: Final = 255
_COURTESY_S: Final = 0.0005
_MOST_AHEAD: Final = 10
_MAX_ASKED: Final = 4096
"""More questions at once are not asked: they are refused here."""

_REFUSED: Final = Verdict(request=0, granted=False, why="the member does not answer")


class _Waiting:
    """One question that is not answered yet."""

    __slots__ = ("answered", "verdict")

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.verdict = _REFUSED


class Asking:
    """The questions of one process. Any thread asks; the one that receives calls `answer`."""

    def __init__(self, line: ControlLine) -> None:
        """Ask over ``line``."""
        self._line = line
        self._numbers = itertools.count(1)
        self._waiting: dict[int, _Waiting] = {}
        self._lock = threading.Lock()
        self._ahead = 0

    @property
    def courtesy_s(self) -> float:
        """How long to leave the next connection to processes that have fewer; they wait less for it."""
        return min(self._ahead, _MOST_AHEAD) * _COURTESY_S

    def note_ahead(self, ahead: int) -> None:
        """Note how many connections more this process has than others."""
        self._ahead = ahead

    def tell(self, told: Telling) -> None:
        """Say what needs no answer; raises LineEndedError."""
        self._line.send(format_message(told))

    def answer(self, verdict: Verdict) -> None:
        """Let the one go on that asked."""
        with self._lock:
            waiting = self._waiting.pop(verdict.request, None)
        if waiting is not None:
            waiting.verdict = verdict
            waiting.answered.set()

    def take(self, account: AccountName, step: int) -> bool:
        """See `mftgit.member.inbound.login.Codes`: none is taken twice on this member."""
        return self.ask(lambda request: Redeem(request=request, account=account, step=step)).granted

    def ask(self, made: Callable[[int], Request]) -> Verdict:
        """Send the request that ``made`` makes of its number, and return the answer; refused where there is none."""
        waiting = _Waiting()
        with self._lock:
            if len(self._waiting) >= _MAX_ASKED:
                return _REFUSED
            number = next(self._numbers)
            self._waiting[number] = waiting
        try:
            self.tell(made(number))
        except LineEndedError:
            return _REFUSED
        waiting.answered.wait()  # a line that ends ends this process
        return waiting.verdict


class Reception:
    """What one connection asks; see `mftgit.adapters.ssh_reception.Reception`. ``number`` is the configuration's."""

    def __init__(
        self, asking: Asking, connection: int, number: int, *, ended: Callable[[int, str], None]
    ) -> None:
        self._asking = asking
        self._connection = connection
        self._number = number
        self._ended = ended

    def admit(self, visitor: Visitor) -> bool:
        """Tell whether ``visitor`` is let on to the handshake; asked once, and first of all."""
        verdict = self._asking.ask(
            lambda request: Admit(
                request=request,
                connection=self._connection,
                number=self._number,
                source=visitor.source,
            )
        )
        self._asking.note_ahead(verdict.ahead)
        return verdict.granted

    def failed(self, account: str, flaw: Flaw) -> float | None:
        """See `ssh_reception.Reception.failed`."""
        told = account.encode(errors="replace").decode()[:MAX_TOLD_ACCOUNT]
        verdict = self._asking.ask(
            lambda request: Failed(
                request=request, connection=self._connection, account=told, flaw=flaw
            )
        )
        return verdict.delay_s if verdict.granted else None

    def logged_in(self, account: AccountName, factors: frozenset[Factor], client: str) -> bool:
        """See `ssh_reception.Reception.logged_in`."""
        return self._asking.ask(
            lambda request: LoggedIn(
                request=request,
                connection=self._connection,
                account=account,
                factors=factors,
                client=client.encode(errors="replace").decode()[:_MAX_CLIENT],
            )
        ).granted

    def ended(self, reason: str) -> None:
        """See `ssh_reception.Reception.ended`."""
        self._ended(self._connection, reason)

    def uploaded(self, finished: Finished) -> None:
        """Return once it is written down for good that a file came.

        Raises:
            HomeError: it could not be; the client is to be told that its upload failed.
        """
        told = replace(finished, path=told_path(finished.path), file=told_path(finished.file))
        verdict = self._asking.ask(
            lambda request: Uploaded(request=request, connection=self._connection, finished=told)
        )
        if not verdict.granted:
            raise HomeError(
                Refusal.FAILED,
                "the file is there, but that could not be written down: send it again",
            )


def told_path(path: str) -> str:
    """Return ``path`` as UTF-8 can hold it, with bytes that are none written out."""
    return path.encode(errors="surrogateescape").decode(errors="backslashreplace")[:MAX_PATH]
