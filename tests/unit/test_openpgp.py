"""One key or one signature is read out of OpenPGP's packets, and gpg's words about it in one way only."""

import base64
import hashlib
from collections.abc import Callable

import pytest
from config_tree import tree
from hypothesis import example, given
from hypothesis import strategies as st

from mftgit.model.documents.places import GPG_REVOKED_FILE, GPG_SIGNERS_FILE, SIGNERS_FILE
from mftgit.model.keys.gpg_status import imported, signed_by
from mftgit.model.keys.openpgp import (
    MAX_KEY_BYTES,
    MAX_SIGNATURE_BYTES,
    GpgKey,
    dearmor,
    read_gpg_key,
    read_gpg_key_text,
    read_gpg_signature,
)
from mftgit.model.trust.signer_lines import add_signer, gpg_key_line
from mftgit.model.trust.signers import read_gpg_signers, read_signers
from mftgit.model.trust.trust import FlawError, Outcome, explain, read_lists

SIGNATURE, SECRET_KEY, PUBLIC_KEY, SECRET_SUBKEY, USER, PUBLIC_SUBKEY = 2, 5, 6, 7, 13, 14
RSA, DSA, EDDSA = 1, 17, 22


def packet(tag: int, body: bytes) -> bytes:
    """Return a packet in the new format, with a length of five bytes."""
    return bytes([0xC0 | tag, 0xFF]) + len(body).to_bytes(4) + body


def old_packet(tag: int, body: bytes) -> bytes:
    """Return a packet in the old format, with a length as short as may be."""
    size = next(each for each in (0, 1, 2) if len(body) < 256 ** (1 << each))
    return bytes([0x80 | tag << 2 | size]) + len(body).to_bytes(1 << size) + body


def short_packet(tag: int, body: bytes) -> bytes:
    """Return a packet in the new format, with a length of one or two bytes."""
    if len(body) < 192:
        return bytes([0xC0 | tag, len(body)]) + body
    return bytes([0xC0 | tag]) + (len(body) - 192 + (192 << 8)).to_bytes(2) + body


def key_body(algorithm: int = EDDSA, bits: int = 256, version: int = 4, rest: bytes = b"") -> bytes:
    return bytes([version, 0, 0, 0, 1, algorithm]) + bits.to_bytes(2) + rest


def signature_body(version: int = 4, kind: int = 0, digest: int = 8) -> bytes:
    return bytes([version, kind, EDDSA, digest])


def armored(content: bytes, what: str = "SIGNATURE") -> str:
    text = base64.b64encode(content).decode()
    return f"-----BEGIN PGP {what}-----\nVersion: 2\n\n{text}\n=AbCd\n-----END PGP {what}-----\n"


KEY = packet(PUBLIC_KEY, key_body())


# Keys


@given(st.integers(0, 8000).map(bytes), st.sampled_from([packet, old_packet, short_packet]))
@example(bytes(200), short_packet)
@example(bytes(300), old_packet)
@example(b"", old_packet)
def test_a_fingerprint_is_taken_over_the_primary_key_whatever_is_around_it(
    rest: bytes, write: Callable[[int, bytes], bytes]
) -> None:
    body = key_body(rest=rest)
    whole = write(PUBLIC_KEY, body)
    for more in (b"", packet(USER, b"ann"), packet(PUBLIC_SUBKEY, key_body(18))):
        key = read_gpg_key(whole + more)
        said = hashlib.sha1(b"\x99" + len(body).to_bytes(2) + body).hexdigest().upper()
        assert (key.kind, key.fingerprint, key.packets) == ("openpgp", said, whole + more)
        assert key == GpgKey(fingerprint=said)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "expected one OpenPGP public key"),
        (packet(USER, b"ann"), "expected one OpenPGP public key"),
        (KEY + KEY, "expected one OpenPGP public key"),
        (KEY + packet(SECRET_SUBKEY, b"x"), "secret key"),
        (packet(SECRET_KEY, b"x"), "secret key"),
        (b"ann", "not made of OpenPGP packets"),
        (KEY[:-1], "cut off"),
        (KEY[:1], "cut off"),
        (KEY[:3], "cut off"),
        (b"\x9b", "length is not told"),
        (b"\xc6\xe0", "length is not told"),
        (packet(PUBLIC_KEY, b"\x04"), "no key of version 4"),
        (packet(PUBLIC_KEY, key_body(version=6)), "no key of version 4"),
        (packet(PUBLIC_KEY, key_body(DSA, 1024)), "DSA"),
        (packet(PUBLIC_KEY, key_body(RSA, 1024)), "RSA key of 1024 bits; expected at least 2048"),
        (KEY + packet(PUBLIC_SUBKEY, key_body(RSA, 1024)), "1024 bits"),
        (KEY + packet(USER, bytes(MAX_KEY_BYTES)), "export-minimal"),
    ],
)
def test_what_is_not_one_strong_public_key_is_none(data: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_gpg_key(data)


def test_an_rsa_key_of_2048_bits_is_taken() -> None:
    whole = packet(PUBLIC_KEY, key_body(RSA, 2048))
    assert read_gpg_key(whole).packets == whole


@given(st.binary())
def test_reading_a_key_fails_in_one_way_only(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^(it |an RSA|expected)"):
        read_gpg_key(data)


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [("ssh-ed25519", "AAAA", "expected the word 'openpgp'"), ("openpgp", "*", "not base64")],
)
def test_a_line_holds_the_word_and_the_key_in_base64(kind: str, text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_gpg_key_text(kind, text)


# Signatures


def test_one_signature_of_bytes_by_a_strong_digest_is_read() -> None:
    for digest in (8, 9, 10):
        whole = packet(SIGNATURE, signature_body(digest=digest))
        assert read_gpg_signature(armored(whole)) == whole


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "one OpenPGP signature and nothing else"),
        (packet(SIGNATURE, signature_body()) * 2, "one OpenPGP signature and nothing else"),
        (packet(SIGNATURE, signature_body()) + packet(11, b"x"), "and nothing else"),
        (packet(8, b"x"), "and nothing else"),
        (packet(SIGNATURE, b"\4"), "no signature of version 4 over bytes"),
        (packet(SIGNATURE, signature_body(version=3)), "no signature of version 4 over bytes"),
        (packet(SIGNATURE, signature_body(kind=1)), "no signature of version 4 over bytes"),
        (packet(SIGNATURE, signature_body(digest=1)), "its digest is none of SHA256"),
        (packet(SIGNATURE, signature_body(digest=2)), "its digest is none of SHA256"),
        (bytes(MAX_SIGNATURE_BYTES + 1), "expected at most 8,192"),
    ],
)
def test_what_is_not_one_signature_is_none(content: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_gpg_signature(armored(content))


GOOD = armored(packet(SIGNATURE, signature_body()))


@pytest.mark.parametrize(
    "text",
    [
        "",
        GOOD.replace("END", "BEGIN"),
        GOOD + GOOD,
        GOOD + "x",
        "x\n" + GOOD,
        GOOD.replace("\n\n", "\n"),
        GOOD.replace("\n\n", "\n\n*"),
        GOOD.replace("\n\n", "\n\né"),
        GOOD.replace("SIGNATURE", "MESSAGE"),
    ],
)
def test_what_is_not_one_armoured_block_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"it is not|is missing"):
        dearmor(text, "SIGNATURE")


