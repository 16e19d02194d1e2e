"""Bring content into an object store: whole in one request, or in parts that become one object at once."""

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from mftgit.adapters.endpoint.contract import FileExistsAtEndpointError
from mftgit.adapters.s3.client import Store
from mftgit.errors import MftgitError
from mftgit.model.locations.parts_of_object import COPIED_BYTES, copy_ranges, part_bytes
from mftgit.model.locations.s3_location import S3Location

_SIDE_BY_SIDE: Final = 4  # parts that a store copies at a time

Part = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How objects of a location are written; fields are in the words of botocore.

    ``kept`` goes with each object that stays. Temporaries have but ``sent`` of it: some storage classes cost as much
    for a moment as for a month.
    """

    sent: Mapping[str, Any]
    kept: Mapping[str, Any]
    checksums: bool
    conditional: bool
    copied_bytes: int = COPIED_BYTES

    @classmethod
    def of(cls, location: S3Location) -> "Rules":
        """Return those of ``location``."""
        maybe = {
            "ServerSideEncryption": location.encryption and location.encryption.value,
            "SSEKMSKeyId": location.kms_key,
        }
        sent = {name: value for name, value in maybe.items() if value is not None}
        storage = location.storage_class
        return cls(
            sent=sent,
            kept=sent if storage is None else {**sent, "StorageClass": storage},
            checksums=location.checksums,
            conditional=location.conditional_writes,
        )


@dataclass(slots=True, kw_only=True)
class Multipart:
    """An upload in parts of the object ``key``, which is there when `complete` ends well, and not before."""

    store: Store
    rules: Rules
    key: str
    path: str
    upload: str
    parts: list[Part] = field(default_factory=list)

    def send(self, data: bytes) -> None:
        """Send the next part."""
        number = len(self.parts) + 1
        told = self.store.ask(
            "upload_part",
            self.path,
            Key=self.key,
            UploadId=self.upload,
            PartNumber=number,
            Body=data,
            **_checksum(self.rules, data),
        )
        self._add(number, told)

    def copy(self, source: Mapping[str, Any], ranges: Sequence[str | None]) -> None:
        """Let the store copy all parts out of another object, some side by side."""

        def part(number: int, span: str | None) -> Mapping[str, Any]:
            told = self.store.ask(
                "upload_part_copy",
                self.path,
                Key=self.key,
                UploadId=self.upload,
                PartNumber=number,
                **source,
                **({} if span is None else {"CopySourceRange": span}),
            )
            return dict(told.get("CopyPartResult") or {})

        numbers = range(1, len(ranges) + 1)
        with ThreadPoolExecutor(min(_SIDE_BY_SIDE, len(ranges))) as threads:
            for number, told in zip(numbers, threads.map(part, numbers, ranges), strict=True):
                self._add(number, told)

    def complete(self, *, new: bool) -> None:
        """Let the object be there; with ``new`` only where its name is free, else `FileExistsAtEndpointError`."""
        with _if_free(self.store, self.rules, self.key, self.path, new=new) as condition:
            self.store.ask(
                "complete_multipart_upload",
                self.path,
                Key=self.key,
                UploadId=self.upload,
                MultipartUpload={"Parts": self.parts},
                **condition,
            )

    def abort(self) -> None:
        """Let the store forget the parts."""
        self.store.ask("abort_multipart_upload", self.path, Key=self.key, UploadId=self.upload)

    def _add(self, number: int, told: Mapping[str, Any]) -> None:
        part: Part = {"PartNumber": number, "ETag": told.get("ETag")}
        if told.get("ChecksumSHA256"):
            part["ChecksumSHA256"] = told["ChecksumSHA256"]
        self.parts.append(part)


@contextmanager
def multipart(
    store: Store,
    rules: Rules,
    key: str,
    path: str,
    *,
    stays: Callable[[Multipart], bool] = lambda _begun: False,
    **fields: Any,
) -> Iterator[Multipart]:
    """Begin an upload in parts; one that is not completed in the block is aborted, unless it ``stays``."""
    if rules.checksums:
        fields["ChecksumAlgorithm"] = "SHA256"
    told = store.ask("create_multipart_upload", path, Key=key, **fields)
    begun = Multipart(
        store=store, rules=rules, key=key, path=path, upload=str(told.get("UploadId"))
    )
    try:
        yield begun
    except BaseException as error:
        with suppress(MftgitError):
            if isinstance(error, FileExistsAtEndpointError) or not stays(begun):
                begun.abort()
        raise


def put(
    store: Store, rules: Rules, key: str, path: str, data: bytes, *, new: bool = True, **fields: Any
) -> None:
    """Write an object in one request; with ``new`` only where its name is free, else `FileExistsAtEndpointError`."""
    with _if_free(store, rules, key, path, new=new) as condition:
        store.ask(
            "put_object",
            path,
            Key=key,
            Body=data,
            **_checksum(rules, data),
            **condition,
            **fields,
        )


class Pieces:
    """What is to be sent, to be taken in parts of any size; ``total`` is how far that comes in the file."""

    def __init__(
        self,
        chunks: Iterator[bytes],
        on_chunk: Callable[[int], None],
        *,
        at: int = 0,
        first: bytes = b"",
        last: Callable[[int], bytes] = lambda _total: b"",
    ) -> None:
        """Have ``chunks`` begin at byte ``at``; ``first`` comes before, and what ``last`` gives for their end after."""
        self.total = at
        self._chunks = chunks
        self._on_chunk = on_chunk
        self._buffer = bytearray(first)
        self._last: Callable[[int], bytes] | None = last

    def take(self, most: int) -> bytes:
        """Return the next ``most`` bytes, fewer at the end."""
        buffer = self._buffer
        while len(buffer) < most:
            chunk = next(self._chunks, None)
            if chunk is None:
                last, self._last = self._last, None
                buffer.extend(last(self.total) if last is not None else b"")
                break
            self._on_chunk(self.total)
            buffer.extend(chunk)
            self.total += len(chunk)
        data = bytes(memoryview(buffer)[:most])
        del buffer[:most]
        return data


def upload(
    store: Store,
    rules: Rules,
    key: str,
    path: str,
    pieces: Pieces,
    *,
    stays: Callable[[Multipart], bool],
) -> None:
    """Write ``pieces`` to a new object; see `Endpoint.write`, and `multipart` for ``stays``.

    At most two parts are held in memory.
    """
    first = pieces.take(part_bytes(0))
    if len(first) < part_bytes(0):
        put(store, rules, key, path, first, **rules.sent)
        return
    with multipart(store, rules, key, path, stays=stays, **rules.sent) as parts:
        parts.send(first)
        _send(parts, pieces)
        parts.complete(new=True)


def go_on(
    parts: Multipart,
    source: Mapping[str, Any],
    ranges: Sequence[tuple[int, int]],
    pieces: Pieces,
) -> None:
    """Let the store copy what it has of the object, ``ranges`` of ``source``, and send ``pieces`` behind that."""
    if ranges:
        parts.copy(source, [f"bytes={first}-{last}" for first, last in ranges])
    _send(parts, pieces)


def _send(parts: Multipart, pieces: Pieces) -> None:
    while data := pieces.take(part_bytes(len(parts.parts))):
        parts.send(data)


def copy_whole(store: Store, key: str, path: str, source: Mapping[str, Any], **fields: Any) -> None:
    """Copy an object of at most 5 GiB over whatever is there."""
    store.ask("copy_object", path, Key=key, **source, **fields)


def ranges_of(rules: Rules, size_bytes: int) -> list[str | None]:
    """Return the ranges to copy, None for the whole, where that goes in one."""
    ranges = list(copy_ranges(size_bytes, rules.copied_bytes))
    return [f"bytes={first}-{last}" for first, last in ranges] if len(ranges) > 1 else [None]


@contextmanager
def _if_free(
    store: Store, rules: Rules, key: str, path: str, *, new: bool
) -> Iterator[Mapping[str, Any]]:
    """Give the condition of a write to a free name; a store that knows none is looked at before."""
    if not new:
        yield {}
        return
    if not rules.conditional and store.is_there(key, path):
        raise FileExistsAtEndpointError(f"{store.name}: {path!r} is there already")
    yield {"IfNoneMatch": "*"} if rules.conditional else {}


def _checksum(rules: Rules, data: bytes) -> Mapping[str, Any]:
    if not rules.checksums:
        return {}
    return {"ChecksumSHA256": base64.b64encode(hashlib.sha256(data).digest()).decode()}
