"""What has arrived of large files, kept beside their records and under the same fence, so that it can be gone on with.

It is a file of its own: it is written again and again while one file is sent, and a member of a version that does not
know it goes by the record, removes the temporary that this names, and sends anew.
"""

from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from loguru import logger

from mftgit.adapters.durable import write_file
from mftgit.model.transfers.claim import ClaimId
from mftgit.model.transfers.partial import Partial, format_partial, parse_partial

_ENDING: Final = ".partial"


def is_partial(path: Path) -> bool:
    """Tell whether ``path`` is one of them; what begins with a dot is of a `write_file` that was killed."""
    return path.suffix == _ENDING and path.name[0] != "."


class Partials:
    """Those of one epoch, in the ``folder`` of its records; ``fence`` is put around each access."""

    def __init__(self, folder: Path, fence: Callable[[], AbstractContextManager[None]]) -> None:
        self._folder = folder
        self._fence = fence
        self._known: dict[ClaimId, Partial] = {}

    def know(self, found: Iterable[tuple[Path, bytes]], claims: Collection[ClaimId]) -> None:
        """Take note of what was ``found`` for ``claims``, which have a record; drop what belongs to none."""
        self._known = {}
        for path, content in found:
            claim = ClaimId(path.stem)
            if claim not in claims:
                with self._fence():
                    path.unlink(missing_ok=True)
                continue
            try:
                self._known[claim] = parse_partial(content)
            except ValueError as error:
                logger.warning("a partial is not known again", id=claim, reason=str(error))

    def of(self, claim: ClaimId) -> Partial | None:
        """Return what there is of ``claim``, as of the last `know` or `save`."""
        return self._known.get(claim)

    def save(self, partial: Partial) -> None:
        """Write it down, and make that last; raises as `Intents.write`."""
        with self._fence():
            write_file(self._path(partial.id), format_partial(partial))
        self._known[partial.id] = partial

    def drop(self, claim: ClaimId) -> None:
        """Forget what there is of ``claim``: its temporary has its name, or is gone."""
        if self._known.pop(claim, None) is not None:
            with self._fence():
                self._path(claim).unlink(missing_ok=True)

    def _path(self, claim: ClaimId) -> Path:
        return self._folder / f"{claim}{_ENDING}"
