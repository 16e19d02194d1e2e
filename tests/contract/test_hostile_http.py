"""Requests that break the rules of HTTP or TLS, to a controller that runs as a process (RFC 9112, RFC 8996)."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress

import pytest
from outside import HERE, Outside, outside

SMALL_MIB = 64
MIB = 1 << 20
AT_ONCE_S = 9
"""Shorter than what is granted to a client that says nothing, longer than a busy machine needs."""

SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
HEALTHY = b'"healthy"'
JOIN = b"POST /api/join HTTP/1.1\r\nHost: x\r\n"
ANSWER = b"HTTP/1.1 "


pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with outside(tmp_path_factory.mktemp("hostile")) as running:
        for _ in range(20):
            running.ask("GET", "/api/head")
        yield running


def said(wire: ssl.SSLSocket) -> bytes:
    """Return all that comes until the server ends the connection, which it has to do by itself, and at once."""
    heard = bytearray()
    wire.settimeout(AT_ONCE_S)
    with suppress(ConnectionError, ssl.SSLError):
        while part := wire.recv(1 << 16):
            heard += part
    return bytes(heard)


def send(wire: ssl.SSLSocket, content: bytes) -> bool:
    """Send as much as the server takes; tell whether that was all."""
    try:
        wire.sendall(content)
    except OSError as error:
        if isinstance(error, TimeoutError):
            raise
        return False
    return True


# Where one request ends and the next begins

CHUNKED = b"Transfer-Encoding: chunked\r\n"
ENDS = b"0\r\n\r\n"
UNCLEAR = {
    "both lengths, the chunks shorter": JOIN + CHUNKED + b"Content-Length: 99\r\n\r\n" + ENDS,
    "both lengths, the chunks longer": JOIN + b"Content-Length: 0\r\n" + CHUNKED + b"\r\n" + ENDS,
    "two lengths": JOIN + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
    "two lengths in one": JOIN + b"Content-Length: 0, 5\r\n\r\n",
    "a length with a plus": JOIN + b"Content-Length: +0\r\n\r\n",
    "a length below zero": JOIN + b"Content-Length: -1\r\n\r\n",
    "a length in hexadecimal": JOIN + b"Content-Length: 0x0\r\n\r\n",
    "a length with an underscore": JOIN + b"Content-Length: 0_0\r\n\r\n",
    "a length of other digits": JOIN + "Content-Length: \u0661\r\n\r\n".encode(),
    "a length with a space in it": JOIN + b"Content-Length: 0 0\r\n\r\n",
    "no length": JOIN + b"Content-Length:\r\n\r\n",
    "a length of a thousand digits": JOIN + b"Content-Length: " + b"9" * 1000 + b"\r\n\r\n",
    "a space before the colon": JOIN + b"Content-Length : 0\r\n\r\n",
    "a space before the colon of chunks": JOIN + b"Transfer-Encoding : chunked\r\n\r\n" + ENDS,
    "chunks twice": JOIN + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + ENDS,
    "chunks in two headers": JOIN + CHUNKED + CHUNKED + b"\r\n" + ENDS,
    "something in chunks": JOIN + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + ENDS,
    "chunks in something": JOIN + b"Transfer-Encoding: chunked, gzip\r\n\r\n" + ENDS,
    "identity": JOIN + b"Transfer-Encoding: identity\r\n\r\n",
    "chunks and identity": JOIN + b"Transfer-Encoding: chunked, identity\r\n\r\n" + ENDS,
    "almost chunked": JOIN + b"Transfer-Encoding: xchunked\r\n\r\n" + ENDS,
    "chunked with a vertical tab": JOIN + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + ENDS,
    "quoted": JOIN + b'Transfer-Encoding: "chunked"\r\n\r\n' + ENDS,
    "a zero in a header": JOIN + b"X: a\0b\r\nContent-Length: 0\r\n\r\n",
    "a bare return in a header": JOIN + b"X: a\rContent-Length: 5\r\n\r\n",
    "a header without a colon": JOIN + b"Nonsense\r\nContent-Length: 0\r\n\r\n",
    "a header without a name": JOIN + b": x\r\nContent-Length: 0\r\n\r\n",
    "a control character in a name": JOIN + b"X\x01: x\r\nContent-Length: 0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /api/join HTTP/1.0\r\nHost: x\r\n" + CHUNKED + b"\r\n" + ENDS,
    "no host": b"POST /api/join HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "two hosts": JOIN + b"Host: y\r\nContent-Length: 0\r\n\r\n",
    "a length after chunks": JOIN + CHUNKED + b"\r\n0\r\nContent-Length: 9\r\n\r\n",
    "a space in the path": b"POST /api/ join HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "a control character in the path": b"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
    "no version": b"GET /nowhere\r\n\r\n",
    "another version": b"GET /nowhere HTTP/9.9\r\nHost: x\r\n\r\n",
    "HTTP/2's beginning": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "noise": bytes(range(256)) * 4 + b"\r\n\r\n",
    "a size with a minus": JOIN + CHUNKED + b"\r\n-1\r\nx\r\n" + ENDS,
    "a size with a plus": JOIN + CHUNKED + b"\r\n+1\r\nx\r\n" + ENDS,
    "a size with 0x": JOIN + CHUNKED + b"\r\n0x1\r\nx\r\n" + ENDS,
    "a size with an underscore": JOIN + CHUNKED + b"\r\n0_1\r\nx\r\n" + ENDS,
    "a size with a space before it": JOIN + CHUNKED + b"\r\n 1\r\nx\r\n" + ENDS,
    "no size": JOIN + CHUNKED + b"\r\n\r\nx\r\n" + ENDS,
    "a size that is no number": JOIN + CHUNKED + b"\r\ng\r\nx\r\n" + ENDS,
    "a size of a thousand digits": JOIN + CHUNKED + b"\r\n" + b"f" * 1000 + b"\r\nx\r\n" + ENDS,
    "a chunk longer than its size": JOIN + CHUNKED + b"\r\n1\r\nxyz\r\n" + ENDS,
    "a chunk shorter than its size": JOIN + CHUNKED + b"\r\n5\r\nx\r\n" + ENDS,
    "a bare line feed after a size": JOIN + CHUNKED + b"\r\n1\nx\r\n" + ENDS,
    "a bare line feed after a chunk": JOIN + CHUNKED + b"\r\n1\r\nx\n" + ENDS,
    "a bare line feed in an extension": JOIN + CHUNKED + b"\r\n1;a\nb\r\nx\r\n" + ENDS,
    "a bare return after a size": JOIN + CHUNKED + b"\r\n1\rx\r\n" + ENDS,
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_what_follows_a_request_whose_end_is_unclear_is_not_taken_for_a_request(
    served: Outside, case: str
) -> None:
    wire = served.secure()
    send(wire, UNCLEAR[case] + SMUGGLED)
    heard = said(wire)
    assert HEALTHY not in heard
    assert heard.count(ANSWER) <= 1
    assert not heard.startswith(b"HTTP/1.1 2")
    assert served.ask("GET", "/healthz").status == 200


CLEAR = {
    "a length": JOIN + b"Content-Length: 2\r\n\r\n{}",
    "chunks": JOIN + CHUNKED + b"\r\n1\r\n{\r\n1\r\n}\r\n" + ENDS,
    "a size with zeros before it": JOIN + CHUNKED + b"\r\n0002\r\n{}\r\n" + ENDS,
    "a size in upper case": JOIN + CHUNKED + b"\r\nA\r\n{        }\r\n" + ENDS,
    "small extensions": JOIN + CHUNKED + b"\r\n2;a=b;c\r\n{}\r\n0;d\r\n\r\n",
    "trailers": JOIN + CHUNKED + b"\r\n2\r\n{}\r\n0\r\nX: 9\r\nHost: y\r\n\r\n",
    "no body": b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("case", CLEAR)
def test_what_follows_a_request_whose_end_is_clear_is_answered_after_it(
    served: Outside, case: str
) -> None:
    wire = served.secure()
    send(wire, CLEAR[case] + SMUGGLED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    heard = said(wire)
    assert heard.count(ANSWER) == 2
    assert heard.endswith(b"}")
    assert HEALTHY in heard.rpartition(ANSWER)[2]


# Too much of something

TOO_MUCH = {
    "a path without an end": (b"GET /", b"x"),
    "a header without an end": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ", b"x"),
    "headers without an end": (b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n"),
    "empty lines without an end": (b"", b"\r\n"),
    "a method without an end": (b"", b"G"),
    "an extension without an end": (JOIN + CHUNKED + b"\r\n1;", b"x"),
    "a size without an end": (JOIN + CHUNKED + b"\r\n", b"0"),
    "trailers without an end": (JOIN + CHUNKED + b"\r\n0\r\n", b"X: y\r\n"),
    "a trailer without an end": (JOIN + CHUNKED + b"\r\n0\r\nX: ", b"x"),
}


@pytest.mark.parametrize("case", TOO_MUCH)
def test_what_does_not_end_is_cut_off_and_costs_little(served: Outside, case: str) -> None:
    begin, more = TOO_MUCH[case]
    part = more * (MIB // len(more))
    with served.unharmed(mib=SMALL_MIB):
        wire = served.secure()
        assert send(wire, begin)
        assert not all(send(wire, part) for _ in range(16))


WITHOUT_END = {
    "small chunks without an end": (JOIN + CHUNKED + b"\r\n", b"1\r\nx\r\n"),
    "extensions without an end": (JOIN + CHUNKED + b"\r\n", b"1;" + b"y" * 1000 + b"\r\nx\r\n"),
    "a chunk of 4 GiB": (JOIN + CHUNKED + b"\r\nffffffff\r\n", b"x"),
    "a body of 4 GiB": (JOIN + b"Content-Length: 4294967296\r\n\r\n", b"x"),
    "a body without a login": (
        b"POST /config.git/git-receive-pack HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n",
        b"x",
    ),
    "a body to nowhere": (
        b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n",
        b"x",
    ),
    "a chunk of 2^64 bytes": (JOIN + CHUNKED + b"\r\n10000000000000000\r\n", b"x"),
    "a chunk of 2^64 + 1 bytes": (JOIN + CHUNKED + b"\r\n10000000000000001\r\n", b"x"),
    "a body of 2^64 bytes": (JOIN + b"Content-Length: 18446744073709551616\r\n\r\n", b"x"),
}


@pytest.mark.parametrize("case", WITHOUT_END)
def test_a_body_that_does_not_end_is_refused_and_costs_little(served: Outside, case: str) -> None:
    begin, more = WITHOUT_END[case]
    part = more * (MIB // len(more))
    with served.unharmed(mib=SMALL_MIB):
        wire = served.secure()
        all(send(wire, content) for content in (begin, *[part] * 16, ENDS))
        heard = b""
        with suppress(ConnectionError, ssl.SSLError):
            heard = wire.recv(1 << 16)
    assert not heard or heard.startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nCookie: " + b"a=b; " * 50_000 + b"\r\n\r\n",
        b"GET /healthz?" + b"a=b&" * 50_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["line", "header", "headers", "cookie", "query"],
)
def test_a_head_that_is_too_large_is_refused(served: Outside, request_head: bytes) -> None:
    with served.unharmed(mib=SMALL_MIB):
        for _ in range(10):
            wire = served.secure()
            send(wire, request_head)
            heard = said(wire)
            assert heard == b"" or heard.startswith(b"HTTP/1.1 4")
            assert HEALTHY not in heard


# TLS


def weak(version: ssl.TLSVersion, ciphers: str) -> ssl.SSLContext:
    """Return a client that speaks this version and these ciphers only, as old clients did."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = version
    return context


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize(
    "version", [ssl.TLSVersion.SSLv3, ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1]
)
def test_old_versions_of_tls_are_refused(served: Outside, version: ssl.TLSVersion) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        served.secure(weak(version, "ALL"))


