"""Read ledgers from their ends, so that the newest deliveries come first and nothing is held that is not asked for."""

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from itertools import count
from pathlib import Path
from typing import BinaryIO, Final

from mftgit.member.outbound.records.intents import StateUnavailableError
from mftgit.member.outbound.records.ledger import epoch_files
from mftgit.model.names import TransferName
from mftgit.model.transfers.history import Asked
from mftgit.model.transfers.ledger_line import Line, parse_line

_FIRST_BYTES: Final = 4 << 10
_BLOCK_BYTES: Final = 64 << 10
_TOLD_EVERY: Final = 1000


def ledgers(transfers: Path, name: TransferName | None = None) -> list[Path]:
    """Return the folders of the ledgers below ``transfers``, or of the transfer ``name``, by whomever it is owned.

    Raises:
        StateUnavailableError: the members' storage does not answer.
    """
    try:
        if not transfers.is_dir():
            return []
        return [
            path / "ledger"
            for path in sorted(transfers.iterdir())
            if name is None or path.name.partition(".")[0] == name
        ]
    except OSError as error:
        raise _unavailable(transfers, error) from error


def newest_first(
    folders: Iterable[Path], asked: Asked, *, passed: Callable[[int], None] = lambda _count: None
) -> Iterator[Line]:
    """Give the lines of the ledgers in ``folders`` that are asked for, by the time at which they ended.

    ``passed`` is told how many were looked at, now and then. A file is read as it was when it was
    opened, also where old lines are dropped from it meanwhile.

    Raises:
        StateUnavailableError: the members' storage does not answer.
    """
    looked_at = count(1)

    def look() -> None:
        if (number := next(looked_at)) % _TOLD_EVERY == 0:
            passed(number)

    each = [_of_ledger(folder, asked, look) for folder in folders]
    yield from merge(*each, key=lambda line: line.ended_at, reverse=True)


def _of_ledger(folder: Path, asked: Asked, look: Callable[[], None]) -> Iterator[Line]:
    try:
        for _, path in reversed(epoch_files(folder)):
            with path.open("rb") as stream:
                for content in _backwards(stream):
                    look()
                    line = parse_line(content)
                    if line is None:
                        continue
                    if asked.is_over_at(line):
                        return
                    if asked.wants(line):
                        yield line
    except OSError as error:
        raise _unavailable(folder, error) from error


def _backwards(stream: BinaryIO) -> Iterator[bytes]:
    """Give the lines of ``stream``, the last one first; what follows the last end of a line is torn."""
    end, block_bytes = stream.seek(0, os.SEEK_END), _FIRST_BYTES
    begun: list[bytes] = []  # of the line whose beginning is not read yet, the last piece first
    while end:
        start = max(0, end - block_bytes)
        stream.seek(start)
        first, *lines = stream.read(end - start).split(b"\n")
        if lines:
            begun.append(lines.pop())
            yield b"".join(reversed(begun))
            yield from reversed(lines)
            begun = []
        begun.append(first)
        end, block_bytes = start, _BLOCK_BYTES
    yield b"".join(reversed(begun))


def _unavailable(place: Path, error: OSError) -> StateUnavailableError:
    way_out = "see that the members' storage is mounted here, and that this user may read it"
    if error.errno == errno.EMFILE:
        way_out = "there are more transfers than files may be open (`ulimit -n`): name one of them"
    return StateUnavailableError(f"{place} cannot be read: {error.strerror or error}: {way_out}")
