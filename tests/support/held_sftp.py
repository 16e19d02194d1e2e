"""Stand between sshd and the real sftp-server, and hold back a rename: ``held_sftp.py CONTROL SERVER WORDS…``.

A file ``hold`` in the folder CONTROL tells what is held back of the next rename: its ``request``, before the server
has seen it, or its ``reply``, after the server has carried it out. Who renames ``hold`` has taken that on; ``held`` is
there once it is so, with the client's address; ``go`` lets it go on, and ``outcome`` then has the number of the status
that the server gave.

A file ``slow`` has how many milliseconds a rename takes at the most, before and after it: so that what is killed at
random is often killed right there.
"""

import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import BinaryIO, Final, NoReturn

_RENAME: Final = 18
_STATUS: Final = 101
_EXTENDED: Final = 200


def packets(stream: BinaryIO) -> Iterator[bytes]:
    """Give the packets of SFTP, without their lengths."""
    while len(head := stream.read(4)) == 4:
        yield stream.read(*struct.unpack(">I", head))


def is_rename(packet: bytes) -> bool:
    return packet[0] == _RENAME or (packet[0] == _EXTENDED and b"posix-rename@" in packet[5:40])


class Relay:
    """One session."""

    def __init__(self, control: Path, server: "subprocess.Popen[bytes]") -> None:
        self._control = control
        self._server = server
        self._pause, self._answered = Event(), Event()
        self._held: bytes | None = None  # the number of the request whose reply is held back
        self._told: bytes | None = None  # of the one whose outcome is told
        self._slow: set[bytes] = set()

    def up(self, source: BinaryIO, target: BinaryIO) -> None:
        """Pass on what the client asks."""
        for packet in packets(source):
            if is_rename(packet):
                self._before(packet[1:5])
            _send(target, packet)
            if packet[1:5] == self._told:
                self._answered.wait(10)  # a server whose client is gone does not answer any more
        target.close()

    def down(self, source: BinaryIO, target: BinaryIO) -> None:
        """Pass on what the server answers."""
        for packet in packets(source):
            number = packet[1:5]
            if number in self._slow:
                self._slow.discard(number)
                self._take_time()
            if number == self._held:
                self._hold()
            if number == self._told and packet[0] == _STATUS:
                (status,) = struct.unpack(">I", packet[5:9])
                self._write("outcome", str(status))
                self._told = None
                self._answered.set()
            with suppress(
                OSError
            ):  # a client that is gone; what the server says of a held rename is told all the same
                _send(target, packet)

    def _before(self, number: bytes) -> None:
        if (self._control / "slow").exists():
            self._slow.add(number)
            self._take_time()
        with suppress(FileNotFoundError):
            taken = (self._control / "hold").rename(self._control / f"taken-{os.getpid()}")
            self._told = number
            if taken.read_text(encoding="ascii") == "reply":
                self._held = number
            else:
                self._hold()

    def _hold(self) -> None:
        self._held = None
        self._write("held", os.environ["SSH_CONNECTION"].split()[0])
        while (self._control / "held").exists() and not (self._control / "go").exists():
            self._pause.wait(0.01)

    def _take_time(self) -> None:
        with suppress(FileNotFoundError, ValueError):
            most_ms = float((self._control / "slow").read_text(encoding="ascii"))
            self._pause.wait(random.random() * most_ms / 1000)

    def _write(self, name: str, text: str) -> None:
        fresh = self._control / f".{name}-{os.getpid()}"
        fresh.write_text(text, encoding="ascii")
        fresh.rename(self._control / name)


def _send(target: BinaryIO, packet: bytes) -> None:
    target.write(struct.pack(">I", len(packet)) + packet)
    target.flush()


def _quietly(
    work: Callable[[BinaryIO, BinaryIO], None], source: BinaryIO, target: BinaryIO
) -> None:
    with suppress(OSError, ValueError):
        work(source, target)


def main() -> NoReturn:
    control, *command = sys.argv[1:]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin is not None
    assert server.stdout is not None
    relay = Relay(Path(control), server)
    up = (relay.up, sys.stdin.buffer, server.stdin)
    Thread(target=_quietly, args=up, daemon=True).start()
    _quietly(relay.down, server.stdout, sys.stdout.buffer)  # type: ignore[arg-type]  # it reads
    server.kill()
    os._exit(server.wait() and 1)


if __name__ == "__main__":
    main()