@pytest.mark.parametrize(
    "ciphers", ["aNULL", "eNULL", "kRSA", "SHA1", "CAMELLIA", "PSK", "RC4:3DES:DES:EXPORT:SEED"]
)
def test_weak_ciphers_are_refused(served: Outside, ciphers: str) -> None:
    try:
        context = weak(ssl.TLSVersion.TLSv1_2, ciphers)
    except ssl.SSLError:
        pytest.skip(f"this OpenSSL has none of {ciphers}")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        served.secure(context)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_what_is_left_of_tls_is_spoken(served: Outside, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=served.cluster.access["ca_file"])
    context.minimum_version = context.maximum_version = version
    assert served.secure(context).version() in {"TLSv1.2", "TLSv1.3"}


@pytest.mark.parametrize(
    "hello",
    [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 70_000, b"\x80" * 9000],
)
def test_what_is_no_tls_is_hung_up_on(served: Outside, hello: bytes) -> None:
    wire = served.plain()
    with suppress(ConnectionError):
        wire.sendall(hello)
        while wire.recv(1 << 16):
            pass
    assert served.ask("GET", "/healthz").status == 200


def test_a_port_is_open_to_nobody_who_only_connects(served: Outside) -> None:
    with served.unharmed(mib=SMALL_MIB):
        for _ in range(300):
            socket.create_connection((HERE, served.port)).close()
