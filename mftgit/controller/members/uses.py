"""How accounts are in use at all members: each tells the controller, and is told of the others."""

import secrets
import threading
from collections.abc import Callable
from typing import Final

from mftgit.adapters.clock import Clock
from mftgit.model.inbound.account_use import UseNews, UseTold
from mftgit.model.inbound.totp import step_at
from mftgit.model.inbound.uses_everywhere import UsesEverywhere
from mftgit.model.names import MemberName

_WAKE_EVERY_S: Final = 2.0
"""How often members are woken for sessions that began or ended."""

_GATHER_S: Final = 0.25  # used codes, which are pressing, wake the members this often at most


class Uses:
    """One thread that wakes the members when something has changed. Nothing is written down: members tell it again."""

    def __init__(self, *, wake: Callable[[], None], clock: Clock) -> None:
        """Know nothing yet; ``wake`` tells the members to ask."""
        self._wake = wake
        self._clock = clock
        self._lock = threading.Lock()
        self._everywhere = UsesEverywhere(secrets.randbits(48))
        self._due = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="uses", daemon=True)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def stop(self) -> None:
        """Tell no more."""
        self._stopping.set()
        self._due.set()
        if self._thread.is_alive():
            self._thread.join()

    def exchange(self, member: MemberName, told: UseTold) -> UseNews:
        """Take in what ``member`` tells, and return what it has yet to learn of the others."""
        at, step = self._clock.boottime(), step_at(self._clock.now().timestamp())
        with self._lock:
            pressing = self._everywhere.take(member, told.accounts, at=at, step=step)
            news = self._everywhere.news(member, told.after, step=step)
        if pressing:
            self._due.set()
        return news

    def cut_off(self, member: MemberName) -> None:
        """Count the sessions of a member no more whose line has ended; what lives on tells it again."""
        with self._lock:
            self._everywhere.forget(member)

    def _run(self) -> None:
        told = self._number()
        while not self._stopping.is_set():
            self._due.wait(_WAKE_EVERY_S)
            self._due.clear()
            number = self._number()
            if number != told:
                told = number
                self._wake()
                self._stopping.wait(_GATHER_S)

    def _number(self) -> int:
        """Return the number of the last change."""
        with self._lock:
            self._everywhere.expire(self._clock.boottime())
            return self._everywhere.number
