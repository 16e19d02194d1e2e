"""Prove a revision that runs: every probe has to pass within the time that is given, or it is rolled back."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from loguru import logger

from mftgit.adapters.clock import Clock
from mftgit.errors import MftgitError

Probe = Callable[[], None]
"""Returns when what it looks at is well; raises MftgitError to say what is not. It may hang."""

_PAUSES_S: Final = (0.05, 0.1, 0.2, 0.5)
_PAUSE_S: Final = 1.0
_NOTHING: Final = "no answer yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of it; ``missing`` are the probes that did not pass, and what each said last.

    A try that the end of the time cut off says less than one before it that came to its own end.
    """

    missing: Mapping[str, str]

    @property
    def good(self) -> bool:
        """Tell whether every probe has passed."""
        return not self.missing

    def __str__(self) -> str:
        return "; ".join(f"{name}: {said}" for name, said in self.missing.items())


class Time:
    """How long a revision has to prove itself. ``until`` is by `Clock.boottime`; for any thread."""

    def __init__(self, *, until: float, clock: Clock) -> None:
        """It runs."""
        self._until = until
        self._clock = clock
        self.ended = threading.Event()

    @property
    def left_s(self) -> float:
        """Return how many seconds are left; none where the wait was ended."""
        left_s = max(0.0, self._until - self._clock.boottime())
        return 0.0 if self.ended.is_set() else left_s


class Confirmation:
    """The probes of one revision, each in a thread of its own: one that hangs keeps nothing else up."""

    def __init__(
        self, probes: Mapping[str, Probe], *, time: Time, passed: Callable[[], None]
    ) -> None:
        """Begin; ``passed`` is called once every probe has passed."""
        self.time = time
        self._tell_passed = passed
        self._lock = threading.Lock()
        self._missing = dict.fromkeys(probes, _NOTHING)
        self._ended = time.ended
        for name, probe in probes.items():
            threading.Thread(
                target=self._try, args=(name, probe), name=f"probe-{name}", daemon=True
            ).start()

    def look(self) -> Verdict | None:
        """Return the verdict; None while there is time and a probe has not passed."""
        with self._lock:
            verdict = Verdict(missing=dict(self._missing))
        if verdict.good or not self.time.left_s:
            return verdict
        return None

    def end(self) -> None:
        """Try no more: what a probe runs is killed, one that hangs is left to itself."""
        self._ended.set()

    def _try(self, name: str, probe: Probe) -> None:
        tries = 0
        while not self._ended.is_set():
            try:
                probe()
            except MftgitError as error:
                self._say(name, str(error))
            except Exception as error:  # noqa: BLE001  a fault in a probe is a probe that did not pass
                logger.opt(exception=True).error("a probe failed unexpectedly", probe=name)
                self._say(name, str(error) or type(error).__name__)
            else:
                self._pass(name)
                return
            self._ended.wait(_PAUSES_S[tries] if tries < len(_PAUSES_S) else _PAUSE_S)
            tries += 1

    def _say(self, name: str, said: str) -> None:
        with self._lock:
            if self.time.left_s or self._missing[name] == _NOTHING:
                self._missing[name] = said

    def _pass(self, name: str) -> None:
        with self._lock:
            if not self.time.left_s:
                self._missing[name] = "it passed too late"
                return
            del self._missing[name]
            done = not self._missing
        if done and not self._ended.is_set():
            self._tell_passed()
