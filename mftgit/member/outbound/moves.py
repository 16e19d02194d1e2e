"""Words of operators that a transfer is to go to another member: one file for each, on the members' storage.

So it can be said on any member. The owner takes the file away and hands the transfer over; where it dies in between,
the word is lost, and who waits for it says so.
"""

from pathlib import Path
from typing import Final

from loguru import logger

from mftgit.adapters.durable import sync_folder, write_file
from mftgit.member.outbound.intents import StateUnavailableError
from mftgit.model.move import Move, format_move, parse_move
from mftgit.model.names import TransferName, is_name

_FOLDER: Final = "moves"
_LONGEST_BYTES: Final = 4096


class Moves:
    """The words below ``shared``, `.mftgit` of the files root. Every method raises StateUnavailableError."""

    def __init__(self, shared: Path) -> None:
        self._folder = shared / _FOLDER

    def all(self) -> dict[TransferName, Move]:
        """Return every word; one that is damaged is taken away."""
        try:
            names = [path.stem for path in self._folder.iterdir() if is_name(path.stem)]
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise _unavailable(self._folder, error) from error
        found = {TransferName(name): self.read(TransferName(name)) for name in names}
        return {name: move for name, move in found.items() if move is not None}

    def read(self, name: TransferName) -> Move | None:
        """Return the word about a transfer, None where there is none any more."""
        path = self._path(name)
        try:
            with path.open("rb") as stream:
                return parse_move(stream.read(_LONGEST_BYTES))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unavailable(path, error) from error
        except ValueError as error:
            logger.warning("a word about an owner is damaged", path=str(path), error=str(error))
            self.take(name)
            return None

    def leave(self, name: TransferName, move: Move) -> None:
        """Leave a word for the owner, in place of one that it has not taken yet."""
        path = self._path(name)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_file(path, format_move(move))
        except OSError as error:
            raise _unavailable(path, error) from error

    def take(self, name: TransferName) -> bool:
        """Take the word away; tell whether it was there, and nobody else took it."""
        path = self._path(name)
        try:
            path.unlink()
            sync_folder(self._folder)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _unavailable(path, error) from error
        return True

    def _path(self, name: TransferName) -> Path:
        return self._folder / f"{name}.json"


def _unavailable(path: Path, error: OSError) -> StateUnavailableError:
    return StateUnavailableError(
        f"the word that a transfer is to move cannot be read or left: {path}: {error.strerror or error}: see that the "
        "members' storage is mounted and writable here"
    )
