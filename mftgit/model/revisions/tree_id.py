"""The id that git gives to a folder of plain files, worked out from the ids of the files alone."""

import hashlib
from collections.abc import Mapping


def tree_id(files: Mapping[str, str]) -> str:
    """Return git's id of the tree that holds ``files``: the id of each content by its path, all of mode 100644."""
    inside: dict[str, str] = {}
    below: dict[str, dict[str, str]] = {}
    for path, oid in files.items():
        folder, slash, rest = path.partition("/")
        if slash:
            below.setdefault(folder, {})[rest] = oid
        else:
            inside[path] = oid
    # Git orders folders as if their names ended with a slash (git's base_name_compare).
    rows = [(_bytes(name), b"100644 " + _bytes(name), oid) for name, oid in inside.items()]
    rows += [
        (_bytes(name) + b"/", b"40000 " + _bytes(name), tree_id(rest))
        for name, rest in below.items()
    ]
    body = b"".join(line + b"\0" + bytes.fromhex(oid) for _, line, oid in sorted(rows))
    return object_id("tree", body)


def object_id(kind: str, body: bytes) -> str:
    """Return git's id of an object."""
    head = f"{kind} {len(body)}\0".encode()
    return hashlib.sha1(head + body, usedforsecurity=False).hexdigest()


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
