"""Words of operators about transfers: one file for each transfer, on the storage that the members share."""

from pathlib import Path
from typing import Final

from mftgit.adapters.durable import read_replaced, sync_folder, write_file
from mftgit.member.outbound.records.intents import StateUnavailableError
from mftgit.model.names import TransferName, is_name

_LONGEST_BYTES: Final = 4096


class Words:
    """The files of ``folder``. ``cannot`` begins the StateUnavailableError that every method raises where it must."""

    def __init__(self, folder: Path, *, cannot: str) -> None:
        self._folder = folder
        self._cannot = cannot

    def names(self) -> list[TransferName]:
        """Return the transfers that there is a word about."""
        try:
            return [
                TransferName(path.stem) for path in self._folder.iterdir() if is_name(path.stem)
            ]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unavailable(self._folder, error) from error

    def read(self, name: TransferName) -> bytes | None:
        """Return the word about a transfer, None where there is none."""
        path = self._path(name)
        try:
            return read_replaced(path, most_bytes=_LONGEST_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unavailable(path, error) from error

    def write(self, name: TransferName, content: bytes) -> None:
        """Leave a word, in place of the one before, and make that last."""
        path = self._path(name)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            sync_folder(self._folder.parent)
            write_file(path, content)
        except OSError as error:
            raise self._unavailable(path, error) from error

    def remove(self, name: TransferName) -> bool:
        """Take a word away, also over a crash; tell whether it was there, and nobody else took it."""
        path = self._path(name)
        try:
            found = _unlink(path)
            if self._folder.is_dir():
                sync_folder(self._folder)
        except OSError as error:
            raise self._unavailable(path, error) from error
        return found

    def _path(self, name: TransferName) -> Path:
        return self._folder / f"{name}.json"

    def _unavailable(self, path: Path, error: OSError) -> StateUnavailableError:
        return StateUnavailableError(
            f"{self._cannot}: {path}: {error.strerror or error}: see that the members' storage is mounted and "
            "writable here"
        )


def _unlink(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True
