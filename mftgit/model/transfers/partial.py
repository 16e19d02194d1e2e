"""What of a large file has arrived already under a temporary name, and how that is known again."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final, Self

from mftgit.model.transfers.claim import ClaimId
from mftgit.model.transfers.failures import Mark

LEAST_BYTES: Final = 8 << 20
"""A smaller file is sent anew: twice what may be on the way unanswered, so that little of it could be gone on with."""

UNSURE_BYTES: Final = 4 << 20
"""So much of what was sent last may not have arrived, or with holes: one SFTP session has at most 4 MiB unanswered.

An upload over several sessions has more, up to 32 MiB; a hole further back is found when what has arrived is read back,
and the file goes on before it.
"""

SAVE_S: Final = 5.0
"""How often it is written down how far a file is; an owner that is killed loses so many seconds of its sending."""

KEPT: Final = timedelta(days=7)
"""What nobody has gone on with for so long is sent anew: partners clear their disks of what looks forgotten."""

_STEP_BYTES: Final = 1 << 20
_MOST_SEGMENTS: Final = 1024


def _opaque(tag: str | None) -> str:
    return (tag or "").removeprefix("W/")


def segment_bytes(size_bytes: int) -> int:
    """Return after how many bytes of a file of ``size_bytes`` its digest is taken note of: 1 MiB, or more for 1 GiB up.

    There are at most 1,024 of them, so that a record has at most about 70 kB.
    """
    return max(1, -(-size_bytes // (_STEP_BYTES * _MOST_SEGMENTS))) * _STEP_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """The file ``temporary`` at a destination, which holds the beginning of a source file.

    ``digests`` are SHA-256 of all that came before the end of each segment of ``segment_bytes``, as it was read from a
    source that had ``mark``. The first ``proven`` segments were read back there since, and were the same.
    ``saved_at`` is the time of day when it was written down. ``tag`` is the mark that the source's server had for it.
    """

    id: ClaimId
    temporary: str
    mark: Mark
    segment_bytes: int
    digests: tuple[str, ...]
    proven: int
    saved_at: str
    tag: str | None = None

    def fits(self, mark: Mark, now: datetime, *, tag: str | None = None) -> bool:
        """Tell whether it is of a file of ``mark``, and of ``tag`` where both are known, and young enough.

        Weak tags are taken for the same as strong ones (RFC 9110, 8.8.3.2): Apache's are weak while a file is younger
        than a second.
        """
        try:
            age = now - datetime.fromisoformat(self.saved_at)
        except (ValueError, TypeError):
            return False
        same = self.mark == mark and (None in {self.tag, tag} or _opaque(self.tag) == _opaque(tag))
        return same and abs(age) < KEPT

    def segments_in(self, size_bytes: int) -> int:
        """Return how many of its segments are in the first ``size_bytes``."""
        return min(len(self.digests), size_bytes // self.segment_bytes)


def sure_segments(written_bytes: int, each_bytes: int) -> int:
    """Return how many segments have arrived for sure, once ``written_bytes`` were given to the destination.

    They are no more than a record holds: what is unpacked may be longer than its source.
    """
    return min(max(0, written_bytes - UNSURE_BYTES) // each_bytes, _MOST_SEGMENTS)


def format_partial(partial: Partial) -> bytes:
    """Return ``partial`` as JSON."""
    return json.dumps({name: getattr(partial, name) for name in partial.__slots__}).encode()


def parse_partial(content: bytes) -> Partial:
    """Return what `format_partial` gave ``content`` for; what a newer version has put in besides is passed over.

    Raises:
        ValueError: it did not.
    """
    try:
        return _parse(json.loads(content))
    except (KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"not a record of what has arrived: {error}") from error


def _parse(told: dict[str, Any]) -> Partial:
    size_bytes, mtime_ns = told["mark"]
    partial = Partial(
        id=ClaimId(str(told["id"])),
        temporary=str(told["temporary"]),
        mark=(int(size_bytes), int(mtime_ns)),
        segment_bytes=int(told["segment_bytes"]),
        digests=tuple(map(str, told["digests"])),
        proven=int(told["proven"]),
        saved_at=str(told["saved_at"]),
        tag=None if told.get("tag") is None else str(told["tag"]),
    )
    if partial.segment_bytes != segment_bytes(partial.mark[0]):
        raise ValueError(f"segments of {partial.segment_bytes} bytes")
    if not 0 <= partial.proven <= len(partial.digests) <= _MOST_SEGMENTS:
        raise ValueError(f"{partial.proven} of {len(partial.digests)} segments are proven")
    return partial


class Reading:
    """The digest of the bytes of a file, in their order, and what it was at the end of each segment."""

    def __init__(self, each_bytes: int = _STEP_BYTES) -> None:
        """Begin with the file's first byte; segments have ``each_bytes``."""
        self._digest = hashlib.sha256()
        self._each_bytes = each_bytes
        self.size_bytes = 0
        self.digests: list[str] = []

    @property
    def sha256(self) -> str:
        """The digest of all that was taken, in hexadecimal."""
        return self._digest.hexdigest()

    def take(self, data: bytes) -> None:
        """Go on with ``data``."""
        each, whole = self._each_bytes, memoryview(data)
        first = each - self.size_bytes % each
        cuts = [0, *range(first, len(whole), each), len(whole)]
        for begin, end in pairwise(cuts):
            self._digest.update(whole[begin:end])
            self.size_bytes += end - begin
            if end > begin and self.size_bytes % each == 0:
                self.digests.append(self.sha256)

    def of(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Give ``chunks`` as they are, and go on with them."""
        for chunk in chunks:
            self.take(chunk)
            yield chunk

    def copy(self) -> Self:
        """Return another one that has come as far."""
        other = type(self)(self._each_bytes)
        other._digest = self._digest.copy()  # noqa: SLF001  of its own kind
        other.size_bytes, other.digests = self.size_bytes, list(self.digests)
        return other
