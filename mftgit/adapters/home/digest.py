"""The SHA-256 of a file that is being written, taken while its bytes pass where they come in order."""

import hashlib
import os
from typing import Final

from mftgit.adapters.home.contract import HomeError, Refusal
from mftgit.model.inbound.written import Written

_CHUNK_BYTES: Final = 1024 * 1024
_STEP_BYTES: Final = 8 * _CHUNK_BYTES


class WrittenDigest:
    """What was written to the file that ``descriptor`` has open, which had ``size_bytes`` before."""

    def __init__(self, descriptor: int, size_bytes: int) -> None:
        self._descriptor = descriptor
        self._written = Written(size_bytes)
        self._sha256 = hashlib.sha256()
        self._taken_bytes = 0
        self._broken = False

    @property
    def whole_bytes(self) -> int:
        """How far it was written from its begin on, without a gap."""
        return self._written.whole_bytes

    def is_taken(self, size_bytes: int) -> bool:
        """Tell whether nothing of the first ``size_bytes`` has to be read back, and no more has come."""
        return not self._broken and self._taken_bytes == size_bytes

    def add(self, start: int, end: int, data: bytes | memoryview) -> None:
        """Note that ``data`` was written from ``start`` up to ``end``.

        What was there before, or came out of order, is read back in steps of 8 MiB for each call, so that none of
        them takes long.
        """
        if start == self._taken_bytes:
            self._sha256.update(data)
            self._taken_bytes = end
        elif start < self._taken_bytes:
            self._broken = True
        self._written.add(start, end)
        if not self._broken and self._written.whole_bytes > self._taken_bytes:
            self._read_back(min(self._written.whole_bytes, self._taken_bytes + _STEP_BYTES))

    def cut(self, size_bytes: int) -> None:
        """Note that it has ``size_bytes`` now."""
        self._broken |= size_bytes < self._taken_bytes
        self._written.cut(size_bytes)

    def finish(self, size_bytes: int) -> str:
        """Return the digest of all of it, in hexadecimal; what was not taken in order is read back.

        Raises:
            HomeError: it has fewer than ``size_bytes``.
        """
        if self._broken:
            self._sha256, self._taken_bytes, self._broken = hashlib.sha256(), 0, False
        self._read_back(size_bytes)
        return self._sha256.hexdigest()

    def _read_back(self, end: int) -> None:
        while self._taken_bytes < end:
            length = min(_CHUNK_BYTES, end - self._taken_bytes)
            data = os.pread(self._descriptor, length, self._taken_bytes)
            if not data:
                raise HomeError(Refusal.FAILED, "what was sent of it was cut short by others")
            self._sha256.update(data)
            self._taken_bytes += len(data)
