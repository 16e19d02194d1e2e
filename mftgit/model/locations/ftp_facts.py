"""What an FTP server tells of files in answers for machines (MLST and MLSD of RFC 3659, 7)."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, unique
from typing import Final

MOST_BYTES: Final = 1 << 63
"""No file has as many; a size beyond it is made up."""

_TIME: Final = re.compile(r"(\d{14})(?:\.(\d{1,9})\d*)?", re.ASCII)  # RFC 3659, 2.3
_SIZE: Final = re.compile(r"\d{1,19}", re.ASCII)
_MODE: Final = re.compile(r"0*([0-7]{1,5})", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@unique
class Sort(Enum):
    """What a name stands for. OTHER: a link, a device, or what the server has no word for."""

    FILE = "file"
    FOLDER = "dir"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is told of one name; None is what is not told. ``mtime_ns`` is nanoseconds since 1970."""

    sort: Sort
    size_bytes: int | None = None
    mtime_ns: int | None = None
    mode: int | None = None


def parse_entry(line: str) -> tuple[str, Facts] | None:
    """Return name and facts in a line of MLSD or MLST; None for a folder that names itself or the one above.

    Raises:
        ValueError: it is none, or its name can be that of nothing in a folder.
    """
    told, space, name = line.partition(" ")
    if not space or not name or "\0" in name:
        raise ValueError(f"no facts and no name in {line[:200]!r}")
    facts = dict(_fact(each) for each in told.split(";") if each)
    sort = facts.get("type", "").lower()
    if sort in {"cdir", "pdir"} or name in {".", ".."}:
        return None
    return name, _read(facts, sort)


def format_time(mtime_ns: int) -> str:
    """Return a time as MFMT takes it (RFC 3659, 2.3): whole seconds in UTC.

    Raises:
        OverflowError: it is in no year from 1 to 9999.
    """
    return f"{_EPOCH + timedelta(seconds=mtime_ns // 10**9):%Y%m%d%H%M%S}".zfill(14)


def _fact(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"no fact in {text[:200]!r}")
    return key.lower(), value


def _read(facts: dict[str, str], sort: str) -> Facts:
    return Facts(
        sort=Sort(sort) if sort in {"file", "dir"} else Sort.OTHER,
        size_bytes=_size(facts.get("size")),
        mtime_ns=_time(facts.get("modify")),
        mode=_mode(facts.get("unix.mode")),
    )


def _size(value: str | None) -> int | None:
    if value is None:
        return None
    if _SIZE.fullmatch(value) is None or int(value) >= MOST_BYTES:
        raise ValueError(f"no size: {value[:200]!r}")
    return int(value)


def _time(value: str | None) -> int | None:
    if value is None:
        return None
    found = _TIME.fullmatch(value)
    if found is None:
        raise ValueError(f"no time: {value[:200]!r}")
    if int(found[1]) == 0:  # in no calendar; so servers say that they do not know
        return 0
    whole = datetime.strptime(found[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    since = whole - _EPOCH
    return (since.days * 86_400 + since.seconds) * 10**9 + int((found[2] or "0").ljust(9, "0"))


def _mode(value: str | None) -> int | None:
    found = None if value is None else _MODE.fullmatch(value)
    return None if found is None else int(found[1], 8) & 0o777
