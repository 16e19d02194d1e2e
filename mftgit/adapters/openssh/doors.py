"""Sockets in a folder that only this user can enter: a child asks there for what is to stand in no file."""

import os
import shutil
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

Serve = Callable[[socket.socket], None]
"""Say to who has connected what there is to say."""

_PATIENCE_S = 30.0
_WAITING = 8
_END_S = 3.0


class PrivateDoors:
    """One listening socket for each of ``doors``, by its name, until `close`."""

    def __init__(self, doors: Mapping[str, Serve]) -> None:
        """Make the folder and listen.

        Raises:
            OSError: there is no room for it.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="mftgit-ssh-"))  # mode 700
        self._listeners: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        try:
            for name, serve in doors.items():
                self._open(name, serve)
        except BaseException:
            self.close()
            raise

    def path(self, name: str) -> str:
        """Return where the socket ``name`` is."""
        return str(self.folder / name)

    def close(self) -> None:
        """Hang up and remove the folder; a second call does nothing."""
        for listener in self._listeners:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(_END_S)
        for listener in self._listeners:
            listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _open(self, name: str, serve: Serve) -> None:
        listener = socket.socket(socket.AF_UNIX)
        self._listeners.append(listener)
        listener.bind(self.path(name))
        listener.listen(_WAITING)
        thread = threading.Thread(
            target=self._welcome, args=(listener, serve), name=f"ssh-{name}", daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def _welcome(self, listener: socket.socket, serve: Serve) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer, suppress(OSError, EOFError):
                peer.settimeout(_PATIENCE_S)
                if _user_of(peer) == os.geteuid():
                    serve(peer)


def _user_of(peer: socket.socket) -> int:
    """Return whose process is at the other end (unix(7), SO_PEERCRED)."""
    _, user, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(user)
