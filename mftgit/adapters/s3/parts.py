"""What an upload in parts has left that was not completed: found again, and made an object that can be gone on with."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from mftgit.adapters.endpoint.contract import (
    EndpointBusyError,
    EndpointRefusedError,
    FileMissingError,
)
from mftgit.adapters.s3.client import Store
from mftgit.adapters.s3.objects import Objects
from mftgit.adapters.s3.upload import Multipart, Part, Rules, copy_whole, multipart, ranges_of
from mftgit.model.locations.parts_of_object import MOST_PARTS

_PAGES: Final = 100
"""So many pages of a list are asked for at the most; with 1,000 parts each, 10 are all that there can be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """An upload of ``key`` with the ``parts`` that it begins with, without a gap."""

    upload: str
    parts: tuple[Part, ...] = ()
    size_bytes: int = 0


class PartsOf:
    """The uploads of one location that were not completed, and what is made of them."""

    def __init__(self, store: Store, objects: Objects, rules: Rules, *, bucket: str) -> None:
        self._store = store
        self._objects = objects
        self._rules = rules
        self._bucket = bucket

    def stay(self, begun: Multipart) -> bool:
        """Tell whether an upload that fails is left as it is: parts have arrived, and it will be found again."""
        if not begun.parts:
            return False
        with suppress(EndpointRefusedError):  # the right to list them may be missing
            return any(each.upload == begun.upload for each in self._uploads(begun.key, begun.path))
        return False

    def is_any(self, path: str) -> bool:
        """Tell whether parts of the file ``path`` have arrived, as far as they may be listed."""
        with suppress(EndpointRefusedError):
            return any(each.parts for each in self.left(path))
        return False

    def left(self, path: str) -> list[Unfinished]:
        """Return the uploads of ``path`` that are not completed."""
        key = self._objects.key(path)
        return [self._with_parts(each, key, path) for each in self._uploads(key, path)]

    def abort(self, path: str) -> bool:
        """Abort the uploads of ``path`` that are not completed, and tell whether there were any."""
        key = self._objects.key(path)
        with suppress(EndpointRefusedError):
            left = self._uploads(key, path)
            for each in left:
                self._abort(each, key, path)
            return bool(left)
        return False

    def take(self, old: str, new: str) -> None:
        """Make what has arrived of ``old`` an object, of which ``new`` is a copy then, and remove ``old``.

        Raises:
            FileMissingError: nothing has arrived.
        """
        self._gather(old)
        found = self._objects.head(old)
        source = self.source(old, found.etag)
        key = self._objects.key(new)
        if found.size_bytes <= self._rules.copied_bytes:
            copy_whole(self._store, key, new, source, **self._rules.sent)
        else:
            with multipart(self._store, self._rules, key, new, **self._rules.sent) as parts:
                parts.copy(source, ranges_of(self._rules, found.size_bytes))
                parts.complete(new=False)
        self._store.ask("delete_object", old, Key=self._objects.key(old))

    def source(self, path: str, etag: str) -> dict[str, Any]:
        """Return from what is copied, in the words of botocore: the object at ``path`` while it has ``etag``."""
        key = self._objects.key(path)
        return {"CopySource": {"Bucket": self._bucket, "Key": key}, "CopySourceIfMatch": etag}

    def _gather(self, path: str) -> None:
        """Complete the upload that has come farthest, where that is farther than the object; abort all others.

        Who still sends to one of them is told that there is no such upload.
        """
        key = self._objects.key(path)
        try:
            arrived = self._objects.head(path).size_bytes
        except FileMissingError:
            arrived = 0
        left = sorted(self.left(path), key=lambda each: each.size_bytes)
        for at, each in enumerate(left, 1):
            if at == len(left) and each.size_bytes > arrived:
                self._store.ask(
                    "complete_multipart_upload",
                    path,
                    Key=key,
                    UploadId=each.upload,
                    MultipartUpload={"Parts": list(each.parts)},
                )
            else:
                self._abort(each, key, path)

    def _abort(self, each: Unfinished, key: str, path: str) -> None:
        with suppress(EndpointBusyError):  # there is none any more
            self._store.ask("abort_multipart_upload", path, Key=key, UploadId=each.upload)

    def _uploads(self, key: str, path: str) -> list[Unfinished]:
        found: list[Unfinished] = []
        fields: dict[str, Any] = {}
        for _ in range(_PAGES):
            told = self._store.ask("list_multipart_uploads", path, Prefix=key, **fields)
            found += [
                Unfinished(upload=str(each.get("UploadId")))
                for each in told.get("Uploads") or ()
                if each.get("Key") == key
            ]
            if not told.get("IsTruncated"):
                break
            fields = {
                "KeyMarker": told.get("NextKeyMarker") or "",
                "UploadIdMarker": told.get("NextUploadIdMarker") or "",
            }
        return found

    def _with_parts(self, upload: Unfinished, key: str, path: str) -> Unfinished:
        parts: list[Part] = []
        size_bytes, fields = 0, dict[str, Any]()
        for _ in range(_PAGES):
            told = self._store.ask("list_parts", path, Key=key, UploadId=upload.upload, **fields)
            for each in told.get("Parts") or ():
                if each.get("PartNumber") != len(parts) + 1 or len(parts) == MOST_PARTS:
                    break
                parts.append(_part(each))
                size_bytes += int(each.get("Size") or 0)
            if not told.get("IsTruncated"):
                break
            fields = {"PartNumberMarker": told.get("NextPartNumberMarker") or 0}
        return Unfinished(upload=upload.upload, parts=tuple(parts), size_bytes=size_bytes)


def _part(told: Mapping[str, Any]) -> Part:
    names = ("PartNumber", "ETag", "ChecksumSHA256")
    return {name: told[name] for name in names if told.get(name)}
