"""Endpoints to try, each with a way to look behind it, for the one suite that all of them have to pass."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from enum import Enum, unique
from pathlib import Path

import pytest
from dav_servers import Dav
from ftps_server import FtpsServer
from s3_store import S3Store
from samba import Samba
from sshd import Sshd

from mftgit.adapters.endpoint.contract import Endpoint
from mftgit.adapters.ftps import endpoint as ftps
from mftgit.adapters.https import endpoint as https
from mftgit.adapters.local.endpoint import LocalEndpoint
from mftgit.adapters.s3 import endpoint as s3
from mftgit.adapters.s3.client import Store
from mftgit.adapters.s3.objects import Objects
from mftgit.adapters.sftp.endpoint import connect
from mftgit.adapters.smb.endpoint import connect as connect_smb
from mftgit.model.locations.location import Client


@unique
class Lack(Enum):
    """What a kind of server has not, so that nothing can be promised of it; its documentation says so."""

    ATOMIC_REPLACE = "replacing in one step"
    BUSY_LISTS = "list of a folder that somebody just writes to"
    CLAIMS = "renames of which one alone can win"
    DEVICES = "word for devices"  # they are told as files
    EXCLUSIVE = "making of a file or a name that only one can win"
    FOLDERS = "folders"  # a folder is there while it has files
    HOLES = "files with holes"
    LINE_BREAKS = "line breaks in names"
    LINKS = "links"
    MODES = "modes"
    ODD_NAMES = "odd names"
    OVERLAP = "two changes of one file at a time"  # the second one is to come again later
    PARTS = "part of a file"  # what was not sent to its end is not there
    RESUMING = "going on in the middle of a file"
    STARS = "folders with * in their names"
    TIMES = "times"  # a file's time is that of its writing, and cannot be set


@dataclass(frozen=True, kw_only=True)
class Place:
    """An endpoint, the folder of this machine that it serves, and how to open another one on it."""

    endpoint: Endpoint
    root: Path
    another: Callable[[], Endpoint]
    lacks: frozenset[Lack] = frozenset()
    longest_name: int = 255
    many: int = 250  # files of a test with many; fewer where each takes long

    def need(self, *needed: Lack) -> None:
        """Leave the test where the kind of server lacks one of ``needed``."""
        for each in needed:
            if each in self.lacks:
                pytest.skip(f"this kind of server has no {each.value}")

    def put(self, path: str, content: bytes = b"content") -> None:
        """Have the file ``path``, and the folders above it."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    def content(self, path: str) -> bytes:
        """Return what is in the file ``path``."""
        return (self.root / path).read_bytes()

    def is_there(self, path: str) -> bool:
        """Tell whether there is something by this name."""
        return (self.root / path).exists()

    def names(self) -> list[str]:
        """Return the names in the location's own folder."""
        return sorted(os.listdir(self.root))  # noqa: PTH208  the names as they are

    def listed(self, folder: str = ".", *, recursive: bool = True) -> list[str]:
        """Return what the endpoint lists."""
        return sorted(entry.path for entry in self.endpoint.list_files(folder, recursive=recursive))


@contextmanager
def local_place(root: Path) -> Iterator[Place]:
    """Give a folder of this machine."""
    yield Place(endpoint=LocalEndpoint(root), root=root, another=lambda: LocalEndpoint(root))


@contextmanager
def sftp_place(root: Path, server: Sshd, client: Client) -> Iterator[Place]:
    """Give a folder that OpenSSH serves."""
    location = replace(server.location(path=str(root)), client=client)

    def another() -> Endpoint:
        return connect(location, secrets_dir=server.secrets_dir)

    with closing(another()) as endpoint:
        yield Place(endpoint=endpoint, root=root, another=another)


@contextmanager
def smb_place(root: Path, server: Samba) -> Iterator[Place]:
    """Give a folder of the share that Samba serves; ``root`` is below its folder."""
    location = server.location(path=str(root.relative_to(server.folder)))

    def another() -> Endpoint:
        return connect_smb(location, secrets_dir=server.secrets_dir)

    lacks = frozenset({Lack.LINKS, Lack.MODES, Lack.ODD_NAMES})
    with closing(another()) as endpoint:
        yield Place(endpoint=endpoint, root=root, another=another, lacks=lacks)


@dataclass(frozen=True, kw_only=True)
class S3Place(Place):
    """The objects of a bucket below a prefix; ``root`` is a folder that nothing goes to."""

    store: Store
    objects: Objects
    longest_name: int = 1024
    many: int = 12

    def put(self, path: str, content: bytes = b"content") -> None:
        self.store.ask("put_object", path, Key=self.objects.key(path), Body=content)

    def content(self, path: str) -> bytes:
        told = self.store.ask("get_object", path, Key=self.objects.key(path))
        content: bytes = told["Body"].read()
        return content

    def is_there(self, path: str) -> bool:
        return self.objects.is_any(path) or self.store.is_there(self.objects.key(path), path)

    def names(self) -> list[str]:
        return self.objects.names(".")


@contextmanager
def s3_place(root: Path, server: S3Store) -> Iterator[Place]:
    """Give the objects of a bucket below a prefix that no other test has."""
    location = server.location(path=f"{root.parent.name}/x")

    def another() -> Endpoint:
        return s3.connect(location, secrets_dir=server.secrets_dir, secrets={})

    lacks = frozenset(
        {
            Lack.CLAIMS,
            Lack.FOLDERS,
            Lack.HOLES,
            Lack.LINKS,
            Lack.MODES,
            Lack.PARTS,
            Lack.TIMES,
        }
    )
    with closing(another()) as endpoint:
        yield S3Place(
            endpoint=endpoint,
            root=root,
            another=another,
            lacks=lacks,
            store=server.behind,
            objects=Objects(server.behind, base=location.path),
        )


@contextmanager
def ftps_place(root: Path, server: FtpsServer) -> Iterator[Place]:
    """Give a folder that ProFTPD serves over TLS."""
    location = server.location(path=str(root))

    def another() -> Endpoint:
        return ftps.connect(location, secrets_dir=server.secrets_dir)

    lacks = frozenset({Lack.DEVICES, Lack.EXCLUSIVE, Lack.LINE_BREAKS, Lack.STARS})
    with closing(another()) as endpoint:
        yield Place(endpoint=endpoint, root=root, another=another, lacks=lacks)


@contextmanager
def https_place(root: Path, server: Dav) -> Iterator[Place]:
    """Give a folder that a WebDAV server serves; ``root`` is below its folder."""
    location = server.location(path=f"/{root.relative_to(server.folder)}")

    def another() -> Endpoint:
        return https.connect(location, secrets_dir=server.secrets_dir)

    lacks = {Lack.ATOMIC_REPLACE, Lack.EXCLUSIVE, Lack.LINKS, Lack.MODES, Lack.PARTS, Lack.RESUMING}
    if server.name == "rclone":
        lacks |= {Lack.BUSY_LISTS, Lack.ODD_NAMES, Lack.OVERLAP}
    with closing(another()) as endpoint:
        yield Place(endpoint=endpoint, root=root, another=another, lacks=frozenset(lacks))
