"""What the connections of one process ask its member: each waits for its answer, which decides."""

import itertools
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from mftgit.adapters.control_line import ControlLine, LineEndedError
from mftgit.adapters.home.contract import HomeError, Refusal
from mftgit.adapters.hosting import UNWRITTEN
from mftgit.model.inbound.account import Factor
from mftgit.model.inbound.finished import Finished
from mftgit.model.inbound.login_steps import Flaw
from mftgit.model.inbound.messages import (
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
from mftgit.model.inbound.visitor import Visitor
from mftgit.model.names import AccountName

_MAX_CLIENT: Final = 255
_COURTESY_S: Final = 0.002
_MOST_AHEAD: Final = 20
_MAX_ASKED: Final = 4096
"""More questions at once are not asked: they are refused here."""

_REFUSED: Final = Verdict(request=0, granted=False, why="the member does not answer")


class _Waiting:
    """Who waits for an answer."""

    __slots__ = ("answered", "verdict")

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.verdict = _REFUSED

    def take(self, verdict: Verdict) -> None:
        """Be answered."""
        self.verdict = verdict
        self.answered.set()


class Asking:
    """The questions of one process. Any thread asks; the one that receives calls `answer`."""

    def __init__(self, line: ControlLine) -> None:
        """Ask over ``line``."""
        self._line = line
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Callable[[Verdict], None]] = {}
        self._lock = threading.Lock()
        self._ahead = 0
        self._admitting = 0
        self.others = 0

    @property
    def courtesy_s(self) -> float:
        """How long to leave the next connection to the ``others`` that have fewer; they wait less for it."""
        ahead = self._ahead + self._admitting if self.others else 0
        return min(ahead, _MOST_AHEAD) * _COURTESY_S

    def admit(self, made: Callable[[int], Request]) -> bool:
        """Ask whether a connection is let on, and hear how many more this process has than others."""
        with self._lock:
            self._admitting += 1
        try:
            verdict = self.ask(made)
        finally:
            with self._lock:
                self._admitting -= 1
        self._ahead = verdict.ahead
        return verdict.granted

    def tell(self, told: Telling) -> None:
        """Say what needs no answer; raises LineEndedError."""
        self._line.send(format_message(told))

    def answer(self, verdict: Verdict) -> None:
        """Let the one go on that asked."""
        with self._lock:
            then = self._waiting.pop(verdict.request, None)
        if then is not None:
            then(verdict)

    def take(self, account: AccountName, step: int) -> bool:
        """See `mftgit.member.inbound.login.Codes`: none is taken twice on this member."""
        return self.ask(lambda request: Redeem(request=request, account=account, step=step)).granted

    def ask(self, made: Callable[[int], Request]) -> Verdict:
        """Send the request that ``made`` makes of its number, and return the answer; refused where there is none."""
        waiting = _Waiting()
        self.ask_for(made, waiting.take)
        waiting.answered.wait()  # a line that ends ends this process
        return waiting.verdict

    def ask_for(self, made: Callable[[int], Request], then: Callable[[Verdict], None]) -> None:
        """Send the request that ``made`` makes of its number; ``then`` is called with the answer, and must not wait."""
        with self._lock:
            number = next(self._numbers)
            is_asked = len(self._waiting) < _MAX_ASKED
            if is_asked:
                self._waiting[number] = then
        try:
            if is_asked:
                self.tell(made(number))
                return
        except LineEndedError:  # this process ends
            with self._lock:
                is_asked = self._waiting.pop(number, None) is None
        if not is_asked:
            then(_REFUSED)


class Reception:
    """What one connection asks; see `ssh_server.reception.Reception`. ``number`` is the configuration's."""

    def __init__(
        self, asking: Asking, connection: int, number: int, *, ended: Callable[[int, str], None]
    ) -> None:
        self._asking = asking
        self._connection = connection
        self._number = number
        self._ended = ended

    def admit(self, visitor: Visitor) -> bool:
        """Tell whether ``visitor`` is let on to the handshake; asked once, and first of all."""
        return self._asking.admit(
            lambda request: Admit(
                request=request,
                connection=self._connection,
                number=self._number,
                source=visitor.source,
            )
        )

    def failed(self, account: str, flaw: Flaw) -> float | None:
        """See `ssh_server.reception.Reception.failed`."""
        told = account.encode(errors="replace").decode()[:MAX_TOLD_ACCOUNT]
        verdict = self._asking.ask(
            lambda request: Failed(
                request=request, connection=self._connection, account=told, flaw=flaw
            )
        )
        return verdict.delay_s if verdict.granted else None

    def logged_in(self, account: AccountName, factors: frozenset[Factor], client: str) -> bool:
        """See `ssh_server.reception.Reception.logged_in`."""
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
        """See `ssh_server.reception.Reception.ended`."""
        self._ended(self._connection, reason)

    def uploaded(self, finished: Finished) -> None:
        """Return once it is written down for good that a file came.

        Raises:
            HomeError: it could not be; the client is to be told that its upload failed.
        """
        if not self._asking.ask(self._upload(finished)).granted:
            raise HomeError(Refusal.FAILED, UNWRITTEN)

    def tell_uploaded(self, finished: Finished, then: Callable[[bool], None]) -> None:
        """Do as `uploaded` does, and return at once: ``then`` is called with whether it is written down."""
        self._asking.ask_for(self._upload(finished), lambda verdict: then(verdict.granted))

    def _upload(self, finished: Finished) -> Callable[[int], Request]:
        told = replace(finished, path=told_path(finished.path), file=told_path(finished.file))
        return lambda request: Uploaded(request=request, connection=self._connection, finished=told)


def told_path(path: str) -> str:
    """Return ``path`` as UTF-8 can hold it, with bytes that are none written out."""
    return path.encode(errors="surrogateescape").decode(errors="backslashreplace")[:MAX_PATH]
