"""Hear at once of files in folders of this machine: inotify(7), by the C library itself.

Only where the file system is one of this machine's: one that is shared tells of nothing that other machines do
(inotify(7), LIMITATIONS), and says so nowhere. An overflow of the queue counts as news of every folder.
"""

import ctypes
import os
import select
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from loguru import logger

TOGETHER_S: Final = 0.05
"""For so long news are gathered before they are told, each folder's once."""

# linux/magic.h; what is not named here is polled: NFS, SMB, FUSE, 9p, Ceph, Lustre, GPFS and whatever comes.
_OWN_FILE_SYSTEMS: Final = {
    0xEF53: "ext2, ext3, ext4",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0x01021994: "tmpfs",
    0x2FC12FC1: "zfs",
    0xF2F52010: "f2fs",
    0xCA451A4E: "bcachefs",
    0x794C7630: "overlayfs",
}
_CLOSE_WRITE, _MOVED_TO, _CREATE = 0x8, 0x80, 0x100
_OVERFLOW, _IGNORED, _ONLYDIR, _DONT_FOLLOW = 0x4000, 0x8000, 0x01000000, 0x02000000
_ISDIR: Final = 0x40000000
_WATCHED: Final = _CLOSE_WRITE | _MOVED_TO | _CREATE | _ONLYDIR | _DONT_FOLLOW
_EVENT: Final = struct.Struct("iIII")
_MOST_FOLDERS: Final = 1000
_READ_BYTES: Final = 64 * 1024
_STATFS_BYTES: Final = 512

_libc = ctypes.CDLL(None, use_errno=True)


def tells(folder: Path) -> bool:
    """Tell whether ``folder`` is there and on a file system that tells of all that happens in it (statfs(2))."""
    found = ctypes.create_string_buffer(_STATFS_BYTES)
    if _libc.statfs(os.fsencode(folder), found) != 0:
        return False
    return ctypes.c_long.from_buffer(found).value & 0xFFFFFFFF in _OWN_FILE_SYSTEMS


class Inotify:
    """Calls ``heard(key)`` from a thread of its own, soon after a file came to be whole in a folder of ``key``.

    Whole means closed after it was written, or moved there. It is a hint: what is missed is found by the next look.
    """

    def __init__(self, heard: Callable[[str], None]) -> None:
        self._heard = heard
        self._lock = threading.Lock()
        self._descriptor = -1
        self._stopped = False
        self._stop_read, self._stop_write = -1, -1
        self._keys: dict[int, set[str]] = {}
        self._folders: dict[str, dict[Path, int]] = {}
        self._thread = threading.Thread(target=self._listen, name="inotify", daemon=True)

    def watch(self, key: str, folder: Path, *, depth: float) -> bool:
        """Hear of ``folder`` and those below it, ``depth`` deep, from now on; tell whether that is possible.

        To be called again from time to time: it brings up to date what folders there are.
        """
        folders = list(_below(folder, depth)) if tells(folder) else []
        with self._lock:
            if not folders or self._stopped or not self._open():
                return False
            known = self._folders.setdefault(key, {})
            fresh = {each: self._add(each) for each in folders}
            for number in set(known.values()) - set(fresh.values()):
                self._let_go(key, number)
            self._folders[key] = {each: number for each, number in fresh.items() if number >= 0}
            for number in self._folders[key].values():
                self._keys.setdefault(number, set()).add(key)
            return folder in self._folders[key]

    def forget(self, key: str) -> None:
        """Hear nothing of ``key`` any more."""
        with self._lock:
            for number in set(self._folders.pop(key, {}).values()):
                self._let_go(key, number)

    def stop(self) -> None:
        """End."""
        with self._lock:
            running, self._stopped = self._descriptor >= 0 and not self._stopped, True
            if running:
                os.write(self._stop_write, b"x")
        if running:
            self._thread.join()
            with self._lock:
                for each in (self._descriptor, self._stop_read, self._stop_write):
                    os.close(each)
                self._descriptor = -1

    def _open(self) -> bool:
        if self._descriptor < 0:
            self._descriptor = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
            if self._descriptor < 0:
                _tell_limit("fs.inotify.max_user_instances")
                return False
            self._stop_read, self._stop_write = os.pipe2(os.O_CLOEXEC)
            self._thread.start()
        return True

    def _add(self, folder: Path) -> int:
        number = int(_libc.inotify_add_watch(self._descriptor, os.fsencode(folder), _WATCHED))
        if number < 0 and ctypes.get_errno() == _ENOSPC:
            _tell_limit("fs.inotify.max_user_watches")
        return number

    def _let_go(self, key: str, number: int) -> None:
        keys = self._keys.get(number, set())
        keys.discard(key)
        if not keys and self._keys.pop(number, None) is not None:
            _libc.inotify_rm_watch(self._descriptor, number)

    def _listen(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        poll.register(self._stop_read, select.POLLIN)
        stop = select.poll()  # select() takes no descriptor above 1,023
        stop.register(self._stop_read, select.POLLIN)
        while True:
            found = poll.poll()
            stopping = [each for each, _ in found if each == self._stop_read]
            # What comes in a burst is one piece of news; and whoever tells of each byte does not keep us busy.
            if stopping or stop.poll(TOGETHER_S * 1000):
                return
            for key in self._news():
                self._tell(key)

    def _tell(self, key: str) -> None:
        try:
            self._heard(key)
        except Exception:  # one caller's mistake must not make us deaf
            logger.exception("news of a folder was not taken", transfer=key)

    def _news(self) -> list[str]:
        return sorted(self._keys_of(os.read(self._descriptor, _READ_BYTES)))

    def _keys_of(self, content: bytes) -> set[str]:
        keys: set[str] = set()
        at = 0
        with self._lock:
            while at < len(content):
                number, mask, _, length = _EVENT.unpack_from(content, at)
                at += _EVENT.size + length
                if mask & _OVERFLOW:
                    keys.update(self._folders)
                elif mask & _IGNORED:
                    self._keys.pop(number, None)
                elif mask & (_CLOSE_WRITE | _MOVED_TO | _ISDIR):
                    keys |= self._keys.get(number, set())
        return keys


_ENOSPC: Final = 28
_told: set[str] = set()


def _tell_limit(setting: str) -> None:
    if setting not in _told:
        _told.add(setting)
        logger.warning(
            "the kernel's limit of inotify is used up: raise it; folders are polled",
            setting=setting,
        )


def _below(folder: Path, depth: float) -> list[Path]:
    """Return ``folder`` and the folders below it, no links, at most so many as one transfer may watch."""
    found, waiting = [folder], [(folder, 0)]
    while waiting and len(found) < _MOST_FOLDERS:
        above, deep = waiting.pop(0)
        if deep >= depth:
            continue
        try:
            with os.scandir(above) as entries:
                below = [
                    above / each.name
                    for each in entries
                    if each.is_dir(follow_symlinks=False) and not each.name.startswith(".mftgit")
                ]
        except OSError:
            continue
        found += below
        waiting += [(each, deep + 1) for each in below]
    return found[:_MOST_FOLDERS]
