"""Storage in user space (FUSE): a folder, until it is told to be slow, to hang, to fail or to lie.

Run as a program it serves one mount. What it is to do stands in a file of JSON that it reads before each operation:
``slow_s``, ``hang``, ``errno`` with ``only`` (names of operations, else all) and ``times``, and ``lie``.
"""

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WRITES = ("create", "mkdir", "link", "rename", "rmdir", "unlink", "write", "truncate", "symlink")
_SHORT = 143


class OddStorage:
    """One mount of it, as a test sees it."""

    def __init__(self, behind: Path, folder: Path, control: Path) -> None:
        self.behind = behind
        self.folder = folder
        self._control = control

        self._server: subprocess.Popen[bytes] | None = None

    def be(self, **told: Any) -> None:
        """Behave so from now on; with nothing, well."""
        fresh = self._control.with_suffix(".new")
        fresh.write_text(json.dumps(told), encoding="utf-8")
        fresh.rename(self._control)

    def mount(self) -> None:
        """Be there."""
        arguments = [
            sys.executable,
            __file__,
            str(self.behind),
            str(self.folder),
            str(self._control),
        ]
        server = self._server = subprocess.Popen(arguments)
        while not self.folder.is_mount():
            assert server.poll() is None, "this machine mounts no file system in user space"
            threading.Event().wait(0.01)

    def unmount(self) -> None:
        """Be away, so that the empty folder is there on which it was mounted."""
        subprocess.run(["umount", "-l", str(self.folder)], check=False)
        if self._server is not None:
            self._server.kill()
            self._server.wait()


@contextmanager
def odd_storage(backing: Path, folder: Path) -> Iterator[OddStorage]:
    """Mount ``backing`` at ``folder``; both are made. Two mounts of one folder are as two machines of one storage."""
    backing.mkdir(exist_ok=True)
    folder.mkdir()
    storage = OddStorage(backing, folder, folder.with_name(f"{folder.name}.control"))
    storage.be()
    try:
        storage.mount()
        yield storage
    finally:
        storage.be()
        storage.unmount()


