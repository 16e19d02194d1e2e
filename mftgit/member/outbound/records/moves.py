"""Words of operators that a transfer is to go to another member.

So it can be said on any member. The owner takes the word away and hands the transfer over; where it dies in between,
the word is lost, and who waits for it says so.
"""

from pathlib import Path
from typing import Final

from loguru import logger

from mftgit.member.outbound.records.words import Words
from mftgit.model.names import TransferName
from mftgit.model.transfers.move import Move, format_move, parse_move

_FOLDER: Final = "moves"


class Moves:
    """The words below ``shared``, `.mftgit` of the files root. Every method raises StateUnavailableError."""

    def __init__(self, shared: Path) -> None:
        cannot = "the word that a transfer is to move cannot be read or left"
        self._words = Words(shared / _FOLDER, cannot=cannot)

    def all(self) -> dict[TransferName, Move]:
        """Return every word; one that is damaged is taken away."""
        found = {name: self.read(name) for name in self._words.names()}
        return {name: move for name, move in found.items() if move is not None}

    def read(self, name: TransferName) -> Move | None:
        """Return the word about a transfer, None where there is none any more."""
        content = self._words.read(name)
        if content is None:
            return None
        try:
            return parse_move(content)
        except ValueError as error:
            logger.warning("a word about an owner is damaged", transfer=name, error=str(error))
            self.take(name)
            return None

    def leave(self, name: TransferName, move: Move) -> None:
        """Leave a word for the owner, in place of one that it has not taken yet."""
        self._words.write(name, format_move(move))

    def take(self, name: TransferName) -> bool:
        """Take the word away; tell whether it was there, and nobody else took it."""
        return self._words.remove(name)
