"""A client that sends whatever a test wants over SFTP, and reads the answers one by one."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import paramiko
from patient_ssh import transport_to
from sftp_requests import extended, framed, request, text, u32

STATUS, HANDLE, DATA, NAME, ATTRS, EXTENDED_REPLY = 101, 102, 103, 104, 105, 201


@dataclass
class RawAnswer:
    """An answer: its sort, its number, and what follows."""

    sort: int
    number: int
    rest: bytes

    @property
    def status(self) -> int:
        """The code of a STATUS."""
        assert self.sort == STATUS, self
        return int.from_bytes(self.rest[:4], "big")

    @property
    def said(self) -> str:
        """What a STATUS says to people."""
        assert self.sort == STATUS, self
        return self.text(4)

    @property
    def handle(self) -> bytes:
        assert self.sort == HANDLE, (self.sort, self.said)
        return self.rest[4:]

    @property
    def data(self) -> bytes:
        assert self.sort == DATA, (self.sort, self.said)
        return self.rest[4:]

    def text(self, at: int) -> str:
        length = int.from_bytes(self.rest[at : at + 4], "big")
        return self.rest[at + 4 : at + 4 + length].decode("utf-8")


@dataclass
class RawSftp:
    """One session over a channel, of which nothing is checked."""

    channel: paramiko.Channel
    _buffer: bytearray = field(default_factory=bytearray)
    _number: int = 0

    def send(self, *packets: bytes) -> None:
        self.channel.sendall(b"".join(map(framed, packets)))

    def receive(self) -> RawAnswer:
        """Return the next answer; EOFError at the end."""
        length = int.from_bytes(self._take(4), "big")
        sort, number = struct.unpack(">BI", self._take(5))
        return RawAnswer(sort, number, self._take(length - 5))

    def ask(self, sort: int, *fields: bytes) -> RawAnswer:
        self._number += 1
        self.send(request(sort, *fields, number=self._number))
        return self._answered()

    def extended(self, name: str, *fields: bytes) -> RawAnswer:
        self._number += 1
        self.send(extended(name, *fields, number=self._number))
        return self._answered()

    def open(self, path: str, flags: int = 0x01) -> bytes:
        return self.ask(3, text(path), u32(flags), u32(0)).handle

    def is_over(self) -> bool:
        """Wait until the server ends the session; what comes before is passed over."""
        while self.channel.recv(1 << 20):
            pass
        return True

    def _answered(self) -> RawAnswer:
        answer = self.receive()
        assert answer.number == self._number
        return answer

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            piece = self.channel.recv(1 << 20)
            if not piece:
                raise EOFError
            self._buffer += piece
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


@contextmanager
def raw_transport(port: int) -> Iterator[paramiko.Transport]:
    """Connect and log in."""
    transport = transport_to(port)
    transport.connect(username="acme", password="any")
    try:
        yield transport
    finally:
        transport.close()


def raw_session(transport: paramiko.Transport, *, begun: bool = True) -> RawSftp:
    """Begin a session; ``begun``: the version is agreed on."""
    channel = transport.open_session()
    channel.settimeout(60)
    channel.invoke_subsystem("sftp")
    client = RawSftp(channel)
    if begun:
        client.send(request(1, number=3))
        assert client.receive().number == 3
    return client
