"""The id of a storage, in a file of its own there; and the one that a member remembers, in its state folder."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from mftgit.adapters.coordinator import CoordinatorUnavailableError
from mftgit.adapters.durable import sync_folder, write_file
from mftgit.model.ownership.storage import StorageId, parse_storage_id

ID_FILE: Final = "storage-id"
_LONGEST: Final = 100


def read_storage_id(path: Path) -> StorageId | None:
    """Return the id in the file ``path``, None where there is no file. It may hang.

    Raises:
        CoordinatorUnavailableError: it cannot be read, or holds something else.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(_LONGEST)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unavailable(path, error) from error
    try:
        return parse_storage_id(content.decode("ascii").removesuffix("\n"))
    except ValueError as error:
        raise CoordinatorUnavailableError(
            f"{path}: damaged: {error}: put it back as the status of another member tells it"
        ) from error


def make_storage_id(folder: Path) -> StorageId:
    """Give the storage at ``folder``, made when missing, an id, and return the one that it has then. It may hang.

    Of members that do so at once one wins, and the others take its id.

    Raises:
        CoordinatorUnavailableError: it takes none now.
    """
    place = folder / ID_FILE
    fresh = folder / f".{ID_FILE}.{os.getpid()}.{secrets.token_hex(8)}.new"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with fresh.open("xb") as stream:
                stream.write(secrets.token_hex(16).encode() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
            with suppress(
                FileExistsError
            ):  # ours, with a reply that was lost, or another's: the file tells
                os.link(fresh, place)
            sync_folder(folder)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise _unavailable(place, error) from error
    found = read_storage_id(place)
    if found is None:
        raise CoordinatorUnavailableError(f"{place}: it was gone right after it was made")
    return found


def remember_storage_id(path: Path, storage: StorageId) -> None:
    """Remember ``storage`` in the file ``path`` of the state folder, and make that last; raises OSError."""
    write_file(path, f"{storage}\n".encode())


def _unavailable(path: Path, error: OSError) -> CoordinatorUnavailableError:
    return CoordinatorUnavailableError(
        f"{path}: the members' storage does not answer: {error.strerror or error}; "
        "see that it is mounted here, is writable, and has room"
    )
