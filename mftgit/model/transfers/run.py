"""The life of a run and the life of a delivery, as tables: what is not in the table is refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, unique
from typing import Final

from mftgit.errors import MftgitError


class OutOfOrderError(MftgitError):
    """A step was taken that cannot follow the last one; nothing was changed."""


@unique
class DeliveryState(Enum):
    """How far one file is. ``TAKEN``, ``READY`` and ``SKIPPED`` are written down and outlive a crash."""

    SEEN = "seen"
    TAKEN = "taken"
    SENT = "sent"
    READY = "ready"
    PUBLISHED = "published"
    RECORDED = "recorded"
    SKIPPED = "skipped"
    DONE = "done"
    LEFT = "left"
    GIVEN_UP = "given up"


@unique
class DeliveryStep(Enum):
    """What happened to one file."""

    TAKE = "take"
    VANISH = "vanish"
    SEND = "send"
    INTEND = "intend"
    PUBLISH = "publish"
    RECORD = "record"
    SKIP = "skip"
    SETTLE = "settle"
    GIVE_UP = "give up"
    LEAVE = "leave"


_D, _S = DeliveryState, DeliveryStep

NEXT_DELIVERY: Final[Mapping[tuple[DeliveryState, DeliveryStep], DeliveryState]] = {
    (_D.SEEN, _S.TAKE): _D.TAKEN,
    (_D.TAKEN, _S.TAKE): _D.TAKEN,  # taken on from a predecessor, or tried again
    (_D.TAKEN, _S.SEND): _D.SENT,
    (_D.TAKEN, _S.SKIP): _D.SKIPPED,
    (_D.TAKEN, _S.LEAVE): _D.LEFT,  # the file goes back to where it was, or was never taken
    (_D.TAKEN, _S.GIVE_UP): _D.GIVEN_UP,  # it failed too often, and is set aside
    (_D.SENT, _S.INTEND): _D.READY,
    (_D.SENT, _S.SKIP): _D.SKIPPED,  # its content was delivered before
    (
        _D.READY,
        _S.INTEND,
    ): _D.READY,  # under another name, because the first one was taken meanwhile
    (_D.READY, _S.VANISH): _D.TAKEN,
    (_D.READY, _S.PUBLISH): _D.PUBLISHED,
    (_D.READY, _S.SKIP): _D.SKIPPED,
    (_D.PUBLISHED, _S.RECORD): _D.RECORDED,
    (_D.RECORDED, _S.SETTLE): _D.DONE,
    (_D.SKIPPED, _S.SETTLE): _D.DONE,
}
"""The one way from READY back to TAKEN is for who wrote the intent and has not tried to publish: only then does a
temporary that is gone prove that it was not published. Whoever comes later never sends it again."""


def advance(state: DeliveryState, step: DeliveryStep) -> DeliveryState:
    """Return the state of a delivery after ``step``.

    Raises:
        OutOfOrderError: ``step`` cannot follow ``state``.
    """
    try:
        return NEXT_DELIVERY[state, step]
    except KeyError:
        raise OutOfOrderError(f"a delivery that is {state.value} cannot {step.value}") from None


@unique
class RunState(Enum):
    """How a run goes so far; the last five are how it may end."""

    PENDING = "pending"
    EMPTY = "empty"
    GOOD = "good"
    MIXED = "mixed"
    BAD = "bad"
    SUCCEEDED = "succeeded"
    PARTLY = "partly"
    FAILED = "failed"
    IDLE = "idle"
    ENDED = "ended"


@unique
class RunStep(Enum):
    """What happened to a run. ``LOSE``: the ownership under it has ended."""

    START = "start"
    DELIVER = "deliver"
    FAIL = "fail"
    FINISH = "finish"
    LOSE = "lose"


_R, _T = RunState, RunStep
_UNDER_WAY: Final = (_R.EMPTY, _R.GOOD, _R.MIXED, _R.BAD)

NEXT_RUN: Final[Mapping[tuple[RunState, RunStep], RunState]] = {
    (_R.PENDING, _T.START): _R.EMPTY,
    (_R.EMPTY, _T.DELIVER): _R.GOOD,
    (_R.EMPTY, _T.FAIL): _R.BAD,
    (_R.GOOD, _T.DELIVER): _R.GOOD,
    (_R.GOOD, _T.FAIL): _R.MIXED,
    (_R.MIXED, _T.DELIVER): _R.MIXED,
    (_R.MIXED, _T.FAIL): _R.MIXED,
    (_R.BAD, _T.DELIVER): _R.MIXED,
    (_R.BAD, _T.FAIL): _R.BAD,
    (_R.EMPTY, _T.FINISH): _R.IDLE,
    (_R.GOOD, _T.FINISH): _R.SUCCEEDED,
    (_R.MIXED, _T.FINISH): _R.PARTLY,
    (_R.BAD, _T.FINISH): _R.FAILED,
    **{(state, _T.LOSE): _R.ENDED for state in _UNDER_WAY},
}


def advance_run(state: RunState, step: RunStep) -> RunState:
    """Return the state of a run after ``step``.

    Raises:
        OutOfOrderError: ``step`` cannot follow ``state``.
    """
    try:
        return NEXT_RUN[state, step]
    except KeyError:
        raise OutOfOrderError(f"a run that is {state.value} cannot {step.value}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class SoFar:
    """What a run has come to whose next part follows: there are more files than it takes at a time.

    ``state`` is one of those under way, ``failed`` how many errors there were, and ``error`` the first of them.
    """

    state: RunState
    files: int = 0
    size_bytes: int = 0
    failed: int = 0
    error: str | None = None

    def then(self, part: "SoFar") -> "SoFar":
        """Return what it has come to with its next ``part``."""
        states = {self.state, part.state} - {RunState.EMPTY} or {RunState.EMPTY}
        return SoFar(
            state=states.pop() if len(states) == 1 else RunState.MIXED,
            files=self.files + part.files,
            size_bytes=self.size_bytes + part.size_bytes,
            failed=self.failed + part.failed,
            error=part.error if self.error is None else self.error,
        )


SHORTEST_TOGETHER_S: Final = 1.0
LONGEST_TOGETHER_S: Final = 3.0
MOST_TOGETHER: Final = 128
_FIRST_TOGETHER: Final = 32
_BYTES_EACH: Final = 64 << 10


class Pace:
    """How many small files are taken together, so that it takes about a second, whatever disk and partner.

    What is taken together is under way together: a run that is stopped has to wait for it, and a successor has to look
    at each. ``size_bytes`` bounds the memory, at most 8 MiB.
    """

    def __init__(self) -> None:
        self.files = _FIRST_TOGETHER

    @property
    def size_bytes(self) -> int:
        """Return how many bytes they may have in all; one file may have more."""
        return self.files * _BYTES_EACH

    def took(self, seconds: float) -> None:
        """Take more next time where the last ones took less than a second, and fewer where more than three."""
        if seconds < SHORTEST_TOGETHER_S:
            self.files = min(self.files * 2, MOST_TOGETHER)
        elif seconds > LONGEST_TOGETHER_S:
            self.files = max(self.files // 2, 1)
