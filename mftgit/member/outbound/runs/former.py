"""Bring former transfers to their end: a line for each that `find_leftovers` finds, until nothing is left of it."""

from collections.abc import Callable
from pathlib import Path

from loguru import logger

from mftgit.errors import MftgitError
from mftgit.member.outbound.records.leftover import find_leftovers
from mftgit.member.outbound.runs.lines import Lines
from mftgit.model.names import Revision, TransferName


class Former:
    """The looks for them. ``changed()`` is told that lines came or went; ``fire(key)`` has one looked at."""

    def __init__(
        self,
        lines: Lines,
        *,
        transfers: Path,
        is_ancestor: Callable[[Revision, Revision], bool],
        changed: Callable[[], None],
        fire: Callable[[TransferName], None],
    ) -> None:
        self._lines = lines
        self._transfers = transfers
        self._is_ancestor = is_ancestor
        self._changed = changed
        self._fire = fire

    def look(self) -> None:
        """Take on what former transfers have left under way, and let go of what is ended."""
        lines = self._lines
        basis = lines.basis
        if basis is None:
            return
        with lines.lock:
            active = {key for key, line in lines.items() if line.transfer is not None}
        found = dict(
            find_leftovers(self._transfers, basis.generation, knows=self._knows, active=active)
        )
        with lines.lock:
            if lines.basis is not basis:
                return
            former = {key: line for key, line in lines.items() if line.transfer is None}
            for key, line in former.items():
                if key not in found and not line.running:
                    lines.stop(line)
            fresh = {key: name for key, name in found.items() if key not in lines}
            for key, name in fresh.items():
                lines.add(name, None, key=key, basis=basis)
        for name in fresh.values():
            logger.warning("files of a former transfer are under way", transfer=name)
        self._changed()
        for key in former.keys() & found.keys():
            self._fire(key)

    def _knows(self, revision: Revision) -> bool:
        basis = self._lines.basis
        try:
            return basis is not None and self._is_ancestor(revision, basis.revision)
        except MftgitError:
            return False
