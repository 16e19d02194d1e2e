"""What a member keeps of its own beside the store: its record, and the orders of its operator."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mftgit.adapters.durable import write_file
from mftgit.errors import MftgitError
from mftgit.model.members.orders import Orders, format_orders, parse_orders
from mftgit.model.members.record import Record, format_record, parse_record

_T = TypeVar("_T")


class DamagedError(MftgitError):
    """A file that is only ever written whole is not whole, so the disk is to blame; the message has the way out."""


def read_record(path: Path) -> Record:
    """Return the record, a fresh one when there is none yet; raises DamagedError."""
    way_out = (
        "restore it from a backup; or remove it, and the member takes in the published revision as a newcomer does: "
        "it forgets what it confirmed, so that it takes any history and has nothing to go back to"
    )
    return _read(path, parse_record, Record(), way_out)


def write_record(path: Path, record: Record) -> None:
    """Make ``record`` the one that a restart finds; a crash leaves the old one or this one.

    Raises:
        MftgitError: it could not be written; nothing has changed.
    """
    _write(path, format_record(record))


def read_orders(path: Path) -> Orders:
    """Return the orders, none when there are none yet; raises DamagedError."""
    way_out = "remove it, and give the orders again that are to hold (suspend, pin, drain)"
    return _read(path, parse_orders, Orders(), way_out)


def write_orders(path: Path, orders: Orders) -> None:
    """Make ``orders`` those that hold; raises MftgitError where that fails, and nothing has changed."""
    _write(path, format_orders(orders))


def _read(path: Path, parse: Callable[[bytes], _T], fresh: _T, way_out: str) -> _T:
    try:
        return parse(path.read_bytes())
    except FileNotFoundError:
        return fresh
    except (OSError, ValueError) as error:
        raise DamagedError(f"{path}: {error}: {way_out}") from error


def _write(path: Path, content: bytes) -> None:
    try:
        write_file(path, content)
    except OSError as error:
        raise MftgitError(f"{path}: cannot be written: {error.strerror}") from error