def test_an_armoured_block_needs_no_checksum_and_may_be_empty() -> None:
    assert dearmor(GOOD.replace("=AbCd\n", ""), "SIGNATURE") == dearmor(GOOD, "SIGNATURE")
    empty = "-----BEGIN PGP SIGNATURE-----\r\n\r\n-----END PGP SIGNATURE-----"
    assert dearmor(empty, "SIGNATURE") == b""


# What gpg says

PRIMARY = "19B6C296593A4670CDD80CE508F224C22CA90057"
NEW = "[GNUPG:] NEWSIG ann@example.org\n"
SAID_GOOD = "[GNUPG:] GOODSIG 08F224C22CA90057 ann <ann@example.org>\n"
VALID = f"[GNUPG:] VALIDSIG {'A' * 40} 2026-11-24 1795519628 0 4 0 22 8 00 {PRIMARY}\n"


def test_a_good_and_valid_signature_is_that_of_the_primary_key() -> None:
    text = f"gpg: noise\n{NEW}[GNUPG:] \n{SAID_GOOD}{VALID}[GNUPG:] TRUST_NEVER\n"
    assert signed_by(text, 0) == GpgKey(fingerprint=PRIMARY)


def error(reason: int) -> str:
    return f"{NEW}[GNUPG:] ERRSIG 08F224C22CA90057 22 8 00 1795519628 {reason} -\n"


@pytest.mark.parametrize(
    ("text", "code", "outcome"),
    [
        ("", 0, Outcome.MALFORMED),
        ("[GNUPG:] NODATA 4\n", 2, Outcome.MALFORMED),
        (NEW + SAID_GOOD, 0, Outcome.MALFORMED),
        (SAID_GOOD + VALID, 0, Outcome.MALFORMED),
        (NEW + VALID, 0, Outcome.MALFORMED),
        (NEW + SAID_GOOD + VALID, 1, Outcome.MALFORMED),
        (NEW + SAID_GOOD + VALID + VALID, 0, Outcome.MALFORMED),
        ((NEW + SAID_GOOD + VALID) * 2, 0, Outcome.MALFORMED),
        (NEW + SAID_GOOD + VALID + NEW, 0, Outcome.MALFORMED),
        (NEW + SAID_GOOD + VALID + "[GNUPG:] BADSIG 0 bob\n", 0, Outcome.MALFORMED),
        (NEW + SAID_GOOD + VALID.replace(f" {PRIMARY}", ""), 0, Outcome.MALFORMED),
        (NEW + SAID_GOOD + VALID.replace(" 8 00", " 2 00"), 0, Outcome.MALFORMED),
        (NEW + SAID_GOOD + VALID.replace(" 8 00", " 8 01"), 0, Outcome.MALFORMED),
        (f" {NEW} {SAID_GOOD} {VALID}", 0, Outcome.MALFORMED),
        (NEW + "[GNUPG:] BADSIG 08F224C22CA90057 ann\n" + VALID, 0, Outcome.TAMPERED),
        (NEW + "[GNUPG:] EXPSIG 08F224C22CA90057 ann\n" + VALID, 0, Outcome.EXPIRED),
        (NEW + "[GNUPG:] EXPKEYSIG 08F224C22CA90057 ann\n" + VALID, 0, Outcome.EXPIRED),
        (NEW + "[GNUPG:] REVKEYSIG 08F224C22CA90057 ann\n" + VALID, 0, Outcome.REVOKED),
        (error(9), 2, Outcome.NOT_ALLOWED),
        (error(6), 2, Outcome.NOT_YET_VALID),
        (error(4), 2, Outcome.MALFORMED),
        (NEW + "[GNUPG:] ERRSIG\n", 2, Outcome.MALFORMED),
    ],
)
def test_whatever_else_gpg_says_proves_nothing(text: str, code: int, outcome: Outcome) -> None:
    with pytest.raises(FlawError) as caught:
        signed_by(text, code)
    assert caught.value.outcome is outcome


