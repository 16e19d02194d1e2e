"""What file system a folder of this machine is on."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from mftgit.model.locations.mounts import Mount, find_mount, mounts_below


def are_local(folders: Iterable[str]) -> bool:
    """Tell whether all of ``folders``, and what is mounted below them, are on disks of this machine. It may hang.

    What cannot be told is not.
    """
    try:
        told = _told()
        places = [PurePosixPath(Path(each).resolve()) for each in folders]
    except OSError:
        return False
    mounts = [
        mount for place in places for mount in (find_mount(place, told), *mounts_below(place, told))
    ]
    return all(mount is not None and mount.is_local for mount in mounts)


def mount_of(folder: Path) -> Mount | None:
    """Return what ``folder`` is on, None where that cannot be told. It may hang."""
    try:
        return find_mount(PurePosixPath(folder.resolve()), _told())
    except OSError:
        return None


def _told() -> str:
    return Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
