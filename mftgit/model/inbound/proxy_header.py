"""The header by which a load balancer tells whom it forwards: the PROXY protocol of haproxy's proxy-protocol.txt.

Only what can come before a TCP connection is taken. What a header of version 2 says beyond the addresses is passed
over.
"""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from mftgit.model.inbound.visitor import Address, Visitor, plain

MAX_BYTES: Final = 536
"""More of a header is not read: version 2 has 16 bytes, addresses of 36, and here up to 484 of what follows."""

_MAX_LINE_BYTES: Final = 107  # 2.1, with the end of the line
_FIRST: Final = b"PROXY "
_SECOND: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_WORDS: Final = 6
_FIXED_BYTES: Final = 16
_LOCAL: Final = 0x20
_PROXY: Final = 0x21
_UNSPECIFIED: Final = 0x00
_TCP4: Final = 0x11
_TCP6: Final = 0x21
_PORT: Final = re.compile("0|[1-9][0-9]{0,4}")
_SIZES: Final = {_TCP4: 4, _TCP6: 16}
_MAX_PORT: Final = 0xFFFF


def extent(seen: bytes) -> int | None:
    """Return how long the header is that ``seen`` begins with; None where that is not told yet: all is part of it.

    Raises:
        ValueError: ``seen`` begins with no header, or with one that is too long.
    """
    if seen.startswith(_SECOND[: len(seen)]):
        if len(seen) < _FIXED_BYTES:
            return None
        length = _FIXED_BYTES + int.from_bytes(seen[14:16])
        if length > MAX_BYTES:
            raise ValueError(f"a header of {length:,} bytes; {MAX_BYTES} are taken")
        return length
    if not seen.startswith(_FIRST[: len(seen)]):
        raise ValueError("no header of the PROXY protocol")
    end = seen.find(b"\r\n", 0, _MAX_LINE_BYTES)
    if end < 0 and len(seen) >= _MAX_LINE_BYTES:
        raise ValueError(f"a header of more than {_MAX_LINE_BYTES} bytes in a line")
    return None if end < 0 else end + 2


def read_header(header: bytes) -> Visitor | None:
    """Return who is forwarded; None where the balancer speaks for itself, or does not know.

    Raises:
        ValueError: ``header`` is none, as a whole.
    """
    if extent(header) != len(header):
        raise ValueError("no whole header of the PROXY protocol")
    return _second(header) if header.startswith(_SECOND) else _first(header)


def _first(header: bytes) -> Visitor | None:
    words = header.decode("ascii", "replace").removesuffix("\r\n").split(" ")
    if words[1] == "UNKNOWN":
        return None
    if len(words) != _WORDS or words[1] not in {"TCP4", "TCP6"}:
        raise ValueError("not TCP4, TCP6 or UNKNOWN with two addresses and two ports")
    source, _ = _address(words[1], words[2]), _address(words[1], words[3])
    port, _ = _port(words[4]), _port(words[5])
    return _visitor(source, port)


def _address(kind: str, text: str) -> Address:
    try:
        return IPv4Address(text) if kind == "TCP4" else IPv6Address(text.replace("%", " "))
    except AddressValueError:
        raise ValueError(f"an address that is none of {kind}") from None


def _second(header: bytes) -> Visitor | None:
    command, family, content = header[12], header[13], header[_FIXED_BYTES:]
    if command == _LOCAL:
        return None
    if command != _PROXY:
        raise ValueError(f"version and command {command:#04x}; expected 0x20 or 0x21")
    if family == _UNSPECIFIED:
        return None
    if family not in _SIZES:
        raise ValueError(f"family and protocol {family:#04x}; expected TCP over IPv4 or IPv6")
    size = _SIZES[family]
    if len(content) < 2 * size + 4:
        raise ValueError("it ends before its addresses do")
    source = IPv4Address(content[:size]) if family == _TCP4 else IPv6Address(content[:size])
    return _visitor(source, int.from_bytes(content[2 * size : 2 * size + 2]))


def _port(word: str) -> int:
    if not _PORT.fullmatch(word) or int(word) > _MAX_PORT:
        raise ValueError("a port that is none")
    return int(word)


def _visitor(source: Address, port: int) -> Visitor:
    return Visitor(address=plain(source), port=port)
