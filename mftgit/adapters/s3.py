"""A bucket of an object store as a place of files.

An object appears whole, and at once. What there is not is a rename: `S3Endpoint.rename` copies, and removes the old
one after. docs/adr/0024 says what that means where it stops in between, and why such a place is no source of claims.
"""

import secrets as chance
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, cast
from urllib.parse import quote

from mftgit.adapters.clock import Clock
from mftgit.adapters.endpoint import (
    Content,
    Digest,
    EndpointBusyError,
    EndpointLostError,
    EndpointRefusedError,
    FileEntry,
    FileExistsAtEndpointError,
    FileMissingError,
    Traits,
)
from mftgit.adapters.endpoint_paths import RESERVED, folder_and_name, parts_inside
from mftgit.adapters.location_secrets import Values
from mftgit.adapters.one_by_one import OneByOne
from mftgit.adapters.s3_client import Store, prepare
from mftgit.adapters.s3_objects import MARKER, Found, Objects
from mftgit.adapters.s3_reader import Download
from mftgit.adapters.s3_upload import Rules, copy_whole, multipart, put, ranges_of, upload
from mftgit.errors import MftgitError
from mftgit.model.s3_location import S3Location

STAGES: Final = ("read secrets", "look into the bucket")
"""What is done one after the other until files can be asked for."""


def connect(
    location: S3Location,
    *,
    secrets_dir: Path,
    secrets: Values,
    clock: Clock | None = None,
    passed: Callable[[str], None] = lambda _stage: None,
) -> "S3Endpoint":
    """Return an endpoint of ``location``, whose bucket has been looked into; ``passed`` is told of each of `STAGES`.

    Raises:
        ConfigError: see `prepare`.
        LoginError: the store does not know the keys.
        EndpointRefusedError: there is no such bucket, or it may not be listed.
        EndpointLostError: it cannot be reached or does not answer in time.
    """
    login = prepare(location, secrets_dir=secrets_dir, values=secrets)
    passed(STAGES[0])
    store = Store(location, login, clock=clock)
    endpoint = S3Endpoint(location, store)
    try:
        endpoint.look()
    except BaseException:
        endpoint.close()
        raise
    passed(STAGES[1])
    return endpoint


