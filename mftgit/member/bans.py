"""Take in the sources that other members banned, as the controller tells them."""

import threading
from collections.abc import Callable
from typing import Protocol

from loguru import logger

from mftgit.errors import MftgitError
from mftgit.member.report import back_off_s
from mftgit.model.bans import BanNews


class Barrier(Protocol):
    """What keeps banned sources out of this member's services, but for networks that a service exempts."""

    def ban(self, source: str, seconds: float, by: str) -> None:
        """Keep the network ``source`` out for at least so many seconds from now on; ``by`` is who banned it."""

    def lift(self, source: str) -> None:
        """Let ``source`` in again."""


class BanWatch:
    """One thread that asks the controller what changed, after each hint. While it is away, what is known goes on."""

    def __init__(self, ask: Callable[[int], BanNews], barrier: Barrier) -> None:
        """``ask`` as `Upstream.bans`; nothing is asked yet."""
        self._ask = ask
        self._barrier = barrier
        self._known = 0
        self._due = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bans", daemon=True)

    def start(self) -> None:
        """Begin; the first hint comes with the line to the controller."""
        self._thread.start()

    def poke(self) -> None:
        """Say that there may be news; callable from any thread."""
        self._due.set()

    def stop(self) -> None:
        """Ask no more."""
        self._stopping.set()
        self._due.set()

    def look(self) -> None:
        """Ask once, and take in what changed; raises MftgitError."""
        more = True
        while more and not self._stopping.is_set():
            news = self._ask(self._known)
            if news.number < self._known:  # the controller's records are not those of before
                self._known = 0
                continue
            for each in news.bans:
                if each.left_s > 0:
                    self._barrier.ban(each.source, each.left_s, each.by)
                else:
                    self._barrier.lift(each.source)
            more = news.more and news.number > self._known
            self._known = news.number

    def _run(self) -> None:
        failures, wait_s = 0, None
        while True:
            self._due.wait(wait_s)
            self._due.clear()
            if self._stopping.is_set():
                return
            try:
                self.look()
            except MftgitError as error:
                failures += 1
                wait_s = back_off_s(failures)
                logger.debug("bans of other members were not asked for", error=str(error))
            except Exception:  # noqa: BLE001  it must go on with the next hint
                failures += 1
                wait_s = back_off_s(failures)
                logger.opt(exception=True).error("unexpected failure while taking bans in")
            else:
                failures, wait_s = 0, None
