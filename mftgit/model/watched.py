"""Which transfers a new file is news for: those that take files from a folder that it is in, or from one above that."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from mftgit.model.names import TransferName


class WatchedFolders:
    """Folders by their path, so that one of thousands is found by the path of a file alone."""

    def __init__(self, folders: Iterable[tuple[TransferName, PurePosixPath, float]]) -> None:
        """Take transfers, each with its absolute folder and how many folders deep it takes files."""
        by_folder: defaultdict[PurePosixPath, list[tuple[TransferName, float]]] = defaultdict(list)
        for key, folder, depth in folders:
            by_folder[folder].append((key, depth))
        self._by_folder: Mapping[PurePosixPath, list[tuple[TransferName, float]]] = dict(by_folder)

    def __bool__(self) -> bool:
        """Tell whether there is any."""
        return bool(self._by_folder)

    def of(self, file: PurePosixPath) -> frozenset[TransferName]:
        """Return the transfers that ``file``, an absolute path without ``..``, is news for."""
        return frozenset(
            key
            for below, folder in enumerate(file.parents)
            for key, depth in self._by_folder.get(folder, ())
            if below <= depth
        )