def test_the_keys_that_gpg_took_in_are_those_that_it_says_are_well() -> None:
    text = f"[GNUPG:] IMPORT_OK 1 {PRIMARY}\n[GNUPG:] IMPORT_PROBLEM 1 {'B' * 40}\n[GNUPG:] IMPORT_OK 0\n"
    assert imported(text + "[GNUPG:] IMPORT_RES 2 0\n") == frozenset({PRIMARY})
    assert imported(text) is None


# Lines


def line(name: str = "ann", options: str = "", key: bytes = KEY) -> str:
    return f"{name} {options} openpgp {base64.b64encode(key).decode()} a comment\n"


def test_lines_with_gpg_keys_have_the_form_of_those_with_ssh_keys() -> None:
    options = 'namespaces="git",valid-before="20270101Z"'
    (signer,), problems = read_gpg_signers("f", line("ann,bob", options).encode())
    assert problems == ()
    assert (signer.principals, signer.key.fingerprint) == (
        ("ann", "bob"),
        read_gpg_key(KEY).fingerprint,
    )
    assert (signer.signs_commits, signer.valid_before) == (True, 1798761600)


def test_a_file_holds_keys_of_its_own_kind_only() -> None:
    _, problems = read_signers(SIGNERS_FILE, line().encode())
    assert [(each.line, each.column) for each in problems] == [(1, 6)]
    _, problems = read_gpg_signers(GPG_SIGNERS_FILE, b"ann ssh-ed25519 AAAA\n")
    assert "expected the word 'openpgp'" in problems[0].message
    assert "mftgit trust add" in problems[0].hint


def test_gpg_is_given_every_key_that_a_line_names_the_revoked_ones_too() -> None:
    other = packet(PUBLIC_KEY, key_body(rest=b"x"))
    policy = read_lists(
        tree(
            {
                GPG_SIGNERS_FILE: line(),
                GPG_REVOKED_FILE: line(key=other).partition("  ")[2],
            }
        )
    )
    assert policy.problems == ()
    assert policy.gpg_keys == (KEY, other)
    assert policy.revoked == {read_gpg_key(other)}
    assert policy.admits_somebody


def test_a_key_that_its_owner_changed_makes_another_policy() -> None:
    more = KEY + packet(USER, b"ann")
    one, two = (read_lists(tree({GPG_SIGNERS_FILE: line(key=each)})) for each in (KEY, more))
    assert one.signers == two.signers
    assert one != two


def test_a_key_that_is_revoked_in_its_list_admits_nobody() -> None:
    files = {GPG_SIGNERS_FILE: line(), GPG_REVOKED_FILE: line().partition("  ")[2]}
    assert not read_lists(tree(files)).admits_somebody


def test_a_bad_line_in_either_list_of_gpg_keys_lets_nobody_sign() -> None:
    for file in (GPG_SIGNERS_FILE, GPG_REVOKED_FILE):
        policy = read_lists(tree({GPG_SIGNERS_FILE: line()} | {file: "openpgp *\n"}))
        assert [each.file for each in policy.problems] == [file]
        assert not policy.admits_somebody


def test_a_refusal_tells_how_to_sign_by_gpg_where_somebody_may() -> None:
    told = "\n".join(explain(read_lists(tree({GPG_SIGNERS_FILE: line()})), []))
    assert "git config gpg.format openpgp" in told
    assert "openpgp" not in "\n".join(explain(read_lists({}), []))


@given(st.binary(max_size=300))
def test_a_key_that_was_added_is_read_back(rest: bytes) -> None:
    key = read_gpg_key(packet(PUBLIC_KEY, key_body(rest=rest)))
    (signer,), problems = read_gpg_signers("f", add_signer("", "ann", gpg_key_line(key)).encode())
    assert (problems, signer.key, signer.signs_commits) == ((), key, True)
    assert isinstance(signer.key, GpgKey)
    assert signer.key.packets == key.packets
