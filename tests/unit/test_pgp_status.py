"""What gpg has to say before what it gives is used: all of it, once, in its order, and nothing that takes it back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.keys.pgp_status import (
    imported_keys,
    read_status,
    why_not_decrypted,
    why_not_made,
    why_not_verified,
)

KEY, OTHER = "9E68A6662B3CE5DC7673435683C397515DA024F9", "0" * 40
SIGNED = f"""\
[GNUPG:] PLAINTEXT 62 1795916892 data
[GNUPG:] PLAINTEXT_LENGTH 100000
[GNUPG:] NEWSIG
[GNUPG:] KEY_CONSIDERED {KEY} 0
[GNUPG:] SIG_ID fCw961B71voUXM8dy 2026-11-29 1795916892
[GNUPG:] GOODSIG 83C397515DA024F9 alice <a@x>
[GNUPG:] VALIDSIG {KEY} 2026-11-29 1795916892 0 4 0 22 10 00 {KEY}
"""
SEALED = f"""\
[GNUPG:] ENC_TO B5F4001D364D8475 18 0
[GNUPG:] DECRYPTION_KEY B536FD655035017D24618B78B5F4001D364D8475 {KEY} -
[GNUPG:] BEGIN_DECRYPTION
[GNUPG:] DECRYPTION_INFO 2 9 0
{SIGNED}[GNUPG:] DECRYPTION_OKAY
[GNUPG:] GOODMDC
[GNUPG:] END_DECRYPTION
"""
"""Both are what gpg 2.2.40 said of a real message."""

NEEDED = ("BEGIN_DECRYPTION", "DECRYPTION_INFO", "PLAINTEXT ", "NEWSIG", "GOODSIG", "VALIDSIG",
          "DECRYPTION_OKAY", "GOODMDC", "END_DECRYPTION")  # fmt: skip


def decrypted(
    status: str, code: int = 0, signers: frozenset[str] | None = frozenset({KEY})
) -> str | None:
    return why_not_decrypted(read_status(status), code, signers=signers)


def verified(status: str, code: int = 0) -> str | None:
    return why_not_verified(read_status(status), code, signers=frozenset({KEY}))


def line_of(status: str, name: str) -> str:
    return next(line for line in status.splitlines(keepends=True) if f"] {name}" in line)


def test_what_gpg_says_of_a_good_message_is_taken() -> None:
    assert decrypted(SEALED) is None
    assert decrypted(SEALED, signers=None) is None
    assert verified(SIGNED) is None
    authenticated = SEALED.replace("DECRYPTION_INFO 2 9 0", "DECRYPTION_INFO 0 9 2")  # AEAD
    assert decrypted(authenticated.replace(line_of(SEALED, "GOODMDC"), "")) is None


@pytest.mark.parametrize("name", NEEDED)
def test_each_word_is_needed_and_none_may_come_twice(name: str) -> None:
    line = line_of(SEALED, name)
    assert decrypted(SEALED.replace(line, ""))
    if name != "DECRYPTION_INFO":
        assert decrypted(SEALED.replace(line, line * 2))
    if line in SIGNED:
        assert verified(SIGNED.replace(line, ""))
        assert verified(SIGNED.replace(line, line * 2))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("DECRYPTION_INFO 2 9 0", "DECRYPTION_INFO 0 9 0", "without integrity protection"),
        ("DECRYPTION_INFO 2 9 0", "DECRYPTION_INFO", "without integrity protection"),
        ("DECRYPTION_INFO 2 9 0", "DECRYPTION_INFO 2 3 0", "old cipher 3"),
        ("GOODMDC", "BADMDC", "changed on its way"),
        ("DECRYPTION_OKAY", "DECRYPTION_FAILED", "cannot be decrypted with this key"),
        ("GOODSIG", "BADSIG", "not of this content"),
        ("GOODSIG", "EXPSIG", "has expired"),
        ("GOODSIG", "EXPKEYSIG", "has expired"),
        ("GOODSIG", "REVKEYSIG", "was revoked"),
        ("GOODSIG 83C397515DA024F9", "ERRSIG 83C397515DA024F9", "which the step does not name"),
        (f"10 00 {KEY}", f"10 00 {OTHER}", f"signed by {OTHER}"),
        (f"10 00 {KEY}", f"2 00 {KEY}", "by the digest 2"),
        (f"10 00 {KEY}", f"10 10 {KEY}", "of the kind 10"),
        (f"10 00 {KEY}", KEY, "does not say who"),
    ],
)
def test_what_gpg_says_otherwise_is_refused(old: str, new: str, message: str) -> None:
    assert message in str(decrypted(SEALED.replace(old, new)))
    if old in SIGNED:
        assert message in str(verified(SIGNED.replace(old, new)))


def test_the_exit_status_has_to_agree() -> None:
    assert "gpg does not say that it is good" in str(decrypted(SEALED, 2))
    assert "gpg does not say that it is good" in str(verified(SIGNED, 2))


def test_what_is_signed_and_plain_has_to_be_within_what_is_encrypted() -> None:
    inner = SEALED.replace(SIGNED, "[GNUPG:] PLAINTEXT 62 0 data\n")
    signature = SIGNED.split("\n", 2)[2]
    assert "not within" in str(decrypted(signature + inner))
    assert "not within" in str(decrypted(inner + signature))
    plain = "[GNUPG:] PLAINTEXT 62 0 data\n"
    assert "not one encrypted message" in str(
        decrypted(plain + SEALED.replace(SIGNED, ""), signers=None)
    )


def test_what_is_encrypted_is_not_only_verified() -> None:
    assert "it is encrypted" in str(verified(SEALED))
    assert "it is encrypted" in str(verified("[GNUPG:] ENC_TO B5F4001D364D8475 18 0\n"))


def test_what_is_no_message_is_told_so() -> None:
    assert decrypted("[GNUPG:] NODATA 1\n", 2) == "it is no OpenPGP message"
    assert "gpg says nothing" in str(decrypted("", 2))
    assert "gpg says ERROR pkdecrypt_failed" in str(
        decrypted("[GNUPG:] ERROR pkdecrypt_failed 11\n", 2)
    )


@pytest.mark.parametrize(
    ("status", "code", "encrypted", "signed", "good"),
    [
        ("END_ENCRYPTION", 0, True, False, True),
        ("SIG_CREATED S 22", 0, False, True, True),
        ("END_ENCRYPTION", 0, True, True, False),
        ("END_ENCRYPTION", 2, True, False, False),
        ("SIG_CREATED S 22", 0, False, False, False),
        ("INV_RECP 1", 0, True, False, False),
    ],
)
def test_what_was_made_is_what_was_asked_for(
    status: str, code: int, encrypted: int, signed: int, good: int
) -> None:
    lines = read_status(f"[GNUPG:] {status}\n")
    assert (
        why_not_made(lines, code, encrypted=bool(encrypted), signed=bool(signed)) is None
    ) == good


def test_keys_that_were_taken_in_are_told_and_secret_ones_apart() -> None:
    lines = read_status(
        f"[GNUPG:] IMPORT_OK 1 {KEY}\n[GNUPG:] IMPORT_OK 17 {OTHER}\n[GNUPG:] IMPORT_OK 1\n"
    )
    assert imported_keys(lines, private=False) == {KEY, OTHER}
    assert imported_keys(lines, private=True) == {OTHER}


@given(st.lists(st.sampled_from(SEALED.splitlines(keepends=True))))
def test_nothing_but_the_whole_is_good(some: list[str]) -> None:
    told = "".join(some)
    missing = any(name not in told for name in NEEDED)
    if missing:
        assert decrypted(told) is not None
