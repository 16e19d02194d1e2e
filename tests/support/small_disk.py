"""Disks that are small enough to be filled, or that take no writes any more."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from waiting import until


@contextmanager
def small_disk(folder: Path, *, mib: int, kind: str = "tmpfs") -> Iterator[None]:
    """Make ``folder`` a file system of that size."""
    mount = ["mount", "-t", kind, "-o", f"size={mib}m", kind, str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room there is, and return the file that has it."""
    filler = folder / ".filler"
    with filler.open("wb", buffering=0) as stream, suppress(OSError):
        while stream.write(b"x" * 4096):
            pass
    return filler


class Breaking:
    """A disk that, when this is called, takes no writes any more, as the kernel does with one that has errors."""

    def __init__(self, image: Path, folder: Path) -> None:
        self._image = image
        self._folder = folder

    def mount(self) -> None:
        subprocess.run(["mount", "-o", "loop", str(self._image), str(self._folder)], check=True)

    def __call__(self) -> None:
        subprocess.run(
            ["sync", "-f", str(self._folder)], check=True
        )  # what was copied here is kept
        subprocess.run(["mount", "-o", "remount,abort", str(self._folder)], check=True)

    def unmount(self) -> None:
        """Take it away, once nobody has anything open there: what was killed may still be about to end."""
        umount = ["umount", str(self._folder)]
        until(lambda: subprocess.run(umount, check=False, capture_output=True).returncode == 0)

    def mend(self) -> None:
        """Repair it, and mount it again; nobody uses it."""
        self.unmount()
        subprocess.run(["fsck.ext4", "-y", str(self._image)], check=False, capture_output=True)
        self.mount()


@contextmanager
def breaking_disk(folder: Path, *, mib: int) -> Iterator[Breaking]:
    """Make ``folder`` a file system on a disk that can be broken."""
    folder.mkdir()
    image = folder.with_suffix(".image")
    with image.open("wb") as stream:
        stream.truncate(mib << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    disk = Breaking(image, folder)
    try:
        disk.mount()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this machine mounts no image: {error}")
    try:
        yield disk
    finally:
        disk.unmount()
