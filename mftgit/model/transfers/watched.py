"""Which transfers a new file is news for: those that take files from a folder that it is in, or from one above that."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from mftgit.model.names import TransferName


class WatchedFolders:
    """Folders by their path, so that one of thousands is found by the path of what is in it alone."""

    def __init__(self, folders: Iterable[tuple[TransferName, str, float]]) -> None:
        """Take transfers, each with its absolute folder and how many folders deep it takes files."""
        by_folder: defaultdict[str, list[tuple[TransferName, float]]] = defaultdict(list)
        for key, folder, depth in folders:
            by_folder[folder].append((key, depth))
        self._by_folder: Mapping[str, list[tuple[TransferName, float]]] = dict(by_folder)

    def __bool__(self) -> bool:
        """Tell whether there is any."""
        return bool(self._by_folder)

    def of(self, folder: str) -> frozenset[TransferName]:
        """Return the transfers that a file in ``folder``, a normal absolute path, is news for."""
        return frozenset(
            key
            for below, each in enumerate(_and_above(folder))
            for key, depth in self._by_folder.get(each, ())
            if below <= depth
        )


def _and_above(folder: str) -> Iterator[str]:
    while folder != "/":
        yield folder
        folder = folder.rpartition("/")[0] or "/"
    yield folder
