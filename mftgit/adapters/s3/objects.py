"""The objects below one prefix of a bucket, as files below a folder."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from loguru import logger

from mftgit.adapters.endpoint.contract import (
    EndpointLostError,
    EndpointRefusedError,
    FileEntry,
    Kind,
    Named,
)
from mftgit.adapters.endpoint.paths import RESERVED, folder_and_name, parts_inside
from mftgit.adapters.s3.client import Store

_LONGEST_BYTES: Final = 1024
"""Of a key in UTF-8 (S3 user guide, "Naming Amazon S3 objects")."""

_TAG: Final = 200  # characters of an ETag; a longer one is none of a store

_MOST_NAMES: Final = 1_000_000  # of one folder, where they are held all at once

_EMPTY_PAGES: Final = 1000
"""So many pages in a row without a key are none of an honest store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An object as a HEAD tells of it. Times are whole seconds, in a listing too, so that the two agree."""

    size_bytes: int
    mtime_ns: int
    etag: str
    marker: str | None
    told: Mapping[str, Any]

    def entry(self, path: str) -> FileEntry:
        """Return it as the file ``path``."""
        tag = self.etag if 0 < len(self.etag) <= _TAG else None
        return FileEntry(path=path, size_bytes=self.size_bytes, mtime_ns=self.mtime_ns, tag=tag)


MARKER: Final = "mftgit-sent-as"
"""The field of an object's metadata that says under which temporary name it was sent: one that no other try bore."""


