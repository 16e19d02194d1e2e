"""Hand events to a program of the machine's administrator, one by one."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from mftgit.adapters.clock import Clock
from mftgit.adapters.command import CommandFailedError, run_command
from mftgit.adapters.handlers.target import TargetError, TargetRefusedError
from mftgit.errors import ConfigError
from mftgit.model.events.event import Event
from mftgit.model.handlers.handler import CommandHandler
from mftgit.model.printable import printable

DATA_ERROR: Final = 65
"""With this status (``EX_DATAERR`` of sysexits.h) a program says that it will not have this event."""


class Program:
    """A `Target` that is a program: it reads the event as JSON, and is told what it is about by its environment."""

    most_at_once = 1

    def __init__(
        self,
        handler: CommandHandler,
        *,
        folder: Path,
        given: Callable[[Event], bytes],
        facts: Callable[[Event], dict[str, str]],
        clock: Clock,
    ) -> None:
        """Run nothing yet. ``given`` gives the input, ``facts`` the variables for an event."""
        self._handler = handler
        self._folder = folder
        self._given = given
        self._facts = facts
        self._clock = clock
        self._closed = False

    def send(self, events: Sequence[Event]) -> None:
        """See `Target.send`."""
        for event in events:
            self._run(event)

    def close(self) -> None:
        """See `Target.close`."""
        self._closed = True

    def _run(self, event: Event) -> None:
        until = self._clock.boottime() + self._handler.timeout_s
        try:
            run_command(
                self._folder,
                self._handler.program,
                arguments=self._handler.arguments,
                facts=self._facts(event),
                given=self._given(event),
                left_s=lambda: 0.0 if self._closed else max(0.0, until - self._clock.boottime()),
            )
        except CommandFailedError as error:
            kind = TargetRefusedError if error.status == DATA_ERROR else TargetError
            raise kind(printable(str(error))) from error
        except ConfigError as error:
            raise TargetError(str(error)) from error
