"""The fields of which messages of SSH are made (RFC 4251, 5)."""

import struct

_U32, _U64 = struct.Struct(">I"), struct.Struct(">Q")


def u32(value: int) -> bytes:
    """Return ``value`` as a uint32."""
    return _U32.pack(value)


def u64(value: int) -> bytes:
    """Return ``value`` as a uint64."""
    return _U64.pack(value)


def text(value: bytes) -> bytes:
    """Return ``value`` as a string: its length goes before it."""
    return u32(len(value)) + value
