"""Who may sign is read from OpenSSH's format, and every line that is not of it is a problem with its place."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.documents.document import MAX_SIZE_BYTES
from mftgit.model.documents.problem import Problem
from mftgit.model.keys.ssh_key import KINDS, PublicKey, read_key, read_key_text, read_strings
from mftgit.model.trust.signer_lines import add_signer, check_principal, remove_signer
from mftgit.model.trust.signers import Signer, read_revoked, read_signers

FILE = "trust/allowed_signers"


def blob(kind: str, *fields: bytes) -> bytes:
    parts = (kind.encode(), *fields)
    return b"".join(len(part).to_bytes(4) + part for part in parts)


def text(*fields: bytes, kind: str = "ssh-ed25519") -> str:
    return f"{kind} {base64.b64encode(blob(kind, *fields)).decode()}"


KEY = text(bytes(32))
EXPONENT = b"\x01\x00\x01"


def rsa(bits: int) -> str:
    return text(EXPONENT, (1 << (bits - 1)).to_bytes(bits // 8 + 1), kind="ssh-rsa")


def only(line: str) -> Problem:
    """Return the one problem of a line that stands third in a file."""
    signers, problems = read_signers(FILE, f"ann {KEY}\n\n{line}\n".encode())
    assert len(signers) == 1
    (problem,) = problems
    assert (problem.file, problem.line, problem.rule) == (FILE, 3, "trust")
    assert problem.hint
    return problem


@pytest.mark.parametrize(
    ("line", "column", "what"),
    [
        ("ann", 1, "not whole"),
        ('"ann', 1, "quote astray"),
        (f'ann"x {KEY}', 1, "quote astray"),
        (f"!ann,!bob {KEY}", 1, "name nobody"),
        (f", {KEY}", 1, "name nobody"),
        ("ann ssh-ed25519", 5, "no public key"),
        ("ann ssh-ed25519 AAA*", 5, "not base64"),
        ("ann ssh-ed25519 é", 5, "not base64"),
        ("ann ssh-dss AAAA", 5, "ends too early"),
        (f"ann ssh-rsa {KEY.split()[1]}", 5, "'ssh-rsa', and the key is of the kind ssh-ed25519"),
        (f"ann {text(bytes(31))}", 5, "32 bytes"),
        (f"ann {text(bytes(32), b'x')}", 5, "2 fields"),
        (f"ann {text(b'x', kind='ssh-dss')}", 5, "'ssh-dss' is not taken"),
        (f"ann {rsa(1024)}", 5, "1024 bits; expected 2048 to 16384"),
        (f"ann {rsa(16392)}", 5, "16392 bits"),
        (
            f"ann {text(b'nistp384', bytes(97), kind='ecdsa-sha2-nistp256')}",
            5,
            "on the curve 'nistp384'",
        ),
        (f"ann {text(b'nistp256', bytes(65), kind='ecdsa-sha2-nistp256')}", 5, "point of the key"),
        (f"ann {text(b'nistp256', b'x', kind='ecdsa-sha2-nistp256')}", 5, "point of the key"),
        (f"ann cert-authority {KEY}", 5, "cert-authority is not taken"),
        (f'ann namespaces="git",cert-authority {KEY}', 22, "cert-authority is not taken"),
        (f'ann cert-authority="x" {KEY}', 5, "cert-authority is not taken"),
        (f"ann no-touch-required {KEY}", 5, "'no-touch-required' is no option"),
        (f'ann "x" {KEY}', 5, "is no option"),
        (f"ann namespaces {KEY}", 5, "'namespaces' is no option"),
        (f"ann namespaces=git {KEY}", 5, "'namespaces=git' is no option"),
        (f'ann namespaces="git", {KEY}', 5, "is no option"),
        (f'ann namespaces="git {KEY}', 5, "is no option"),
        (f'ann namespaces="a",NAMESPACES="b" {KEY}', 20, "namespaces is here twice"),
        (f'ann valid-after="20260101" {KEY}', 5, "not a time with its zone"),
        (f'ann namespaces="git",valid-before="2026Z" {KEY}', 22, "not a time with its zone"),
        (f'ann valid-before="20261331Z" {KEY}', 5, "not a time with its zone"),
        (f'ann valid-before="" {KEY}', 5, "not a time with its zone"),
        (f"ann {KEY} \u202etxt", len(KEY) + 6, "U+202E"),
        (f"\x0bann {KEY}", 1, "U+000B"),
    ],
)
def test_a_line_that_is_not_of_the_format_is_a_problem_with_its_place(
    line: str, column: int, what: str
) -> None:
    problem = only(line)
    assert what in problem.message
    assert problem.column == column


def test_every_bad_line_is_told_and_the_good_ones_are_read() -> None:
    signers, problems = read_signers(FILE, f"ann\nbob {KEY}\ncid\n".encode())
    assert [each.principals for each in signers] == [("bob",)]
    assert [each.line for each in problems] == [1, 3]


@pytest.mark.parametrize(
    ("data", "what"),
    [(b"\xff", "0xff is not UTF-8"), (b"#" * (MAX_SIZE_BYTES + 1), "at most 1,048,576")],
)
def test_a_file_that_is_no_text_or_too_large_is_a_problem_as_a_whole(
    data: bytes, what: str
) -> None:
    signers, (problem,) = read_signers(FILE, data)
    assert not signers
    assert what in problem.message
    assert problem.line == 0


def test_revoked_keys_are_one_a_line_as_in_a_pub_file() -> None:
    keys, problems = read_revoked("r", f"# lost\n{KEY} ann's\n\nann {KEY}\n".encode())
    assert keys == (read_key_text(*KEY.split()),)
    assert [(each.file, each.line, each.column) for each in problems] == [("r", 4, 1)]


def test_a_fingerprint_is_that_of_openssh() -> None:
    line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
    key = read_key_text(*line.split())
    assert key.fingerprint == "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"


def test_what_no_kind_is_told_of_is_no_key() -> None:
    with pytest.raises(ValueError, match="kind ''"):
        read_key(b"")
    with pytest.raises(ValueError, match=r"\\xff"):
        read_key(blob("x")[:-1] + b"\xff")


# Properties

POINTS = {"nistp256": 32, "nistp384": 48, "nistp521": 66}


def key_of(kind: str, seed: bytes) -> PublicKey:
    """Return a well-formed key of any kind."""
    curve = next((name for name in POINTS if name in kind), None)
    fields: tuple[bytes, ...] = (seed,)
    if curve is not None:
        fields = (curve.encode(), b"\x04" + seed.ljust(2 * POINTS[curve], b"\0"))
    elif kind == "ssh-rsa":
        fields = (EXPONENT, b"\0\x80" + seed.ljust(255, b"\0"))
    if kind.startswith("sk-"):
        fields = (*fields, b"ssh:")
    return read_key(blob(kind, *fields))


keys = st.builds(key_of, st.sampled_from(KINDS), st.binary(min_size=32, max_size=32))
words = st.text(
    st.characters(codec="utf-8", exclude_characters=' \t"#,!\\', categories=["L", "N", "P", "S"]),
    min_size=1,
)
times = st.none() | st.integers(31_536_000, 32_472_144_000)
signers = st.builds(
    Signer,
    line=st.just(1),
    principals=st.lists(words, min_size=1).map(tuple),
    key=keys,
    namespaces=st.lists(words).map(tuple),
    valid_after=times,
    valid_before=times,
)


def blob_of(signer: Signer) -> bytes:
    assert isinstance(signer.key, PublicKey)
    return signer.key.blob


def written(signer: Signer, comment: str = "") -> str:
    options = [f'namespaces="{",".join(signer.namespaces)}"'] if signer.namespaces else []
    for name in ("valid_after", "valid_before"):
        seconds = getattr(signer, name)
        if seconds is not None:
            when = datetime.fromtimestamp(seconds, tz=UTC)
            options.append(f'{name.replace("_", "-")}="{when:%Y%m%d%H%M%S}Z"')
    key = f"{signer.key.kind} {base64.b64encode(blob_of(signer)).decode()}"
    return " ".join(filter(None, (",".join(signer.principals), ",".join(options), key, comment)))


@given(signers, st.sampled_from(["", "ann's laptop", "# x"]))
def test_what_is_written_is_read_again(signer: Signer, comment: str) -> None:
    assert read_signers(FILE, written(signer, comment).encode()) == ((signer,), ())


@given(st.lists(signers, max_size=4), words, keys)
def test_a_signer_that_is_added_and_removed_leaves_the_others_alone(
    others: list[Signer], principal: str, key: PublicKey
) -> None:
    left = [each for each in others if principal not in each.principals]
    content = "# x\n" + "".join(f"{written(each)}\n" for each in left)
    public = f"{key.kind} {base64.b64encode(key.blob).decode()} laptop"
    added = add_signer(content.rstrip("\n"), check_principal(principal), f"{public}\n")
    assert added == f'{content}{principal} namespaces="git" {public}\n'
    found, problems = read_signers(FILE, added.encode())
    assert not problems
    assert (found[-1].key, found[-1].principals) == (key, (principal,))
    assert remove_signer(added, found, principal) == content


@pytest.mark.parametrize("name", ["", "a b", "a,b", '"a"', "#a", "!a", "a\n", "a\u202e"])
def test_what_would_break_the_line_names_no_signer(name: str) -> None:
    with pytest.raises(ValueError, match="does not name a signer"):
        check_principal(name)


def test_of_several_principals_one_is_taken_out() -> None:
    content = f'\t"ann,Cid C" {KEY}\nann,!eve {KEY}\n"ann,bob" {KEY} ann\n'
    found, _ = read_signers(FILE, content.encode())
    assert remove_signer(content, found, "ann") == f'\t"Cid C" {KEY}\n"bob" {KEY} ann\n'


@given(st.binary() | st.binary().map(lambda data: b"ann " + KEY.encode() + data))
def test_whatever_the_bytes_are_reading_ends_with_signers_or_problems(data: bytes) -> None:
    found, problems = read_signers(FILE, data)
    lines = data.count(b"\n") + 1
    assert all(1 <= each.line <= lines for each in found)
    assert all(each.line <= lines for each in problems)


pieces = st.sampled_from(
    ["ann", "!ann", ",", " ", "\t", '"', "\\", "=", "namespaces", "valid-after", '="git"', '="20260101Z"',
     "cert-authority", KEY, "ssh-ed25519", "#", "\n", "\r\n", "é"]
)  # fmt: skip


@given(st.lists(pieces).map("".join))
def test_every_line_that_says_something_is_a_signer_or_a_problem(content: str) -> None:
    found, problems = read_signers(FILE, content.encode())
    lines = [line.strip(" \t\r") for line in content.split("\n")]
    expected = [at for at, line in enumerate(lines, 1) if line and not line.startswith("#")]
    assert sorted([each.line for each in found] + [each.line for each in problems]) == expected


@given(st.binary())
def test_strings_are_read_to_the_end_or_not_at_all(data: bytes) -> None:
    try:
        strings = read_strings(data)
    except ValueError:
        return
    assert b"".join(len(each).to_bytes(4) + each for each in strings) == data
