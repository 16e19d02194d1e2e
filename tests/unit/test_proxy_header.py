"""What load balancers say of whom they forward."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.inbound.proxy_header import MAX_BYTES, extent, read_header

SECOND = b"\r\n\r\n\x00\r\nQUIT\n"
ports = st.integers(0, 65535)


def _second(command: int, family: int, content: bytes) -> bytes:
    return SECOND + bytes((command, family)) + len(content).to_bytes(2) + content


@pytest.mark.parametrize(
    ("header", "source", "port"),
    [
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 22\r\n", "192.0.2.7", 50000),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 1 22\r\n", "2001:db8::7", 1),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 0 22\r\n", "192.0.2.7", 0),
        (_second(0x21, 0x11, bytes((192, 0, 2, 7, 1, 2, 3, 4, 1, 0, 0, 22))), "192.0.2.7", 256),
        (
            _second(0x21, 0x11, bytes((192, 0, 2, 7, 1, 2, 3, 4, 1, 0, 0, 22)) + b"\x04\0\1x"),
            "192.0.2.7",
            256,
        ),
        (
            _second(0x21, 0x21, IPv6Address("2001:db8::7").packed * 2 + b"\0\7\0\7"),
            "2001:db8::7",
            7,
        ),
    ],
)
def test_a_header_tells_who_is_forwarded(header: bytes, source: str, port: int) -> None:
    visitor = read_header(header)
    assert visitor is not None
    assert (visitor.source, visitor.port) == (source, port)


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
        _second(0x20, 0x00, b""),
        _second(0x20, 0x11, b"anything"),
        _second(0x21, 0x00, b"anything"),
    ],
)
def test_a_balancer_may_speak_for_itself(header: bytes) -> None:
    assert read_header(header) is None


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"GET / HTTP/1.1\r\n",
        b"PROXY\r\n",
        b"PROXY \r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 50000\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 22 \r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 22",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 22\n",
        b"PROXY TCP4  192.0.2.7 198.51.100.1 50000 22\r\n",
        b"PROXY TCP4 192.0.2.07 198.51.100.1 50000 22\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 1 22\r\n",
        b"PROXY TCP6 192.0.2.7 198.51.100.1 50000 22\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 22\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 050 22\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 -1 22\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 ٣ 22\r\n".encode(),
        b"PROXY TCP6 fe80::7%eth0 fe80::1 50000 22\r\n",
        b"PROXY UDP4 192.0.2.7 198.51.100.1 1 22\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 22\r\nSSH-2.0-x\r\n",
        b"PROXY UNKNOWN " + b"x" * 100 + b"\r\n",
        _second(0x22, 0x11, bytes(12)),
        _second(0x11, 0x11, bytes(12)),
        _second(0x21, 0x12, bytes(12)),
        _second(0x21, 0x31, bytes(216)),
        _second(0x21, 0x11, bytes(11)),
        _second(0x21, 0x21, bytes(35)),
        _second(0x21, 0x11, bytes(12))[:-1],
        _second(0x21, 0x11, bytes(MAX_BYTES)),
    ],
)
def test_anything_else_is_no_header(header: bytes) -> None:
    with pytest.raises(ValueError, match=r"header|address|port|TCP|command"):
        read_header(header)


@given(st.ip_addresses(), st.ip_addresses(), ports, ports, st.binary(max_size=480))
def test_addresses_come_through_both_versions(
    source: IPv4Address | IPv6Address,
    target: IPv4Address | IPv6Address,
    port: int,
    own: int,
    rest: bytes,
) -> None:
    if source.version != target.version:
        return
    kind, family = ("TCP4", 0x11) if source.version == 4 else ("TCP6", 0x21)
    ends = port.to_bytes(2) + own.to_bytes(2)
    for header in (
        f"PROXY {kind} {source} {target} {port} {own}\r\n".encode(),
        _second(0x21, family, source.packed + target.packed + ends + rest),
    ):
        assert extent(header + b"SSH-2.0") == len(header)
        assert all(extent(header[:at]) in {None, len(header)} for at in range(len(header)))
        visitor = read_header(header)
        assert visitor is not None
        mapped = source.ipv4_mapped if isinstance(source, IPv6Address) else None
        assert (visitor.address, visitor.port) == (mapped or source, port)


@given(st.one_of(st.binary(max_size=600), st.binary(max_size=600).map(lambda end: SECOND + end)))
def test_whatever_comes_is_a_header_a_beginning_of_one_or_refused(seen: bytes) -> None:
    try:
        length = extent(seen)
    except ValueError:
        return
    assert (length or 0) <= MAX_BYTES
    if length is None:
        assert len(seen) < 107
