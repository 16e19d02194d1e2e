"""The slot of its schedule that a transfer ran last, beside the records of its deliveries and under the same fence.

A successor adopts it with the records; a predecessor that wakes cannot write it any more, for its folder is gone. A
member of a version that does not know it adopts it too, and leaves it as it is.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Final

from loguru import logger

from mftgit.adapters.durable import write_file
from mftgit.model.transfers.firing import Fired, format_fired, parse_fired

FIRED: Final = "fired"

_LONGEST_BYTES: Final = 4096


class LastFired:
    """The record of one epoch, in the ``folder`` of its records; ``fence`` is put around each access."""

    def __init__(self, folder: Path, fence: Callable[[], AbstractContextManager[None]]) -> None:
        self._path = folder / FIRED
        self._fence = fence

    def read(self) -> Fired | None:
        """Return what was run last; None where there is no record, or one that cannot be read.

        Raises:
            OwnershipEndedError: a successor has removed this epoch's folder.
            StateUnavailableError: the storage does not answer.
        """
        with self._fence():
            self._path.parent.stat()
            try:
                content = _read(self._path)
            except FileNotFoundError:
                return None
        return _parse(self._path, content)

    def write(self, fired: Fired) -> None:
        """Write down what is run now, and make that last; raises as `read`."""
        with self._fence():
            write_file(self._path, format_fired(fired))


def find_fired(folders: Iterable[Path]) -> Fired | None:
    """Return the record in the first of ``folders`` that has one, for looking; None where none has.

    Raises:
        OSError: the storage does not answer.
    """
    for folder in folders:
        with suppress(FileNotFoundError):
            return _parse(folder / FIRED, _read(folder / FIRED))
    return None


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_LONGEST_BYTES)


def _parse(path: Path, content: bytes) -> Fired | None:
    try:
        return parse_fired(content)
    except ValueError as error:
        logger.warning(
            "which firing was the last one is not known: {path}: {reason}",
            path=path,
            reason=str(error),
        )
        return None
