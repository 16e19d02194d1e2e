"""Report to the forge what became of its commits: each context's newest word, sent until it is taken."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from loguru import logger

from mftgit.adapters.forge_status import ForgeAwayError, StatusNotTakenError, send_status
from mftgit.model.revisions.forge_status import CommitStatus, status_call
from mftgit.model.revisions.mirror import Mirror

MAX_WAITING = 50
MAX_TRIES = 12
"""Over some three hours, by `_MAX_WAIT_S`."""

_FIRST_WAIT_S, _MAX_WAIT_S = 1.0, 1_800.0


@dataclass(slots=True, kw_only=True)
class _Waiting:
    status: CommitStatus
    tries: int = 0
    due_s: float = 0.0


class ForgeStatuses:
    """Keeps what is to be told, in order; for the one thread that looks at the forge."""

    def __init__(self, *, failed: Callable[[CommitStatus, str], None]) -> None:
        """Call ``failed`` with what was given up, and why."""
        self._failed = failed
        self._waiting: deque[_Waiting] = deque()
        self._told: dict[tuple[str, str], CommitStatus] = {}

    def tell(self, status: CommitStatus) -> None:
        """Let the forge know ``status``; the same word is told once, and a newer one takes an older one's place."""
        key = (status.revision, status.context)
        if self._told.get(key) == status:
            return
        self._told[key] = status
        while len(self._told) > MAX_WAITING:
            del self._told[next(iter(self._told))]
        for each in list(self._waiting):
            if (each.status.revision, each.status.context) == key:
                self._waiting.remove(each)
        self._waiting.append(_Waiting(status=status))
        if len(self._waiting) > MAX_WAITING:
            self._failed(self._waiting.popleft().status, "too many were waiting")

    def wait_s(self, now_s: float) -> float | None:
        """Return in how many seconds there is something to send; None where nothing is."""
        return min((max(0.0, each.due_s - now_s) for each in self._waiting), default=None)

    def send(self, mirror: Mirror, token: str | None, now_s: float) -> None:
        """Send what is due."""
        if mirror.forge is None or token is None:
            self._waiting.clear()
            return
        for each in [each for each in self._waiting if each.due_s <= now_s]:
            try:
                send_status(status_call(mirror, mirror.forge, each.status), token, ca=mirror.ca)
            except ForgeAwayError as error:
                self._later(each, str(error), now_s)
            except StatusNotTakenError as error:
                self._waiting.remove(each)
                self._failed(each.status, str(error))
            else:
                self._waiting.remove(each)

    def _later(self, each: _Waiting, why: str, now_s: float) -> None:
        each.tries += 1
        each.due_s = now_s + min(_MAX_WAIT_S, _FIRST_WAIT_S * 2.0**each.tries)
        logger.warning("the forge took no status; it is sent again", reason=why, tries=each.tries)
        if each.tries >= MAX_TRIES:
            self._waiting.remove(each)
            self._failed(each.status, why)
