"""See to it that the hosted repository is repacked from time to time."""

from loguru import logger

from mftgit.adapters.clock import Clock
from mftgit.adapters.git.store import GitStore
from mftgit.adapters.git.upkeep import Upkeep, find_git
from mftgit.adapters.scheduler import Scheduler
from mftgit.errors import MftgitError

_AGAIN_S = 3600.0


class Housekeeping:
    """Looks every so often whether it is time, and tells the log what came of it."""

    def __init__(self, store: GitStore, *, clock: Clock, every_s: float = 60.0) -> None:
        """Wait ``every_s`` seconds before each look, which is two listings."""
        git = find_git()
        self._clock = clock
        self._upkeep = Upkeep(store, git=git) if git else None
        self._scheduler = Scheduler(clock=clock)
        self._every_s = every_s
        self._not_before = 0.0

    def start(self) -> None:
        """Begin to look; without git say so, once."""
        if self._upkeep is None:
            logger.warning(
                "git is not installed: the hosted repository works, and is not repacked; "
                "it gains a pack with every push and becomes slower: install git and start again"
            )
            return
        self._scheduler.once("upkeep", self._every_s, self._look_and_again)
        self._scheduler.start()

    def stop(self) -> None:
        """Look no more, and end what runs: nothing is lost by that."""
        if self._upkeep is not None:
            self._upkeep.stop()
        self._scheduler.stop()

    def _look_and_again(self) -> None:
        try:
            self._look()
        except OSError as error:
            logger.warning("whether to repack could not be found out", error=str(error))
        finally:
            self._scheduler.once("upkeep", self._every_s, self._look_and_again)

    def _look(self) -> None:
        upkeep = self._upkeep
        if upkeep is None or not upkeep.is_due() or self._clock.boottime() < self._not_before:
            return
        before, began = upkeep.packs(), self._clock.boottime()
        try:
            upkeep.run()
        except MftgitError as error:
            self._not_before = self._clock.boottime() + _AGAIN_S
            logger.bind(reason=str(error)).error(
                "the hosted repository was not repacked; it is tried again in an hour"
            )
        else:
            took_s = round(self._clock.boottime() - began, 3)
            logger.info(
                "the hosted repository was repacked",
                packs_before=before,
                packs=upkeep.packs(),
                took_s=took_s,
            )
