"""Keep the durable record of what this member runs."""

from pathlib import Path

from mftgit.adapters.durable import write_file
from mftgit.errors import MftgitError
from mftgit.model.activation import Record, format_record, parse_record


class RecordDamagedError(MftgitError):
    """The record of activation cannot be read."""


def read_record(path: Path) -> Record:
    """Return the record, a fresh one when there is none yet.

    Raises:
        RecordDamagedError: it is there and is not whole; it is never written in place, so the disk is to blame.
    """
    try:
        return parse_record(path.read_bytes())
    except FileNotFoundError:
        return Record()
    except (OSError, ValueError) as error:
        raise RecordDamagedError(
            f"{path}: {error}: remove it, and the member takes in the published revision anew"
        ) from error


def write_record(path: Path, record: Record) -> None:
    """Make ``record`` the one that a restart finds; a crash leaves the old one or this one.

    Raises:
        MftgitError: it could not be written; nothing has changed.
    """
    try:
        write_file(path, format_record(record))
    except OSError as error:
        raise MftgitError(f"{path}: cannot be written: {error.strerror}") from error
