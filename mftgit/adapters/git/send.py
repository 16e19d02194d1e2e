"""Write packs for others out of the packs that are stored: what lies there compressed is copied as it is.

dulwich 1.2.21 inflates every object that it sends, and every other of the same packs on the way, and deflates it again.
"""

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from dulwich.object_store import PackBasedObjectStore
from dulwich.objects import ObjectID, RawObjectID, hex_to_sha, sha_to_hex
from dulwich.pack import OFS_DELTA, REF_DELTA, Pack, PackFileDisappeared, pack_object_header

from mftgit.adapters.git.objects import BrokenHistoryError

_COPY_FROM = 200
"""From so many objects on, listing what each stored pack holds costs less than deflating whole objects."""

_MAX_DEPTH = 250
_CHUNK_BYTES = 60_000
_SUM_BYTES = 20
_MORE, _BITS = 0x80, 0x7F


def write_pack(
    write: Callable[[bytes], object],
    store: PackBasedObjectStore,
    oids: Sequence[ObjectID],
    *,
    ofs_delta: bool,
) -> None:
    """Write a pack of ``oids``; ``ofs_delta`` tells whether the reader knows deltas by offset.

    Raises:
        KeyError: an object is not there.
        BrokenHistoryError: a stored pack is damaged.
    """
    out = _Out(write, store, ofs_delta=ofs_delta)
    out.add(b"PACK" + (2).to_bytes(4) + len(oids).to_bytes(4))
    left = dict.fromkeys(hex_to_sha(oid) for oid in oids)
    if len(left) >= _COPY_FROM:
        for pack in store.packs:
            with suppress(
                PackFileDisappeared
            ):  # replaced by another, where the store finds the rest
                _copy(pack, left, out)
    for oid in left:
        out.whole(oid)
    out.end()


class _Out:
    """The pack as it grows."""

    def __init__(
        self, write: Callable[[bytes], object], store: PackBasedObjectStore, *, ofs_delta: bool
    ) -> None:
        self._write = write
        self._store = store
        self._ofs_delta = ofs_delta
        self._sum = hashlib.sha1(usedforsecurity=False)
        self._pending = bytearray()
        self._size_bytes = 0
        self._written: dict[bytes, int] = {}
        self._depths: dict[bytes, int] = {}

    def add(self, content: bytes | bytearray) -> None:
        """Append bytes."""
        self._pending += content
        self._size_bytes += len(content)
        if len(self._pending) >= _CHUNK_BYTES:
            self._flush()

    def end(self) -> None:
        """Append the checksum, and write what is left."""
        self._flush()
        self._write(self._sum.digest())

    def bears(self, oid: bytes) -> bool:
        """Tell whether an object was written before, and the chain that ends with it may become longer."""
        return oid in self._written and self._depths.get(oid, 0) < _MAX_DEPTH

    def whole(self, oid: RawObjectID) -> None:
        """Append an object that is not a delta."""
        kind, content = self._read(oid)
        self.compressed(oid, kind, len(content), zlib.compress(content))

    def compressed(
        self, oid: bytes, kind: int, size: int, content: bytes, base: bytes | None = None
    ) -> None:
        """Append an object that is compressed already, as a delta to ``base``, which was written before."""
        at = self._size_bytes
        delta_base: bytes | int | None = base
        if base is not None:
            self._depths[oid] = self._depths.get(base, 0) + 1
            kind = OFS_DELTA if self._ofs_delta else REF_DELTA
            delta_base = at - self._written[base] if self._ofs_delta else base
        self._written[oid] = at
        self.add(pack_object_header(kind, delta_base, size, self._store.object_format))
        self.add(content)

    def _read(self, oid: RawObjectID) -> tuple[int, bytes]:
        with suppress(zlib.error):
            return self._store.get_raw(oid)
        raise BrokenHistoryError(
            f"{sha_to_hex(oid).decode()}, or what it is a delta to, is damaged"
        )

    def _flush(self) -> None:
        self._sum.update(self._pending)
        self._write(bytes(self._pending))
        self._pending.clear()


def _copy(pack: Pack, left: dict[RawObjectID, None], out: _Out) -> None:
    """Append what ``pack`` has of ``left``, and take it out of there.

    In the order of the pack, so that a delta comes after its base, as it does there. A delta whose base was not sent
    before is sent whole: so deltas out of several packs never go round in a circle.
    """
    places = sorted((offset, oid, crc) for oid, offset, crc in pack.index.iterentries())
    if not any(oid in left for _, oid, _ in places):
        return
    stored = pack.data._buffer()  # noqa: SLF001  the open file, which outlives its name
    names = {offset: oid for offset, oid, _ in places}
    ends = [offset for offset, _, _ in places[1:]] + [len(stored) - _SUM_BYTES]
    for (offset, oid, crc), end in zip(places, ends, strict=True):
        name = RawObjectID(oid)
        if name not in left:
            continue
        entry = stored[offset:end]
        if crc is not None and zlib.crc32(entry) != crc:
            raise BrokenHistoryError(f"{sha_to_hex(name).decode()} is damaged in {pack.data.path}")
        kind, size, at = _head(entry)
        if kind not in {OFS_DELTA, REF_DELTA}:
            out.compressed(name, kind, size, entry[at:])
        else:
            base, at = _base(entry, at, kind, offset, names)
            if out.bears(base):
                out.compressed(name, kind, size, entry[at:], base)
            else:
                out.whole(name)
        del left[name]


def _head(entry: bytes) -> tuple[int, int, int]:
    """Return the kind and the inflated size of a stored object, and where its head ends (gitformat-pack)."""
    byte = entry[0]
    kind, size, shift, at = byte >> 4 & 7, byte & 15, 4, 1
    while byte & _MORE:
        byte = entry[at]
        size |= (byte & _BITS) << shift
        shift, at = shift + 7, at + 1
    return kind, size, at


def _base(
    entry: bytes, at: int, kind: int, offset: int, names: Mapping[int, bytes]
) -> tuple[bytes, int]:
    """Return the name of a delta's base, and where the delta begins."""
    if kind == REF_DELTA:
        return entry[at : at + _SUM_BYTES], at + _SUM_BYTES
    byte = entry[at]
    back, at = byte & _BITS, at + 1
    while byte & _MORE:
        byte = entry[at]
        back, at = (back + 1) << 7 | byte & _BITS, at + 1
    return names[offset - back], at
