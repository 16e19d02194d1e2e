"""Temporaries that could not be removed because their place was away: written down, and removed once it is back.

The record of a delivery goes on with the file: it is sent elsewhere, or not any more. So what was left of its former
tries has records of its own beside it, under the same fence. They hold nothing up.
"""

import hashlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from loguru import logger

from mftgit.adapters.durable import write_file
from mftgit.model.transfers.left import Left, parse_left

ENDING: Final = ".left"


def is_left(path: Path) -> bool:
    """Tell whether ``path`` is one of them; what begins with a dot is of a `write_file` that was killed."""
    return path.suffix == ENDING and path.name[0] != "."


class LeftBehind:
    """Those of one epoch, in the ``folder`` of its records; ``fence`` is put around each access."""

    def __init__(self, folder: Path, fence: Callable[[], AbstractContextManager[None]]) -> None:
        self._folder = folder
        self._fence = fence
        self.known: set[Path] = set()

    def know(self, found: Iterable[Path]) -> None:
        """Take note of what was ``found`` in the folder."""
        self.known = set(filter(is_left, found))

    def keep(self, content: bytes) -> None:
        """Write one down, and make that last; the same one has the same name."""
        path = self._folder / f"{hashlib.sha256(content).hexdigest()[:24]}{ENDING}"
        with self._fence():
            write_file(path, content)
        self.known.add(path)

    def read(self, path: Path) -> Left | None:
        """Return what is in ``path``; None where it is nothing, which is removed."""
        try:
            with self._fence():
                return parse_left(path.read_bytes())
        except ValueError as error:
            logger.warning("what was left is not known again", path=str(path), reason=str(error))
            self.drop(path)
            return None

    def drop(self, path: Path) -> None:
        """Forget it."""
        self.known.discard(path)
        with self._fence():
            path.unlink(missing_ok=True)
