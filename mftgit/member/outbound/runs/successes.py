"""How many files each transfer had delivered when a run of it last succeeded: what `AfterTrigger` goes by.

On the members' storage, so that it is seen whoever owns either transfer: ``.mftgit/succeeded/TRANSFER/KEY`` for each
key that the transfer is owned under. The number is the ledger's, which only rises, so that a success whose owner died
before it was written down is written down by the next run; a late predecessor can only write a lower number, which
counts for nothing. Who follows keeps the number that its last run was for in ``.mftgit/transfers/KEY/after.json``.
"""

import json
from pathlib import Path

from mftgit.adapters.durable import write_file
from mftgit.member.outbound.records.intents import StateUnavailableError
from mftgit.model.names import TransferName


class Successes:
    """The numbers below ``folder``, which is made when missing; for any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def tell(self, transfer: TransferName, key: TransferName, delivered: int) -> None:
        """Write down that a run succeeded after so many deliveries in all; a number that is not higher changes nothing.

        Raises:
            StateUnavailableError: the storage does not take it; the next run tries again.
        """
        path = self._folder / transfer / key
        try:
            if delivered > _read(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_file(path, str(delivered).encode())
        except OSError as error:
            raise _unavailable(error) from error

    def count(self, transfer: TransferName) -> int:
        """Return how many files ``transfer`` had delivered at its last successes, by whichever member.

        Raises:
            StateUnavailableError: the storage does not answer.
        """
        folder = self._folder / transfer
        try:
            if not folder.is_dir():
                return 0
            return sum(_read(path) for path in folder.iterdir() if path.name[0] != ".")
        except OSError as error:
            raise _unavailable(error) from error


class Followed:
    """For which success of another transfer the last run of the one with the folder ``state`` was."""

    def __init__(self, state: Path, successes: Successes) -> None:
        self._path = state / "after.json"
        self._successes = successes

    def news(self, other: TransferName) -> int | None:
        """Return the number of a success of ``other`` that no run was for yet, None where there is none.

        Those that were there before it was asked for the first time do not count.

        Raises:
            StateUnavailableError: the storage does not answer.
        """
        now = self._successes.count(other)
        before = self._before(other)
        if before is None:
            self.note(other, now)
            return None
        return now if now > before else None

    def note(self, other: TransferName, number: int) -> None:
        """Write down that a run was for the success ``number`` of ``other``.

        Raises:
            StateUnavailableError: the storage does not take it.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_file(self._path, json.dumps({"transfer": other, "number": number}).encode())
        except OSError as error:
            raise _unavailable(error) from error

    def _before(self, other: TransferName) -> int | None:
        try:
            told = json.loads(self._path.read_bytes())
            return int(told["number"]) if told["transfer"] == other else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None  # never asked, or of another transfer, or not whole
        except OSError as error:
            raise _unavailable(error) from error


def _read(path: Path) -> int:
    """Return the number in ``path``; 0 where there is none, or no number."""
    try:
        return int(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return 0


def _unavailable(error: OSError) -> StateUnavailableError:
    return StateUnavailableError(
        f"the storage that the members share does not answer: {error}; see that it is mounted and has room"
    )
