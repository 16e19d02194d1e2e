"""A bucket of an object store as a place of files.

An object appears whole, and at once. What there is not is a rename: `S3Endpoint.rename` copies, and removes the old
one after. docs/adr/0024 says what that means where it stops in between, and why such a place is no source of claims.
"""

import secrets as chance
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, cast
from urllib.parse import quote

from mftgit.adapters.clock import Clock
from mftgit.adapters.endpoint.contract import (
    Content,
    Digest,
    EndpointBusyError,
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    FileEntry,
    FileExistsAtEndpointError,
    FileMissingError,
    Kind,
    Named,
    Traits,
)
from mftgit.adapters.endpoint.one_by_one import OneByOne
from mftgit.adapters.endpoint.paths import RESERVED, folder_and_name, parts_inside
from mftgit.adapters.location_secrets import Values
from mftgit.adapters.s3.client import Store, prepare
from mftgit.adapters.s3.objects import MARKER, Found, Objects
from mftgit.adapters.s3.parts import PartsOf
from mftgit.adapters.s3.reader import Download
from mftgit.adapters.s3.upload import (
    Pieces,
    Rules,
    copy_whole,
    go_on,
    multipart,
    put,
    ranges_of,
    upload,
)
from mftgit.errors import MftgitError
from mftgit.model.locations.parts_of_object import kept_ranges
from mftgit.model.locations.s3_location import S3Location

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
        endpoint.look_in()
    except BaseException:
        endpoint.close()
        raise
    passed(STAGES[1])
    return endpoint


