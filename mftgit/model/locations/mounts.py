"""What file system a folder is on, by what Linux tells of its mounts."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

_ESCAPED: Final = re.compile(r"\\([0-7]{3})")
_FIELDS_BEFORE_TYPE: Final = 6
_NFS: Final = {"nfs", "nfs4"}
_LOCAL: Final = {
    "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs",
}  # fmt: skip
_SEES_AT_ONCE: Final = {"lookupcache=pos", "lookupcache=none", "noac"}
"""As Linux tells the options of nfs(5) with which a client does not keep in mind that a name was not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A mounted file system: its type, and the options that the file system itself has."""

    type: str
    options: Collection[str] = frozenset()

    @property
    def is_local(self) -> bool:
        """Tell whether it is a disk of this machine, or its memory."""
        return self.type in _LOCAL

    @property
    def is_late(self) -> bool:
        """Tell whether it is NFS that may say for 30 s that a name is not there, which another machine has made since.

        Measured with Linux 6.1 on NFS 3 and 4.2, for names that were asked for before; listings are up to date.
        """
        return self.type in _NFS and not _SEES_AT_ONCE.intersection(self.options)


def find_mount(folder: PurePosixPath, mountinfo: str) -> Mount | None:
    """Return the mount that ``folder``, absolute and without links, is on; None where none is told.

    ``mountinfo`` is /proc/self/mountinfo: mount point fifth; after a lone hyphen type, source and options; spaces as
    octal (proc(5)). Of mounts at one point the last one covers the others.
    """
    best: tuple[int, Mount] | None = None
    for point, mount in _mounts(mountinfo):
        depth = len(point.parts)
        if folder.is_relative_to(point) and (best is None or depth >= best[0]):
            best = depth, mount
    return None if best is None else best[1]


def mounts_below(folder: PurePosixPath, mountinfo: str) -> list[Mount]:
    """Return what is mounted on folders below ``folder``; see `find_mount`."""
    return [mount for point, mount in _mounts(mountinfo) if folder in point.parents]


def _mounts(mountinfo: str) -> Iterator[tuple[PurePosixPath, Mount]]:
    for line in mountinfo.splitlines():
        fields = line.split(" ")
        if "-" not in fields[_FIELDS_BEFORE_TYPE:-1]:
            continue
        point = PurePosixPath(_ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), fields[4]))
        kind = fields.index("-", _FIELDS_BEFORE_TYPE) + 1
        yield point, Mount(type=fields[kind], options=frozenset(fields[-1].split(",")))