class Objects:
    """Keys and paths of one location, and what is there."""

    def __init__(self, store: Store, *, base: str) -> None:
        self._store = store
        self._base = tuple(part for part in base.split("/") if part not in {"", "."})
        self._told_odd = False

    def key(self, path: str) -> str:
        """Return the key of the file ``path``; errors are those of `folder_and_name`, or it is too long."""
        folder, name = folder_and_name(path)
        key = "/".join((*self._base, *folder, name))
        try:
            size = len(key.encode())
        except UnicodeEncodeError as error:
            raise EndpointRefusedError(
                f"path {path!r} has a character that no name can hold: keys are UTF-8"
            ) from error
        if size > _LONGEST_BYTES:
            raise EndpointRefusedError(
                f"path {path!r} is a key of {size} bytes: a store takes {_LONGEST_BYTES}"
            )
        return key

    def prefix(self, folder: str) -> str:
        """Return how the keys below ``folder`` begin."""
        parts = (*self._base, *parts_inside(folder))
        return "".join(f"{part}/" for part in parts)

    def head(self, path: str) -> Found:
        """Return what is at ``path``; raises `FileMissingError`."""
        return self.found(self._store.ask("head_object", path, Key=self.key(path)))

    def found(self, told: Mapping[str, Any]) -> Found:
        """Return what an answer to HEAD or GET tells."""
        return Found(
            size_bytes=_size(told.get("ContentLength")),
            mtime_ns=_seconds(told.get("LastModified")),
            etag=str(told.get("ETag") or ""),
            marker=(told.get("Metadata") or {}).get(MARKER),
            told=told,
        )

    def files(self, folder: str, *, deepest: int | None) -> Iterator[FileEntry]:
        """Give the files below ``folder`` that are at most so many folders deep; see `Endpoint.list_files`."""
        prefix = self.prefix(folder)
        for page in self._pages(folder, prefix, flat=deepest == 0):
            for each in page.get("Contents") or ():
                path = self._path(str(each.get("Key") or ""), prefix)
                if path is None or any(part.startswith(RESERVED) for part in path.split("/")):
                    continue
                if deepest is None or path.count("/") <= deepest:
                    yield FileEntry(
                        path=path,
                        size_bytes=_size(each.get("Size")),
                        mtime_ns=_seconds(each.get("LastModified")),
                    )

    def named(self, folder: str) -> Iterator[Named]:
        """Give what is in ``folder``; see `RemoteEndpoint.list_folder`."""
        prefix = self.prefix(folder)
        for page in self._pages(folder, prefix, flat=True):
            for each in page.get("Contents") or ():
                name = self._path(str(each.get("Key") or ""), prefix)
                if name is not None:
                    yield Named(
                        name=name,
                        kind=Kind.FILE,
                        size_bytes=_size(each.get("Size")),
                        mtime_ns=_seconds(each.get("LastModified")),
                    )
            for each in page.get("CommonPrefixes") or ():
                name = self._path(str(each.get("Prefix") or "").removesuffix("/"), prefix)
                if name is not None:
                    yield Named(name=name, kind=Kind.FOLDER)

    def names(self, folder: str) -> list[str]:
        """Return every name in ``folder``; see `Endpoint.list_names`."""
        prefix, names = self.prefix(folder), set[str]()
        for page in self._pages(folder, prefix, flat=True):
            keys = [str(each.get("Key") or "") for each in page.get("Contents") or ()]
            keys += [
                str(each.get("Prefix") or "").removesuffix("/")
                for each in page.get("CommonPrefixes") or ()
            ]
            names.update(path for key in keys if (path := self._path(key, prefix)) is not None)
            if len(names) > _MOST_NAMES:
                raise EndpointRefusedError(
                    f"{self._store.name}: {folder!r} has more than {_MOST_NAMES} names: take some away"
                )
        return sorted(names)

    def is_any(self, folder: str) -> bool:
        """Tell whether a key begins as those below ``folder`` do."""
        return bool(self._page(folder, Prefix=self.prefix(folder), MaxKeys=1).get("Contents"))

    def _pages(self, folder: str, prefix: str, *, flat: bool) -> Iterator[Mapping[str, Any]]:
        """Give the pages of a listing, one after the other as they are asked for; of 1,000 keys each."""
        fields: dict[str, Any] = {"Prefix": prefix} | ({"Delimiter": "/"} if flat else {})
        empty = 0
        while True:
            page = self._page(folder, **fields)
            yield page
            following = page.get("NextContinuationToken")
            if not page.get("IsTruncated"):
                return
            empty = 0 if page.get("Contents") or page.get("CommonPrefixes") else empty + 1
            if (
                not following
                or following == fields.get("ContinuationToken")
                or empty > _EMPTY_PAGES
            ):
                raise EndpointRefusedError(
                    f"{self._store.name}: the list of {folder!r} does not go on, and says that it is not at its end"
                )
            fields["ContinuationToken"] = following

    def _page(self, folder: str, **fields: Any) -> Mapping[str, Any]:
        """Ask for a page; an empty answer is not an empty bucket."""
        page = self._store.ask("list_objects_v2", folder, **fields)
        if not isinstance(page.get("IsTruncated"), bool):
            raise EndpointLostError(
                f"{self._store.name}: the list of {folder!r} does not tell whether it is whole: "
                "see that the endpoint is an object store"
            )
        return page

    def _path(self, key: str, prefix: str) -> str | None:
        """Return the path of ``key`` below ``prefix``; None for one that no path leads to, which is told once."""
        path = key[len(prefix) :]
        if key == prefix:
            return None  # what consoles make for an empty folder
        if (
            key.startswith(prefix)
            and not {"", ".", ".."} & set(path.split("/"))
            and "\0" not in path
        ):
            return path
        if not self._told_odd:
            self._told_odd = True
            logger.warning(
                "{server}: {key!r} and keys like it are no path of a file ('//', '.', '..', '/' at an end): not listed",
                server=self._store.name,
                key=key[:200],
            )
        return None


def _size(told: object) -> int:
    if not isinstance(told, int) or told < 0:
        raise EndpointRefusedError("the store tells no size of an object: see that it is one")
    return told


def _seconds(told: object) -> int:
    if not isinstance(told, datetime):
        raise EndpointRefusedError("the store tells no time of an object: see that it is one")
    return int(told.timestamp()) * 10**9
