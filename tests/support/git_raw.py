"""Git's wire format built by hand, for what no honest client sends."""

import hashlib
import http.client
import zlib
from urllib.parse import urlsplit

ZERO = "0" * 40
WHO = b"Ann <ann@example.org> 1795000000 +0000"
KINDS = {b"commit": 1, b"tree": 2, b"blob": 3, b"tag": 4}

Raw = tuple[bytes, bytes]
"""An object: its kind and its content."""


def oid(raw: Raw) -> str:
    """Return the id of an object."""
    kind, content = raw
    return hashlib.sha1(b"%s %d\0%s" % (kind, len(content), content)).hexdigest()


def blob(content: bytes) -> Raw:
    """Return a blob."""
    return b"blob", content


def tree(*entries: tuple[str, bytes, str]) -> Raw:
    """Return a tree of (mode, name, id) in the order given."""
    return b"tree", b"".join(
        b"%s %s\0%s" % (mode.encode(), name, bytes.fromhex(child)) for mode, name, child in entries
    )


def commit(root: str, *parents: str) -> Raw:
    """Return a commit of the tree ``root``."""
    lines = [f"tree {root}".encode(), *(f"parent {parent}".encode() for parent in parents)]
    return b"commit", b"\n".join([*lines, b"author " + WHO, b"committer " + WHO, b"", b"by hand\n"])


def head(kind: int, size: int) -> bytes:
    """Return the header of an object in a pack."""
    out, byte, size = bytearray(), (kind << 4) | (size & 15), size >> 4
    while size:
        out.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    return bytes([*out, byte])


def pack(*objects: Raw) -> bytes:
    """Return a pack of whole objects."""
    return pack_of(
        *(head(KINDS[kind], len(content)) + zlib.compress(content) for kind, content in objects)
    )


def pack_of(*entries: bytes) -> bytes:
    """Return a pack of ready entries."""
    body = b"PACK" + (2).to_bytes(4) + len(entries).to_bytes(4) + b"".join(entries)
    return body + hashlib.sha1(body).digest()


def line(text: bytes) -> bytes:
    """Return a pkt-line."""
    return b"%04x%s" % (len(text) + 4, text)


def push_body(*commands: tuple[str, str, str], content: bytes, caps: str = "") -> bytes:
    """Return the body of a push of (old, new, ref) with a pack."""
    first, *rest = [f"{old} {new} {ref}".encode() for old, new, ref in commands]
    offered = b"\0 report-status side-band-64k " + caps.encode()
    return b"".join([line(first + offered), *map(line, rest), b"0000", content])


def request(
    url: str, method: str, path: str, *, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """Send one request below ``url`` and return status and body."""
    target = urlsplit(url)
    assert target.hostname is not None
    connection = http.client.HTTPConnection(target.hostname, target.port, timeout=60)
    try:
        connection.request(method, target.path + path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def post(
    url: str, service: str, body: bytes, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """Send the body of a service request."""
    kind = {"Content-Type": f"application/x-{service}-request"}
    return request(url, "POST", f"/{service}", body=body, headers={**kind, **(headers or {})})


def push(url: str, *commands: tuple[str, str, str], content: bytes, caps: str = "") -> str:
    """Push (old, new, ref) with a pack; return everything that came back as text."""
    status, answer = post(url, "git-receive-pack", push_body(*commands, content=content, caps=caps))
    assert status == 200, answer
    return answer.decode("utf-8", "replace")
