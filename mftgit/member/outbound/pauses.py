"""Pauses of transfers: one file for each, on the storage that the members share, so that no other owner runs it either.

The file counts by being there, whatever is in it. Where it cannot be told whether it is, nothing begins.
"""

from pathlib import Path
from typing import Final

from mftgit.adapters.durable import read_replaced, sync_folder, write_file
from mftgit.member.outbound.intents import StateUnavailableError
from mftgit.model.names import TransferName
from mftgit.model.pause import Pause, format_pause, parse_pause

_FOLDER: Final = "paused"
_LONGEST_BYTES: Final = 4096


class Pauses:
    """The pauses below ``shared``, `.mftgit` of the files root. Names come from documents, and are no paths."""

    def __init__(self, shared: Path) -> None:
        self._folder = shared / _FOLDER

    def read(self, name: TransferName) -> Pause | None:
        """Return the pause of a transfer, None where it may run.

        Raises:
            StateUnavailableError: the storage does not tell.
        """
        path = self._path(name)
        try:
            return parse_pause(read_replaced(path, most_bytes=_LONGEST_BYTES))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unavailable(path, error) from error

    def all(self) -> dict[TransferName, Pause]:
        """Return every pause; raises StateUnavailableError."""
        try:
            names = [TransferName(path.stem) for path in self._folder.iterdir()]
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise _unavailable(self._folder, error) from error
        found = {name: self.read(name) for name in names if not name.startswith(".")}
        return {name: pause for name, pause in found.items() if pause is not None}

    def begin(self, name: TransferName, pause: Pause) -> None:
        """Pause a transfer, and make that last; raises StateUnavailableError."""
        path = self._path(name)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            sync_folder(self._folder.parent)
            write_file(path, format_pause(pause))
        except OSError as error:
            raise _unavailable(path, error) from error

    def end(self, name: TransferName) -> None:
        """Let a transfer go on, also over a crash; one that is not paused is fine. Raises StateUnavailableError."""
        path = self._path(name)
        try:
            path.unlink(missing_ok=True)
            if self._folder.is_dir():
                sync_folder(self._folder)
        except OSError as error:
            raise _unavailable(path, error) from error

    def _path(self, name: TransferName) -> Path:
        return self._folder / f"{name}.json"


def _unavailable(path: Path, error: OSError) -> StateUnavailableError:
    return StateUnavailableError(
        f"whether the transfer is paused cannot be told or changed: {path}: {error.strerror or error}: see that the "
        "members' storage is mounted and writable here"
    )
