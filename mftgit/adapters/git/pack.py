"""Look over a git pack before anything expensive is done with it: how many objects, how large when inflated.

A few kilobytes of pack can inflate to gigabytes, by zlib (1000:1) or by deltas (64 KiB copied by 7 bytes), and
dulwich trusts the sizes that the objects declare. The format is that of git's ``gitformat-pack``.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from mftgit.errors import MftgitError
from mftgit.model.revisions.limits import Limits, beyond

_READ_BYTES = 1 << 13  # small: what is left of it is copied once for each object
_INFLATE_BYTES = 1 << 16
_OFS_DELTA, _REF_DELTA = 6, 7
_PLAIN = (1, 2, 3, 4)
_DELTA_HEAD_BYTES = 20  # two sizes of at most ten bytes each


class PackError(MftgitError):
    """The pack is broken, or larger than what is taken in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """How many objects a pack holds, and at which offsets deltas stand, each with the offset or the id of its base."""

    objects: int
    bases: Mapping[int, int | bytes]


def check_pack(stream: BinaryIO, limits: Limits) -> Outline:
    """Read a pack to its end and return what it declares; memory stays within one chunk, and a place for each delta.

    Raises:
        PackError: a limit is passed, or the pack is malformed. The checksum is not looked at.
    """
    cursor = _Cursor(stream)
    if cursor.take(4) != b"PACK":
        raise PackError("found no pack where one was expected")
    cursor.take(4)
    count = int.from_bytes(cursor.take(4))
    if count > limits.max_objects:
        raise PackError(beyond("max_objects", limits, count))
    inflated = 0
    bases: dict[int, int | bytes] = {}
    for _ in range(count):
        inflated += _object(cursor, limits, bases)
        if inflated > limits.max_inflated_bytes:
            raise PackError(beyond("max_inflated_bytes", limits, inflated, at_least=True))
    return Outline(objects=count, bases=bases)


def longest_chain(bases: Mapping[int, int | bytes], offset_of: Callable[[bytes], int]) -> int:
    """Return how many deltas have to be applied at most to get an object; ``offset_of`` finds a base by its id.

    Raises:
        PackError: there is no end to it.
    """
    depths: dict[int, int] = {}
    for start in bases:
        chain, at = [], start
        while at in bases and at not in depths:
            chain.append(at)
            if len(chain) > len(bases):
                raise PackError("deltas of the pack go round in a circle")
            base = bases[at]
            at = base if isinstance(base, int) else offset_of(base)
        before = depths.get(at, 0)
        depths |= {each: before + n for n, each in enumerate(reversed(chain), 1)}
    return max(depths.values(), default=0)


def _object(cursor: "_Cursor", limits: Limits, bases: dict[int, int | bytes]) -> int:
    """Pass over one object; return its size, for a delta the size of what it makes, and put its base into ``bases``."""
    at = cursor.offset()
    kind, size_bytes = _header(cursor)
    if kind == _OFS_DELTA:
        bases[at] = at - cursor.distance()
    elif kind == _REF_DELTA:
        bases[at] = cursor.take(20)
    elif kind not in _PLAIN:
        raise PackError(f"the pack holds an object of the unknown kind {kind}")
    _at_most(size_bytes, limits)
    head = cursor.inflate(size_bytes)
    if kind in _PLAIN:
        return size_bytes
    made = _delta_target(head)
    _at_most(made, limits)
    return made


def _header(cursor: "_Cursor") -> tuple[int, int]:
    """Return kind and size: three bits of kind, then the size, four bits first and seven at a time."""
    byte = cursor.byte()
    kind, size = (byte >> 4) & 7, byte & 15
    if byte & 0x80:
        size |= cursor.varint() << 4
    return kind, size


def _at_most(size_bytes: int, limits: Limits) -> None:
    if size_bytes > limits.max_object_bytes:
        raise PackError(beyond("max_object_bytes", limits, size_bytes))


def _delta_target(head: bytes) -> int:
    """Return the second of the two sizes that a delta starts with."""
    sizes, shift, size = [], 0, 0
    for byte in head:
        size |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            sizes.append(size)
            shift, size = 0, 0
    if len(sizes) < 2:  # noqa: PLR2004  source and target
        raise PackError("the pack holds a delta without its sizes")
    return sizes[1]


class _Cursor:
    """A place in a stream that can be read by byte, by count, and by zlib stream."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._ahead = b""
        self._at = 0
        self._read = 0

    def offset(self) -> int:
        """Return how far from the start of the stream this is."""
        return self._read - len(self._ahead) + self._at

    def byte(self) -> int:
        return self.take(1)[0]

    def take(self, count: int) -> bytes:
        while len(self._ahead) - self._at < count:
            self._ahead = self._ahead[self._at :] + self._more()
            self._at = 0
        self._at += count
        return self._ahead[self._at - count : self._at]

    def varint(self) -> int:
        """Read seven bits at a time, lowest first."""
        value, shift = 0, 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value
            if shift > 63:  # noqa: PLR2004  no size of ours needs more than 64 bits
                raise PackError("the pack holds a number that does not end")

    def distance(self) -> int:
        """Read how far back a base stands: seven bits at a time, highest first, one added for each that follows."""
        byte = self.byte()
        value = byte & 0x7F
        while byte & 0x80:
            byte = self.byte()
            value = ((value + 1) << 7) | (byte & 0x7F)
            if value >> 64:
                raise PackError("the pack holds a number that does not end")
        return value

    def inflate(self, size_bytes: int) -> bytes:
        """Pass over a zlib stream of exactly ``size_bytes`` inflated; return its first bytes."""
        engine, made, head = zlib.decompressobj(), 0, b""
        given = self._ahead[self._at :]
        while not engine.eof:
            try:
                part = engine.decompress(given or self._more(), _INFLATE_BYTES)
            except zlib.error as error:
                raise PackError(
                    f"the pack holds an object that does not inflate: {error}"
                ) from None
            made += len(part)
            if made > size_bytes:
                break
            head = head if len(head) == _DELTA_HEAD_BYTES else (head + part)[:_DELTA_HEAD_BYTES]
            given = engine.unconsumed_tail
        if made != size_bytes:
            raise PackError("the pack holds an object whose declared size is wrong")
        self._ahead, self._at = engine.unused_data, 0
        return head

    def _more(self) -> bytes:
        chunk = self._stream.read(_READ_BYTES)
        if not chunk:
            raise PackError("the pack ends too early")
        self._read += len(chunk)
        return chunk
