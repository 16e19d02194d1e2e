"""Read an object as a stream, which goes on by another request where its connection is lost."""

from contextlib import suppress
from typing import Any, Final, Self

from mftgit.adapters.endpoint.contract import (
    EndpointBusyError,
    EndpointLostError,
    FileExistsAtEndpointError,
)
from mftgit.adapters.s3.client import Store
from mftgit.adapters.s3.objects import Objects

_TRIES: Final = 4
"""How often in a row it is gone on with, when nothing comes in between."""


class Download:
    """An open object. It is one and the same from the first byte to the last: its ETag is asked for (RFC 9110, 13.1.1).

    Raises what `Store.ask` raises; `EndpointBusyError` where it was replaced meanwhile.
    """

    def __init__(self, store: Store, objects: Objects, path: str, offset: int) -> None:
        self._store = store
        self._objects = objects
        self._path = path
        self._at = offset
        self._key = objects.key(path)
        self._body: Any = None
        self.found = objects.head(path) if offset else self._open()

    def _open(self, **fields: Any) -> Any:
        told = self._store.ask("get_object", self._path, Key=self._key, **fields)
        self._body = told["Body"]
        return self._objects.found(told)

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes, all that are left where that is negative; nothing at the end."""
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        for tried in range(_TRIES):
            try:
                return self._read(size)
            except EndpointLostError:
                self._drop()
                if tried == _TRIES - 1 or not self._store.is_open:
                    raise
        raise AssertionError

    def _read(self, size: int) -> bytes:
        left = self.found.size_bytes - self._at
        if left <= 0 or not size:
            return b""
        if self._body is None:
            self._go_on()
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415  an extra

        with self._store.reading():
            try:
                data: bytes = self._body.read(min(size, left))
            except BotoCoreError as error:
                raise EndpointLostError(
                    f"{self._store.name}: {self._path!r} was cut short: {error}"
                ) from error
        if not data:
            raise EndpointLostError(
                f"{self._store.name}: {self._path!r} ends after {self._at} of {self.found.size_bytes} bytes"
            )
        self._at += len(data)
        return data

    def _go_on(self) -> None:
        try:
            found = self._open(Range=f"bytes={self._at}-", IfMatch=self.found.etag)
        except FileExistsAtEndpointError as error:  # 412
            raise EndpointBusyError(
                f"{self._store.name}: {self._path!r} was replaced while it was read: it is read again"
            ) from error
        if found.size_bytes != self.found.size_bytes - self._at:
            raise EndpointLostError(
                f"{self._store.name}: {self._path!r} is not gone on with from byte {self._at}"
            )

    def _drop(self) -> None:
        body, self._body = self._body, None
        if body is not None:
            with suppress(EndpointLostError), self._store.reading():
                body.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._drop()