class S3Endpoint(OneByOne):
    """The objects whose keys begin with ``location.path``; see `mftgit.adapters.endpoint.Endpoint`.

    A folder is there while a key begins with its name, so that none is ever missing, and none has to be made. Times
    are those of writing. Of several that rename one file to different names more than one may win.
    """

    resumes = False

    def __init__(self, location: S3Location, store: Store) -> None:
        self._store = store
        self._bucket = location.bucket
        self._rules = Rules.of(location)
        self._objects = Objects(store, base=location.path)
        self._conditional = location.conditional_writes
        self._tried_conditions = not self._conditional

    @property
    def is_open(self) -> bool:
        """See `RemoteEndpoint.is_open`."""
        return self._store.is_open

    def is_alive(self) -> bool:
        """See `RemoteEndpoint.is_alive`."""
        try:
            self.look()
        except MftgitError:
            return False
        return True

    def look(self) -> None:
        """Ask for one key of the location; raises what the store answers."""
        self._objects.is_any(".")

    def list_files(
        self, folder: str, *, recursive: bool, depth: int | None = None
    ) -> Iterator[FileEntry]:
        """See `Endpoint.list_files`; a page of 1,000 keys is held at a time."""
        return self._objects.files(folder, deepest=depth if recursive else 0)

    def list_names(self, folder: str) -> list[str]:
        """See `Endpoint.list_names`; a folder without keys is empty."""
        return self._objects.names(folder)

    def stat(self, path: str) -> FileEntry:
        """See `Endpoint.stat`."""
        return self._objects.head(path).entry(path)

    @contextmanager
    def open_read(self, path: str, offset: int = 0) -> Iterator[BinaryIO]:
        """See `Endpoint.open_read`; one that is replaced meanwhile, or ends too early, raises a `TransientError`."""
        with Download(self._store, self._objects, path, offset) as download:
            yield cast("BinaryIO", download)

    def _read(self, path: str, most_bytes: int) -> Content:
        with Download(self._store, self._objects, path, 0) as download:
            entry = download.found.entry(path)
            data = bytearray()
            if entry.size_bytes <= most_bytes:
                while chunk := download.read(most_bytes + 1):
                    data += chunk
        return Content(before=entry, after=entry, data=bytes(data))

    def digest_all(self, paths: Iterable[str]) -> list[Digest | MftgitError | None]:
        """See `Endpoint.digest_all`; the digest that a store tells may be the one that it was told."""
        return [None for _ in paths]

    def write(
        self,
        path: str,
        chunks: Iterator[bytes],
        *,
        on_chunk: Callable[[int], None],
        resume_at: int | None = None,
    ) -> int:
        """See `Endpoint.write`; nothing is there before all of it is."""
        if resume_at is not None:
            raise EndpointRefusedError(f"{self._store.name}: {path!r} cannot be gone on with")
        key = self._objects.key(path)
        self._require_conditions()
        sent = upload(self._store, self._rules, key, path, chunks, on_chunk=on_chunk)
        size = self._objects.head(path).size_bytes
        if size != sent:
            raise EndpointLostError(
                f"{self._store.name}: {path!r} has {size} bytes after {sent} were sent: see what changes objects there"
            )
        return size

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        """Copy ``old`` to ``new`` and remove ``old``; see docs/adr/0024.

        What an earlier try copied, whether it was ours, is known by its `MARKER`, and is not copied again.
        """
        source, target = self._objects.key(old), self._objects.key(new)
        found = self._objects.head(old)
        if source == target:
            if not replace:
                raise FileExistsAtEndpointError(f"{self._store.name}: {new!r} is there already")
            return
        if replace and found.size_bytes <= self._rules.copied_bytes:
            fields = _kept(found, _marker(old)) | {"MetadataDirective": "REPLACE"}
            with _unchanged(f"{self._store.name}: {old!r}"):
                copy_whole(
                    self._store, self._rules, target, new, self._source(source, found), **fields
                )
        else:
            self._copy_in_parts(found, old, new, replace=replace)
        self._store.ask("delete_object", old, Key=source)

    def _copy_in_parts(self, found: Found, old: str, new: str, *, replace: bool) -> None:
        """Copy in parts, of which one may be the whole: only so a store has a condition for a name that is free."""
        if not replace:
            self._require_conditions()
        source, target = self._objects.key(old), self._objects.key(new)
        fields = {**self._rules.kept, **_kept(found, _marker(old))}
        try:
            if found.size_bytes == 0:  # which has no part
                put(self._store, self._rules, target, new, b"", **fields)
                return
            with multipart(self._store, self._rules, target, new, **fields) as parts:
                with _unchanged(f"{self._store.name}: {old!r}"):
                    parts.copy(
                        self._source(source, found), ranges_of(self._rules, found.size_bytes)
                    )
                # Who was stopped up to here may have been overtaken, and what he copies be published already.
                self._objects.head(old)
                parts.complete(new=not replace)
        except FileExistsAtEndpointError:
            if self._objects.head(new).marker != _marker(old):
                raise

    def _source(self, key: str, found: Found) -> Mapping[str, Any]:
        return {
            "CopySource": {"Bucket": self._bucket, "Key": key},
            "CopySourceIfMatch": found.etag,
        }

    def remove(self, path: str) -> None:
        """See `Endpoint.remove`; parts of it that a crash has left behind are removed too."""
        key = self._objects.key(path)
        try:
            self._objects.head(path)
        except FileMissingError:
            if self._abort_left(key, path):
                return
            raise
        self._store.ask("delete_object", path, Key=key)

    def remove_same(self, file: FileEntry) -> None:
        """See `ConditionalEndpoint.remove_same`; the ETag that was looked at is the condition of the removal."""
        found = self._objects.head(file.path)
        if (found.size_bytes, found.mtime_ns) != (file.size_bytes, file.mtime_ns):
            raise FileMissingError(f"{self._store.name}: {file.path!r} is another object by now")
        condition = {"IfMatch": found.etag} if self._conditional else {}
        try:
            self._store.ask(
                "delete_object", file.path, Key=self._objects.key(file.path), **condition
            )
        except FileExistsAtEndpointError as error:  # by which 412 is told
            raise FileMissingError(
                f"{self._store.name}: {file.path!r} was replaced while it was removed"
            ) from error

    def _abort_left(self, key: str, path: str) -> bool:
        """Abort the uploads of ``key`` that are not completed, and tell whether there were any."""
        with suppress(EndpointRefusedError):  # the right to list them may be missing
            told = self._store.ask("list_multipart_uploads", path, Prefix=key)
            left = [each for each in told.get("Uploads") or () if each.get("Key") == key]
            for each in left:
                self._store.ask(
                    "abort_multipart_upload", path, Key=key, UploadId=each.get("UploadId")
                )
            return bool(left)
        return False

    def set_traits(self, path: str, traits: Traits) -> None:
        """See `OneByOne.set_traits`; there is nothing that can be set."""
        if traits != Traits():
            raise EndpointRefusedError(
                f"{self._store.name}: time and mode of {path!r} cannot be set: objects have none of their own"
            )
        self._objects.head(path)

    def make_folder(self, path: str) -> None:
        """See `Endpoint.make_folder`; there is nothing to make."""
        parts_inside(path)

    def remove_folder(self, path: str) -> bool:
        """See `Endpoint.remove_folder`."""
        folder_and_name(path)
        if self._objects.is_any(path):
            return False
        if self._store.is_there(self._objects.key(path), path):
            raise EndpointRefusedError(f"{self._store.name}: {path!r} is a file and no folder")
        return True

    def close(self) -> None:
        """See `Endpoint.close`."""
        self._store.close()

    def _require_conditions(self) -> None:
        """See once that the store lets nobody write over a name that has to be free, by an object of our own.

        Raises:
            EndpointRefusedError: it does.
        """
        if self._tried_conditions:
            return
        probe = f"{RESERVED}-probe-{chance.token_hex(8)}"
        key = self._objects.key(probe)
        try:
            put(self._store, self._rules, key, probe, b"")
            with suppress(FileExistsAtEndpointError):
                put(self._store, self._rules, key, probe, b"")
                raise EndpointRefusedError(
                    f"{self._store.name} takes no notice of If-None-Match, so that two writers may have one name: "
                    "have conditional_writes: false in the location, if you accept that"
                )
        finally:
            with suppress(MftgitError):
                self._store.ask("delete_object", probe, Key=key)
        self._tried_conditions = True


def _kept(found: Found, marker: str) -> dict[str, Any]:
    """Return what the copy is to have of the object, and the marker."""
    kept = {"Metadata": {**(found.told.get("Metadata") or {}), MARKER: marker}}
    if found.told.get("ContentType"):
        kept["ContentType"] = found.told["ContentType"]
    return kept


def _marker(old: str) -> str:
    return quote(folder_and_name(old)[1], safe="")


@contextmanager
def _unchanged(what: str) -> Iterator[None]:
    """Tell of an object that is another one than was found, of which 412 speaks here."""
    try:
        yield
    except FileExistsAtEndpointError as error:
        raise EndpointBusyError(
            f"{what} changed while it was renamed: it is tried again"
        ) from error
    except FileMissingError as error:
        raise FileMissingError(f"{what} was taken away while it was renamed") from error
