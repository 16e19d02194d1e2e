"""Which files of a batch have come to the destination whole, while others of it have not.

They are written down beside the records, and under the same fence: so that whoever comes next, where the batch was cut,
need not send them again. It is the record of each as it will be, but for the names of a later try.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from loguru import logger

from mftgit.adapters.durable import write_file
from mftgit.model.transfers.claim import ClaimId
from mftgit.model.transfers.intent import Intent, format_intents, parse_intents

_ENDING: Final = ".sent"


def is_sent(path: Path) -> bool:
    """Tell whether ``path`` is one of them; what begins with a dot is of a `write_file` that was killed."""
    return path.suffix == _ENDING and path.name[0] != "."


class SentOfBatch:
    """Those of one epoch, in the ``folder`` of its records; ``fence`` is put around each access."""

    def __init__(self, folder: Path, fence: Callable[[], AbstractContextManager[None]]) -> None:
        self._folder = folder
        self._fence = fence
        self._known: dict[ClaimId, Intent] = {}
        self._file_of: dict[ClaimId, str] = {}
        self._held: dict[str, set[ClaimId]] = {}

    def know(self, found: Iterable[tuple[Path, bytes]], claims: Collection[ClaimId]) -> None:
        """Take note of what was ``found`` for ``claims``, which have a record; drop what belongs to none."""
        self._known, self._file_of, self._held = {}, {}, {}
        for path, content in found:
            try:
                intents = [each for each in parse_intents(content) if each.id in claims]
            except ValueError as error:
                logger.warning(
                    "what was sent is not known again", path=str(path), reason=str(error)
                )
                intents = []
            for each in intents:
                self._put(each, path.name)
            self._tidy(path.name)

    def of(self, claim: ClaimId) -> Intent | None:
        """Return the record of ``claim`` as it was sent, as of the last `know` or `save`."""
        return self._known.get(claim)

    def save(self, intents: Sequence[Intent]) -> None:
        """Write them down together, and make that last; raises as `Intents.write`."""
        if not intents:
            return
        name = f"{intents[0].id}{_ENDING}"
        before = {self._file_of.get(each.id, name) for each in intents} - {name}
        for each in intents:
            self._put(each, name)
        with self._fence():
            whole = [self._known[claim] for claim in sorted(self._held[name])]
            write_file(self._folder / name, format_intents(whole))
        for other in before:
            self._tidy(other)

    def drop(self, claim: ClaimId) -> None:
        """Forget what was sent of ``claim``: it has its name, or is gone."""
        name = self._file_of.pop(claim, None)
        if name is not None:
            del self._known[claim]
            self._held[name].discard(claim)
            self._tidy(name)

    def _put(self, intent: Intent, name: str) -> None:
        former = self._file_of.get(intent.id)
        if former is not None:
            self._held[former].discard(intent.id)
        self._known[intent.id], self._file_of[intent.id] = intent, name
        self._held.setdefault(name, set()).add(intent.id)

    def _tidy(self, name: str) -> None:
        """Remove a file that holds nothing any more."""
        if not self._held.get(name):
            self._held.pop(name, None)
            with self._fence():
                (self._folder / name).unlink(missing_ok=True)
