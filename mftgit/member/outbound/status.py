"""How the transfers of a member are, with what the members' storage tells of them: pauses, and what was delivered."""

import threading
from collections.abc import Callable, Mapping
from typing import Final

from loguru import logger

from mftgit.adapters.clock import Clock
from mftgit.errors import MftgitError
from mftgit.member.outbound.given.progress import Progress
from mftgit.member.outbound.owning import Owning
from mftgit.member.outbound.places.in_time import InTime
from mftgit.member.outbound.records.pauses import Pauses
from mftgit.member.outbound.runs.line import Line, Look, count, describe, to_be_counted
from mftgit.member.outbound.runs.lines import Lines
from mftgit.model.names import MemberName, TransferName
from mftgit.model.ownership.view import FREE
from mftgit.model.transfers.pause import Pause
from mftgit.model.transfers.status import TransferStatus

_SHARED_S: Final = 1.0
"""So long the storage is waited for."""


class Statuses:
    """The statuses of ``lines``. ``submit`` is `Runs.submit`, for what goes on after a pause.

    ``next_firings`` is `Outbound.next_firings`.
    """

    def __init__(
        self,
        lines: Lines,
        *,
        member: MemberName,
        owning: Owning,
        pauses: Pauses,
        progress: Progress,
        clock: Clock,
        submit: Callable[[Line, Look], bool],
        next_firings: Callable[[], Mapping[TransferName, str]],
    ) -> None:
        self._lines = lines
        self._me = member
        self._owning = owning
        self._pauses = pauses
        self._progress = progress
        self._clock = clock
        self._submit = submit
        self._next_firings = next_firings
        self._seen = InTime[dict[TransferName, Pause | None]]("shared-state", within_s=_SHARED_S)

    def all(self) -> list[TransferStatus]:
        """Return how each transfer is, by name. Storage that hangs is not waited for; what it told last counts."""
        with self._lines.lock:
            lines = [line for _, line in sorted(self._lines.items()) if line.wanted]
        last = self._seen.last or {}
        self._seen.ask(lambda: self._look_at_shared(lines, last))
        found = self._seen.last or {}
        for line in lines:
            if line.key in found:
                self._take_note_of_pause(line, found[line.key])
        ways, views = self._progress.all_under_way(), self._owning.views
        firings = self._next_firings()
        return [
            describe(
                line,
                views.get(line.key, FREE),
                me=self._me,
                under_way=ways.get(line.name, ()),
                next_at=firings.get(line.name),
            )
            for line in lines
        ]

    def _look_at_shared(
        self, lines: list[Line], last: Mapping[TransferName, Pause | None]
    ) -> dict[TransferName, Pause | None]:
        """Read which transfers are paused, by key, and count what was delivered. It may hang."""
        try:
            paused = self._pauses.all()
        except MftgitError as error:
            logger.debug("pauses not read", error=str(error))
            return dict(last)
        self._owning.look_for_moves(lines)
        for line in to_be_counted(lines):
            count(line, self._clock.boottime())
        return {line.key: paused.get(line.name) for line in lines}

    def _take_note_of_pause(self, line: Line, pause: Pause | None) -> None:
        """Let a run that is under way end after the file at hand, or let the transfer go on where it was stopped."""
        with self._lines.lock:
            before, line.pause = line.pause, pause
            if pause is not None:
                if line.running and line.transfer is not None:
                    line.stopping.set()
                return
            if before is None or self._lines.stopping or not line.wanted:
                return
            line.stopping = threading.Event()
            off = line.is_day_off(self._clock.now())
        self._submit(line, Look.BEGUN if line.on_schedule or off else Look.FOUND)
