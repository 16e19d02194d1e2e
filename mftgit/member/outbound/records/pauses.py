"""Pauses of transfers: words of operators on the storage that the members share, so that no other owner runs it either.

A word counts by being there, whatever is in it. Where it cannot be told whether it is, nothing begins.
"""

from pathlib import Path
from typing import Final

from mftgit.member.outbound.records.words import Words
from mftgit.model.names import TransferName
from mftgit.model.transfers.pause import Pause, format_pause, parse_pause

_FOLDER: Final = "paused"


class Pauses:
    """The pauses below ``shared``, `.mftgit` of the files root. Every method raises StateUnavailableError."""

    def __init__(self, shared: Path) -> None:
        cannot = "whether the transfer is paused cannot be told or changed"
        self._words = Words(shared / _FOLDER, cannot=cannot)

    def read(self, name: TransferName) -> Pause | None:
        """Return the pause of a transfer, None where it may run."""
        content = self._words.read(name)
        return None if content is None else parse_pause(content)

    def all(self) -> dict[TransferName, Pause]:
        """Return every pause."""
        found = {name: self.read(name) for name in self._words.names()}
        return {name: pause for name, pause in found.items() if pause is not None}

    def begin(self, name: TransferName, pause: Pause) -> None:
        """Pause a transfer, and make that last."""
        self._words.write(name, format_pause(pause))

    def end(self, name: TransferName) -> None:
        """Let a transfer go on, also over a crash; one that is not paused is fine."""
        self._words.remove(name)