class S3Endpoint(OneByOne):
    """The objects whose keys begin with ``location.path``; see `mftgit.adapters.endpoint.contract.Endpoint`.

    A folder is there while a key begins with its name, so that none is ever missing, and none has to be made. Times
    are those of writing. Of several that rename one file to different names more than one may win.
    """

    resumes = True
    has_folders = False

    def __init__(self, location: S3Location, store: Store) -> None:
        self._store = store
        self._rules = Rules.of(location)
        self._objects = Objects(store, base=location.path)
        self._parts = PartsOf(store, self._objects, self._rules, bucket=location.bucket)
        self._conditional = location.conditional_writes
        self._tried_conditions = not self._conditional

    @property
    def is_open(self) -> bool:
        """See `RemoteEndpoint.is_open`."""
        return self._store.is_open

    def is_alive(self) -> bool:
        """See `RemoteEndpoint.is_alive`."""
        try:
            self.look_in()
        except MftgitError:
            return False
        return True

    def look_in(self) -> None:
        """Ask for one key of the location; raises what the store answers."""
        self._objects.is_any(".")

    def list_files(
        self, folder: str, *, recursive: bool, depth: int | None = None
    ) -> Iterator[FileEntry]:
        """See `Endpoint.list_files`; a page of 1,000 keys is held at a time."""
        return self._objects.files(folder, deepest=depth if recursive else 0)

    def look(self, path: str) -> Named | None:
        """See `RemoteEndpoint.look`; of an object and a folder of one name, it is the object."""
        if not parts_inside(path):
            return Named(name=".", kind=Kind.FOLDER)
        name = folder_and_name(path)[1]
        try:
            found = self._objects.head(path)
        except FileMissingError:
            return Named(name=name, kind=Kind.FOLDER) if self._objects.is_any(path) else None
        return Named(
            name=name, kind=Kind.FILE, size_bytes=found.size_bytes, mtime_ns=found.mtime_ns
        )

    def list_folder(self, folder: str) -> Iterator[Named]:
        """See `RemoteEndpoint.list_folder`; a page of 1,000 keys is held at a time."""
        return self._objects.named(folder)

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
        """See `Endpoint.write`; nothing is there before all of it is, but for parts that `take_part` finds."""
        self._require_conditions()
        if resume_at is None:
            key, pieces = self._objects.key(path), Pieces(chunks, on_chunk)
            upload(self._store, self._rules, key, path, pieces, stays=self._parts.stay)
        else:
            pieces = self._go_on(path, chunks, on_chunk, resume_at)
        size = self._objects.head(path).size_bytes
        if size != pieces.total:
            kind = EndpointLostError if resume_at is None else EndpointFullError
            raise kind(
                f"{self._store.name}: {path!r} has {size} bytes after {pieces.total} were sent: "
                "see what changes objects there"
            )
        return size

    def _go_on(
        self, path: str, chunks: Iterator[bytes], on_chunk: Callable[[int], None], at: int
    ) -> Pieces:
        """Write an object anew whose beginning is copied within the store, in place of the one that has that alone."""
        found, key = self._objects.head(path), self._objects.key(path)
        if found.size_bytes < at:
            raise EndpointRefusedError(
                f"{self._store.name}: {path!r} has {found.size_bytes} bytes: it cannot be gone on with at {at}"
            )
        ranges = kept_ranges(at, self._rules.copied_bytes)
        copied = ranges[-1][1] + 1 if ranges else 0
        pieces = Pieces(
            chunks,
            on_chunk,
            at=at,
            first=self._between(path, copied, at),
            last=lambda total: self._between(path, total, found.size_bytes),  # it stays
        )
        with multipart(
            self._store, self._rules, key, path, stays=self._parts.stay, **self._rules.sent
        ) as parts:
            go_on(parts, self._parts.source(path, found.etag), ranges, pieces)
            if self._objects.head(path).etag != found.etag:
                raise EndpointBusyError(f"{self._store.name}: {path!r} is another object by now")
            parts.complete(new=False)
        return pieces

    def _between(self, path: str, first: int, end: int) -> bytes:
        """Return a few bytes of an object."""
        if first >= end:
            return b""
        with Download(self._store, self._objects, path, first) as download:
            data = bytearray()
            while len(data) < end - first and (chunk := download.read(end - first - len(data))):
                data += chunk
        return bytes(data)

    def find_part(self, path: str) -> None:
        """See `TakingEndpoint.find_part`."""
        try:
            self._objects.head(path)
        except FileMissingError:
            if not self._parts.is_any(path):
                raise

    def take_part(self, old: str, new: str, *, goes_on: bool = True) -> None:  # noqa: ARG002  it is alike
        """See `TakingEndpoint.take_part`."""
        self._parts.take(old, new)

    def drop_part(self, path: str) -> None:
        """See `TakingEndpoint.drop_part`."""
        aborted = self._parts.abort(path)
        try:
            self._objects.head(path)
        except FileMissingError:
            if not aborted:
                raise
            return
        self._store.ask("delete_object", path, Key=self._objects.key(path))

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
                    self._store,
                    target,
                    new,
                    self._parts.source(old, found.etag),
                    **{**self._rules.kept, **fields},
                )
        else:
            self._copy_in_parts(found, old, new, replace=replace)
        self._store.ask("delete_object", old, Key=source)

    def _copy_in_parts(self, found: Found, old: str, new: str, *, replace: bool) -> None:
        """Copy in parts, of which one may be the whole: only so a store has a condition for a name that is free."""
        if not replace:
            self._require_conditions()
        target = self._objects.key(new)
        fields = {**self._rules.kept, **_kept(found, _marker(old))}
        try:
            if found.size_bytes == 0:  # which has no part
                put(self._store, self._rules, target, new, b"", **fields)
                return
            with multipart(self._store, self._rules, target, new, **fields) as parts:
                with _unchanged(f"{self._store.name}: {old!r}"):
                    parts.copy(
                        self._parts.source(old, found.etag),
                        ranges_of(self._rules, found.size_bytes),
                    )
                # Who was stopped up to here may have been overtaken, and what he copies be published already.
                self._objects.head(old)
                parts.complete(new=not replace)
        except FileExistsAtEndpointError:
            if self._objects.head(new).marker != _marker(old):
                raise

    def remove(self, path: str) -> None:
        """See `Endpoint.remove`; parts of it that a crash has left behind are removed too."""
        key = self._objects.key(path)
        try:
            self._objects.head(path)
        except FileMissingError:
            if self._parts.abort(path):
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
