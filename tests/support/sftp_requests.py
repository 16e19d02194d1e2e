"""Requests of SFTP as a client writes them, and what a hostile one makes of them."""

import random
import struct
from collections.abc import Iterator


def text(value: bytes | str) -> bytes:
    content = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    return struct.pack(">I", len(content)) + content


def u32(value: int) -> bytes:
    return struct.pack(">I", value)


def u64(value: int) -> bytes:
    return struct.pack(">Q", value)


def request(sort: int, *fields: bytes, number: int = 7) -> bytes:
    return b"".join((bytes((sort,)), u32(number), *fields))


def extended(name: str, *fields: bytes, number: int = 7) -> bytes:
    return request(200, text(name), *fields, number=number)


def framed(packet: bytes) -> bytes:
    return u32(len(packet)) + packet


NO_ATTRIBUTES = u32(0)
ALL_ATTRIBUTES = b"".join(
    (
        u32(0x8000000F),
        u64(12),
        u32(1000),
        u32(100),
        u32(0o640),
        u32(1_700_000_000),
        u32(1_700_000_001),
        u32(1),
        text("x@example.com"),
        text("y"),
    )
)

VALID = (
    request(1, number=3),
    request(3, text("/in/a.csv"), u32(0x1A), ALL_ATTRIBUTES),
    request(4, text(b"\0\0\0\1")),
    request(5, text(b"\0\0\0\1"), u64(32768), u32(32768)),
    request(6, text(b"\0\0\0\1"), u64(0), text(b"content" * 20)),
    request(7, text("/in")),
    request(8, text(b"\0\0\0\1")),
    request(9, text("/in/a.csv"), ALL_ATTRIBUTES),
    request(10, text(b"\0\0\0\1"), ALL_ATTRIBUTES),
    request(11, text("/in")),
    request(12, text(b"\0\0\0\1")),
    request(13, text("/in/a.csv")),
    request(14, text("/in/new"), NO_ATTRIBUTES),
    request(15, text("/in/old")),
    request(16, text(".")),
    request(17, text("/in")),
    request(18, text("/a"), text("/b")),
    request(19, text("/link")),
    request(20, text("/link"), text("/etc/passwd")),
    extended("posix-rename@openssh.com", text("/a"), text("/b")),
    extended("statvfs@openssh.com", text("/")),
    extended("fstatvfs@openssh.com", text(b"\0\0\0\1")),
    extended("fsync@openssh.com", text(b"\0\0\0\1")),
    extended("lsetstat@openssh.com", text("/a"), ALL_ATTRIBUTES),
    extended("limits@openssh.com"),
    extended("expand-path@openssh.com", text("~/in")),
    extended("hardlink@openssh.com", text("/a"), text("/b")),
    extended("copy-data", text(b"1"), u64(0), u64(0), text(b"2"), u64(0)),
    extended("home-directory", text("")),
    extended("users-groups-by-id@openssh.com", text(u32(0) + u32(7)), text(u32(0))),
    extended("check-file-name", text("/a"), text("md5,sha256"), u64(0), u64(0), u32(0)),
    extended("check-file-handle", text(b"1"), text("sha256"), u64(1), u64(2), u32(512)),
    extended("check-file", text(b"1"), text("sha256"), u64(0), u64(0), u32(0)),
)
"""One of each."""

_ODD = (0, 1, 0x7F, 0x80, 0xFF)
_ODD_NUMBERS = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def hostile(seed: int, count: int) -> Iterator[bytes]:
    """Give ``count`` packets: one in ten is nothing but chance, the others are requests that were spoilt."""
    chance = random.Random(seed)
    for _ in range(count):
        if chance.random() < 0.1:
            yield chance.randbytes(chance.randrange(64))
            continue
        packet = bytearray(chance.choice(VALID))
        for _ in range(chance.randrange(1, 4)):
            _spoil(packet, chance)
        yield bytes(packet)


def _spoil(packet: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(packet) + 1)
    match chance.randrange(6):
        case 0:
            packet[at : at + 1] = bytes((chance.choice(_ODD),))
        case 1:
            packet[at : at + 4] = u32(chance.choice(_ODD_NUMBERS))
        case 2:
            del packet[at:]
        case 3:
            del packet[at : at + chance.randrange(9)]
        case 4:
            packet[at:at] = chance.randbytes(chance.randrange(9))
        case _:
            other = chance.choice(VALID)
            packet[at:] = other[chance.randrange(len(other)) :]
