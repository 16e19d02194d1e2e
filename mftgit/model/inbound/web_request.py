"""What a request of HTTP asks for: its path, the part of a file, and the place of a part that is sent (RFC 9110)."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

MAX_TARGET_BYTES: Final = 3 * 4096
"""A path of 4,096 bytes, each of them written as ``%2F``."""

_DIGITS: Final = r"(\d{1,18})"
_RANGE: Final = re.compile(rf"bytes=(?:{_DIGITS}-{_DIGITS}?|-{_DIGITS})")
_CONTENT_RANGE: Final = re.compile(rf"bytes (?:{_DIGITS}-{_DIGITS}|\*)/{_DIGITS}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Bytes of a file, from ``first`` on, ``length`` of them."""

    first: int
    length: int

    def content_range(self, size_bytes: int) -> str:
        """Return the value of ``Content-Range`` for a file of ``size_bytes``."""
        return f"bytes {self.first}-{self.first + self.length - 1}/{size_bytes}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of an upload that has ``total`` bytes; without a ``span``, it is asked how much of it is there."""

    total: int
    span: Span | None = None

    @property
    def is_last(self) -> bool:
        """Tell whether nothing comes after it."""
        return self.span is not None and self.span.first + self.span.length == self.total


class NoSuchSpanError(ValueError):
    """A file has none of the bytes that are asked for (RFC 9110, 15.5.17)."""


def read_path(target: str) -> str:
    """Return the path of a request target, ``%`` resolved, as text with ``surrogateescape``.

    Raises:
        ValueError: it is no path, or too long.
    """
    if not target.startswith("/") or len(target) > MAX_TARGET_BYTES:
        raise ValueError("the target of the request is not a path, or too long")
    path = unquote_to_bytes(target.partition("?")[0].partition("#")[0])
    return path.decode("utf-8", "surrogateescape")


def read_range(value: str, size_bytes: int) -> Span | None:
    """Return the bytes of a file of ``size_bytes`` that ``Range`` asks for; None: all, as where it is not understood.

    One range is served; of several, all of the file is, which RFC 9110, 14.2 allows.

    Raises:
        NoSuchSpanError: the file has none of them.
    """
    found = _RANGE.fullmatch(value.strip())
    if found is None:
        return None
    first, last, tail = (None if each is None else int(each) for each in found.groups())
    if tail is not None:
        first, last = max(0, size_bytes - tail), size_bytes - 1
        if tail == 0:
            raise NoSuchSpanError
    if first is None or (last is not None and last < first and tail is None):
        return None
    if first >= size_bytes:
        raise NoSuchSpanError
    end = size_bytes if last is None else min(last + 1, size_bytes)
    return Span(first=first, length=end - first)


def read_content_range(value: str) -> Piece:
    """Return which part of an upload a request carries.

    Raises:
        ValueError: ``value`` does not say so.
    """
    found = _CONTENT_RANGE.fullmatch(value.strip())
    if found is None:
        raise ValueError(
            "Content-Range is not of the form: bytes FIRST-LAST/TOTAL, or bytes */TOTAL"
        )
    first, last, total = found.groups()
    if first is None:
        return Piece(total=int(total))
    span = Span(first=int(first), length=int(last) - int(first) + 1)
    if span.length < 1 or int(last) >= int(total):
        raise ValueError("Content-Range ends before it begins, or behind the end of the file")
    return Piece(total=int(total), span=span)


def tag_of(size_bytes: int, mtime_s: int) -> str:
    """Return the entity tag of a file (RFC 9110, 8.8.3)."""
    return f'"{size_bytes:x}-{mtime_s:x}"'
