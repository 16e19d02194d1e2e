"""Remove what earlier runs have left at places that were away, once these are back."""

from collections.abc import Sequence
from pathlib import Path

from loguru import logger

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.endpoint.contract import FileMissingError
from mftgit.errors import MftgitError
from mftgit.member.outbound.given.context import Endpoints, RunContext
from mftgit.member.outbound.ownership.own import OwnershipEndedError
from mftgit.member.outbound.records.left_behind import LeftBehind
from mftgit.model.transfers.intent import Intent
from mftgit.model.transfers.left import Left, format_left, wait_s


class Clearing:
    """The removal of what was left, by one run."""

    def __init__(self, context: RunContext, endpoints: Endpoints, left: LeftBehind) -> None:
        self._context = context
        self._endpoints = endpoints
        self._left = left

    def keep(self, intent: Intent, names: Sequence[str]) -> None:
        """Write down that ``names`` at the destination of ``intent`` are to be removed once it is back."""
        self._left.keep(format_left(intent, names, rfc3339(self._context.clock.now())))

    def go(self) -> None:
        """Remove what lies at places that the run has reached, and, when its wait is over, all that can be removed.

        Raises:
            OwnershipEndedError: a successor has taken over.
            StateUnavailableError: the members' storage does not answer.
        """
        memory, now = self._context.memory, self._context.clock.boottime()
        is_due = now >= memory.left_until
        for path in sorted(self._left.known):
            if self._context.stopping.is_set():
                return
            left = self._left.read(path)
            if left is not None and (is_due or self._is_at_hand(left)):
                self._try(path, left)
        if not self._left.known:
            memory.left_tries = 0
        elif is_due:
            memory.left_tries += 1
            memory.left_until = now + wait_s(memory.left_tries)

    def _is_at_hand(self, left: Left) -> bool:
        generation = self._context.generation
        location = left.intent.destination.find(generation, writer=left.intent.member)
        return location is not None and self._endpoints.reached(location)

    def _try(self, path: Path, left: Left) -> None:
        try:
            self._remove(left)
        except OwnershipEndedError:
            raise
        except MftgitError as error:
            if not left.is_given_up(self._context.clock.now()):
                return
            logger.warning(
                "a temporary stays where it was left", names=left.names, reason=str(error)
            )
        self._left.drop(path)

    def _remove(self, left: Left) -> None:
        intent = left.intent
        location = self._endpoints.find(intent.destination, writer=intent.member)
        destination = self._endpoints.at(location, make=False)
        for error in destination.drop_parts(left.names):
            if error is not None and not isinstance(error, FileMissingError):
                raise error
        logger.info("what was left behind is removed", location=location.name, names=left.names)
