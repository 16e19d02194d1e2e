"""Ask the controller for something after each hint that it may be news, and again until it has answered."""

import threading
from collections.abc import Callable

from loguru import logger

from mftgit.errors import MftgitError
from mftgit.member.report import back_off_s


class Watch:
    """One thread that calls ``look``, which may raise MftgitError, after each `poke`, and every so often."""

    def __init__(
        self, look: Callable[[], None], *, name: str, every_s: float | None = None
    ) -> None:
        """``name`` is what is asked for, in the log; without ``every_s`` only a `poke` has it asked for."""
        self._look = look
        self._name = name
        self._every_s = every_s
        self._due = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def stopping(self) -> bool:
        """Tell whether nothing more is to be asked."""
        return self._stopping.is_set()

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

    def rest(self, seconds: float) -> None:
        """Return after so many seconds, or when nothing more is to be asked."""
        self._stopping.wait(seconds)

    def _run(self) -> None:
        failures, wait_s = 0, self._every_s
        while True:
            self._due.wait(wait_s)
            self._due.clear()
            if self.stopping:
                return
            try:
                self._look()
            except MftgitError as error:
                failures += 1
                wait_s = back_off_s(failures)
                logger.debug("not asked for", what=self._name, error=str(error))
            except Exception:  # noqa: BLE001  it must go on with the next hint
                failures += 1
                wait_s = back_off_s(failures)
                logger.opt(exception=True).error("unexpected failure while asking", what=self._name)
            else:
                failures, wait_s = 0, self._every_s
