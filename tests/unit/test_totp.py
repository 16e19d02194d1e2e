"""One-time codes."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.inbound.totp import STEP_S, code_at, read_key, step_of

RFC = b"12345678901234567890"  # RFC 6238, appendix B
keys = st.binary(min_size=16, max_size=64)
moments = st.integers(STEP_S, 10**10)


@pytest.mark.parametrize(
    ("now_s", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_codes_are_those_of_the_standard(now_s: int, code: str) -> None:
    assert code_at(RFC, now_s // STEP_S) == code
    assert step_of(RFC, f" {code[:3]} {code[3:]} ", now_s) == now_s // STEP_S


@given(keys, moments, st.integers(-4, 4))
def test_a_code_holds_for_one_step_around_its_own(key: bytes, now_s: int, off: int) -> None:
    step = now_s // STEP_S + off
    if step < 0:
        return
    found = step_of(key, code_at(key, step), now_s)
    same = [code_at(key, now_s // STEP_S + each) for each in (-1, 0, 1)].count(code_at(key, step))
    if abs(off) <= 1:
        assert found == step or same > 1
    else:
        assert found is None or same


@given(keys, moments, st.text("0123456789 x", max_size=10))
def test_nothing_else_is_a_code(key: bytes, now_s: int, code: str) -> None:
    around = [code_at(key, now_s // STEP_S + each) for each in (-1, 0, 1)]
    assert (step_of(key, code, now_s) is None) == ("".join(code.split()) not in around)


@given(keys)
def test_a_key_is_read_as_apps_write_it(key: bytes) -> None:
    text = base64.b32encode(key).decode()
    assert read_key(text) == key
    plain = text.rstrip("=").lower()
    grouped = " ".join(plain[at : at + 4] for at in range(0, len(plain), 4))
    assert read_key(grouped) == key
    assert read_key(grouped.replace(" ", "-")) == key


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "0 bytes"),
        ("JBSWY3DPEHPK3PXP", "10 bytes.* 26 characters"),
        ("A" * 400, "250 bytes"),
        ("0189" * 8, "not base32"),
        ("ÄÖÜ" * 8, "not base32"),
    ],
)
def test_what_is_no_key_is_refused_and_not_told(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong) as told:
        read_key(text)
    assert not text or text not in str(told.value)
