"""A pack is looked over before anything expensive is done with it."""

import contextlib
import io
import zlib

import pytest
from git_raw import blob, head, pack, pack_of
from hypothesis import given
from hypothesis import strategies as st

from mftgit.adapters.git.pack import PackError, check_pack
from mftgit.model.revisions.limits import Limits

SMALL = Limits(max_objects=5, max_object_bytes=1000, max_inflated_bytes=2000)


def check(content: bytes, limits: Limits = SMALL) -> int:
    return check_pack(io.BytesIO(content), limits).objects


def delta(source: int, target: int, *, rest: bytes = b"") -> bytes:
    def size(value: int) -> bytes:
        out = bytearray()
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes([*out, value])

    return size(source) + size(target) + rest


def ref_delta(content: bytes) -> bytes:
    return head(7, len(content)) + b"\1" * 20 + zlib.compress(content)


def ofs_delta(content: bytes) -> bytes:
    return head(6, len(content)) + b"\x81\x05" + zlib.compress(content)


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_a_pack_within_the_limits_passes(contents: list[bytes]) -> None:
    assert check(pack(*map(blob, contents))) == len(contents)


@given(st.integers(max_value=200, min_value=0), st.binary(max_size=400), st.integers(0, 255))
def test_damage_is_a_pack_error_and_nothing_else(at: int, content: bytes, byte: int) -> None:
    good = bytearray(pack(blob(content), blob(b"second")))
    good[at % len(good)] = byte
    for damaged in (bytes(good), bytes(good[: at % len(good)])):
        with contextlib.suppress(PackError):
            check(damaged)


@given(st.binary(max_size=200))
def test_noise_is_a_pack_error_and_nothing_else(noise: bytes) -> None:
    with pytest.raises(PackError):
        check(pack()[:8] + b"\0\0\0\5" + noise[:20])


def test_deltas_count_with_what_they_make() -> None:
    small = delta(10, 900, rest=b"\x90\x05")
    assert check(pack_of(ref_delta(small), ofs_delta(small))) == 2
    with pytest.raises(
        PackError, match="inflates to at least 2,700 bytes, at most 2,000 are taken"
    ):
        check(pack_of(*[ofs_delta(small)] * 3))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ends too early"),
        (b"<!doctype html>", "no pack"),
        (pack(*[blob(b"%d" % n) for n in range(6)]), "6 objects, at most 5 are taken"),
        (
            pack(blob(bytes(1001))),
            "an object has 1,001 bytes, at most 1,000 are taken",
        ),
        (pack_of(ref_delta(delta(10, 1 << 40))), "at most 1,000 are taken"),
        (
            pack(*[blob(b"%d" % n + bytes(900)) for n in range(3)]),
            "inflates to at least 2,703 bytes, at most 2,000 are taken",
        ),
        (pack_of(head(3, 5) + zlib.compress(bytes(500_000))), "declared size is wrong"),
        (pack_of(head(3, 50) + zlib.compress(bytes(5))), "declared size is wrong"),
        (pack_of(head(3, 5) + b"no zlib here"), "does not inflate"),
        (pack_of(head(5, 5) + zlib.compress(bytes(5))), "unknown kind 5"),
        (pack_of(ref_delta(b"\x81")), "without its sizes"),
        (pack_of(b"\xff" * 20), "does not end"),
        (pack(blob(b"x"))[:14], "ends too early"),
    ],
)
def test_a_bad_pack_is_refused_with_its_reason(content: bytes, message: str) -> None:
    with pytest.raises(PackError, match=message):
        check(content)


def test_a_bomb_costs_no_more_than_its_declared_size() -> None:
    bomb = zlib.compress(bytes(50_000_000))
    with pytest.raises(PackError, match="declared size is wrong"):
        check(pack_of(head(3, 500) + bomb))
