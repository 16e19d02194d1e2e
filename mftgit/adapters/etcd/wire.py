"""Transactions of etcd as its JSON gateway has them, and what it answers."""

import base64
from collections.abc import Iterator
from typing import Any

from mftgit.model.ownership.etcd_values import Entry

Operation = dict[str, Any]

_DESCENDING, _BY_CHANGE = 2, 3  # of etcd's RangeRequest: SortOrder, SortTarget


def state(says: Any) -> tuple[int, tuple[int, int]]:
    """Return how many keys there are, the revision of the last change that lasts, and by which lease of etcd's.

    Leases of etcd's never come again, and revisions do where etcd is restored from a copy.
    """
    changed = [
        (int(each["mod_revision"]), int(each.get("lease", 0))) for each in says.get("kvs", [])
    ]
    return int(says.get("count", 0)), max(changed, default=(0, 0))


def entries(found: Any, prefix: str) -> Iterator[Entry]:
    """Give the keys that were ``found``, without ``prefix``."""
    for each in found.get("kvs", []):
        yield Entry(
            key=_text(each["key"]).removeprefix(prefix),
            value=base64.b64decode(each.get("value", "")),
            created=int(each["create_revision"]),
            changed=int(each["mod_revision"]),
        )


def _text(value: str) -> str:
    return base64.b64decode(value).decode(errors="surrogatepass")


def in_base64(value: bytes) -> str:
    """Return ``value`` as the gateway takes keys and values."""
    return base64.b64encode(value).decode()


def created_at(key: bytes, revision: int) -> Operation:
    """Return the condition that ``key`` was created at ``revision``; 0: it is not there."""
    return {
        "key": in_base64(key),
        "target": "CREATE",
        "result": "EQUAL",
        "create_revision": revision,
    }


def changed_at(key: bytes, revision: int) -> Operation:
    """Return the condition that ``key`` was changed last at ``revision``; 0: it is not there."""
    return {"key": in_base64(key), "target": "MOD", "result": "EQUAL", "mod_revision": revision}


def transaction(
    compare: list[Operation], success: list[Operation], failure: list[Operation]
) -> Operation:
    """Return what is done together, depending on whether all of ``compare`` holds."""
    return {"compare": compare, "success": success, "failure": failure}


def nested(
    compare: list[Operation], success: list[Operation], failure: list[Operation]
) -> Operation:
    """Return a transaction within another: what it does depends on no other one."""
    return {"request_txn": transaction(compare, success, failure)}


def put(key: bytes, value: bytes, lease: int = 0) -> Operation:
    """Return that ``key`` is to have ``value``, and to end with ``lease``, which has to be there."""
    return {"request_put": {"key": in_base64(key), "value": in_base64(value), "lease": lease}}


def delete(key: bytes) -> Operation:
    """Return that ``key`` is to be removed, if it is there."""
    return {"request_delete_range": {"key": in_base64(key)}}


def read(key: bytes) -> Operation:
    """Return that ``key`` is to be read."""
    return {"request_range": {"key": in_base64(key)}}


def read_range(keys: tuple[bytes, bytes]) -> Operation:
    """Return that all of ``keys`` are to be read, from the first one on to before the second one."""
    return {"request_range": _range(keys)}


def read_newest(keys: tuple[bytes, bytes]) -> Operation:
    """Return that the newest change of ``keys`` and their number are to be read, for `state`."""
    newest = {
        "limit": 1,
        "keys_only": True,
        "sort_order": _DESCENDING,
        "sort_target": _BY_CHANGE,
    }
    return {"request_range": _range(keys) | newest}


def _range(keys: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"key": in_base64(keys[0]), "range_end": in_base64(keys[1])}