class _Handing:
    """What is asked of the mount is done in the folder behind it."""

    use_ns = True

    def __init__(self, backing: str, control: str) -> None:
        self._backing = backing
        self._control = control
        self._told: dict[str, Any] = {}
        self._open: set[str] = set()
        self._counted: dict[str, Any] = {}
        self._failed = 0

    def _at(self, path: str, what: str) -> str:
        """Return the place behind ``path``, after whatever is to come before ``what``."""
        told = self._tell()
        if told.get("slow_s"):
            threading.Event().wait(told["slow_s"])
        while self._tell().get("hang"):
            threading.Event().wait(0.02)
        told = self._tell()
        if "errno" in told and what in told.get("only", (what,)) and self._count(told):
            raise OSError(told["errno"], os.strerror(told["errno"]))
        lie = told.get("lie")
        if lie == "short names" and len(os.fsencode(path.rpartition("/")[2])) > _SHORT:
            raise OSError(errno.ENAMETOOLONG, "")
        if lie == "case":
            path = path.lower()
        if lie == "forms":
            path = unicodedata.normalize("NFC", path)
        return self._backing + path

    def _count(self, told: dict[str, Any]) -> bool:
        """Tell whether it fails once more, where it is to do so ``times`` only."""
        if told != self._counted:
            self._counted, self._failed = told, 0
        self._failed += 1
        return bool(self._failed <= told.get("times", self._failed))

    def _tell(self) -> dict[str, Any]:
        try:
            self._told = json.loads(Path(self._control).read_bytes())
        except OSError:
            self._told = {}
        return self._told

    # Of the operations of libfuse those that are used

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        place = self._at(path, "getattr")
        if self._told.get("lie") == "create" and path.endswith("/taken") and path not in self._open:
            raise OSError(errno.ENOENT, "")
        found = os.fstat(fh) if fh is not None else os.lstat(place)
        names = ("mode", "nlink", "size", "uid", "gid")
        times = {f"st_{each}time": getattr(found, f"st_{each}time_ns") for each in "amc"}
        return {**{f"st_{each}": getattr(found, f"st_{each}") for each in names}, **times}

    def readdir(self, path: str, _fh: int) -> list[str]:
        names = os.listdir(self._at(path, "readdir"))  # noqa: PTH208
        if self._told.get("lie") == "listing" and "/probes/" in path:
            names = names[1:]
        return [".", "..", *names]

    def create(self, path: str, mode: int, flags: int) -> int:
        place = self._at(path, "create")
        if self._told.get("lie") == "create":
            flags &= ~os.O_EXCL
        self._open.add(path)
        return os.open(place, flags, mode)

    def open(self, path: str, flags: int) -> int:
        return os.open(self._at(path, "open"), flags & ~os.O_APPEND)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        self._at(path, "read")
        content = os.pread(fh, size, offset)
        return bytes(len(content)) if self._told.get("lie") == "content" else content

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._at(path, "write")
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        os.truncate(self._at(path, "truncate") if fh is None else fh, length)
        return 0

    def fsync(self, path: str, _datasync: int, fh: int) -> int:
        self._at(path, "fsync")
        os.fsync(fh)
        return 0

    def fsyncdir(self, path: str, _datasync: int, _fh: int) -> int:
        self._at(path, "fsyncdir")
        if self._told.get("lie") == "fsync":
            raise OSError(errno.EINVAL, "")
        return 0

    def release(self, path: str, fh: int) -> int:
        self._open.discard(path)
        os.close(fh)
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        Path(self._at(path, "mkdir")).mkdir(mode)
        return 0

    def rmdir(self, path: str) -> int:
        place = self._at(path, "rmdir")
        if self._told.get("lie") == "rmdir of all":
            shutil.rmtree(place)
        elif self._told.get("lie") != "rmdir of nothing":
            Path(place).rmdir()
        return 0

    def unlink(self, path: str) -> int:
        Path(self._at(path, "unlink")).unlink()
        return 0

    def rename(self, old: str, new: str) -> int:
        source, target = self._at(old, "rename"), self._at(new, "rename")
        lie = self._told.get("lie")
        if lie == "rename to free names" and Path(target).exists():
            raise OSError(errno.EEXIST, "")
        if lie == "rename is a copy":
            shutil.copyfile(source, target)
        elif lie == "no rename across" and Path(source).parent != Path(target).parent:
            raise OSError(errno.EXDEV, "")
        else:
            Path(source).rename(target)
        return 0

    def link(self, target: str, source: str) -> int:
        new, old = self._at(target, "link"), self._at(source, "link")
        if self._told.get("lie") == "no link":
            raise OSError(errno.ENOTSUP, "")
        if self._told.get("lie") == "link is a copy":
            shutil.copyfile(old, new)
        else:
            os.link(old, new)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        place = self._at(path, "utimens")
        os.utime(place) if times is None else os.utime(place, ns=times)
        return 0

    def chmod(self, path: str, mode: int) -> int:
        Path(self._at(path, "chmod")).chmod(mode)
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._at(path, "statfs"))
        names = ("bsize", "frsize", "blocks", "bfree", "bavail", "files", "ffree", "namemax")
        return {f"f_{each}": getattr(found, f"f_{each}") for each in names}


def _serve(behind: str, folder: str, control: str) -> None:
    os.environ["FUSE_LIBRARY_NAME"] = "fuse3"
    from mfusepy import FUSE, Operations  # noqa: PLC0415  it loads the library

    storage = type("Storage", (_Handing, Operations), {})
    FUSE(
        storage(behind, control),
        folder,
        foreground=True,
        attr_timeout=0,
        entry_timeout=0,
        negative_timeout=0,
        hard_remove=True,
        default_permissions=True,
    )


if __name__ == "__main__":
    _serve(*sys.argv[1:])
