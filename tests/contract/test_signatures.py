"""Who signed a commit, and may he: what git itself says of the same commits is the oracle."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from config_tree import tree
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from git_cli import git, git_ok
from signing import (
    KeyPair,
    armored,
    commit_at,
    keygen_sign,
    make_key,
    raw_of,
    ssh,
    sshsig,
    with_signature,
    write_commit,
)

from mftgit.adapters.git.commit_signature import Examiner
from mftgit.model.names import Revision
from mftgit.model.trust.trust import Evidence, Outcome, Policy, judge_commit, read_lists

pytestmark = [pytest.mark.needs("git"), pytest.mark.needs("ssh-keygen")]

NOON = "2026-06-01T12:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A repository, and keys to sign with."""

    folder: Path
    ann: KeyPair
    eve: KeyPair

    def unsigned(self) -> bytes:
        git_ok(self.folder, "commit", "--quiet", "--allow-empty", "--message", "x")
        return raw_of(self.folder, "HEAD")

    def signed(self, when: str = NOON) -> Revision:
        return commit_at(self.folder, when, self.ann)

    def put(self, armor: str, raw: bytes | None = None) -> Revision:
        return write_commit(self.folder, with_signature(raw or self.unsigned(), armor))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("work")
    keys = tmp_path_factory.mktemp("keys")
    git_ok(folder, "init", "--quiet", "--initial-branch", "main")
    return Bench(folder=folder, ann=make_key(keys, "ann"), eve=make_key(keys, "eve"))


def examine(revision: Revision, raw: bytes) -> Evidence:
    with Examiner() as examiner:
        return examiner(Policy(), revision, raw)


def judged(bench: Bench, revision: Revision, signers: str, revoked: str = "") -> Outcome:
    """Return what mftgit says; git has to say the same."""
    evidence = examine(revision, raw_of(bench.folder, revision))
    lists = read_lists(tree({"trust/allowed_signers": signers, "trust/revoked_keys": revoked}))
    assert lists.problems == ()
    outcome = judge_commit(lists, evidence).outcome
    allowed, gone = bench.folder / ".git/allowed", bench.folder / ".git/revoked"
    allowed.write_text(signers, encoding="utf-8")
    gone.write_text(revoked, encoding="utf-8")
    ran = git(
        bench.folder, "-c", f"gpg.ssh.allowedSignersFile={allowed}",
        "-c", f"gpg.ssh.revocationFile={gone}", "verify-commit", revision,
    )  # fmt: skip
    assert (ran.code == 0) == (outcome is Outcome.SIGNED), ran.err
    return outcome


@pytest.mark.parametrize(
    "options",
    [
        ("-t", "ed25519"),
        ("-t", "rsa", "-b", "2048"),
        ("-t", "rsa", "-b", "4096"),
        ("-t", "ecdsa", "-b", "256"),
        ("-t", "ecdsa", "-b", "384"),
        ("-t", "ecdsa", "-b", "521"),
    ],
    ids=" ".join,
)
def test_a_commit_that_git_signs_with_any_kind_of_key_is_signed(
    bench: Bench, tmp_path: Path, options: tuple[str, ...]
) -> None:
    key = make_key(tmp_path, "key", *options)
    revision = commit_at(bench.folder, NOON, key)
    assert judged(bench, revision, key.line()) is Outcome.SIGNED
    assert judged(bench, revision, bench.eve.line()) is Outcome.NOT_ALLOWED
    raw = raw_of(bench.folder, revision)
    changed = write_commit(bench.folder, raw + b"and more\n")
    assert judged(bench, changed, key.line()) is Outcome.TAMPERED


@pytest.mark.parametrize(
    ("when", "options", "outcome"),
    [
        (NOON, "", Outcome.SIGNED),
        (NOON, 'namespaces="git"', Outcome.SIGNED),
        (NOON, 'NAMESPACES="file,g?t*"', Outcome.SIGNED),
        (NOON, 'namespaces="file"', Outcome.NOT_ALLOWED),
        (NOON, 'namespaces="*,!git"', Outcome.NOT_ALLOWED),
        (NOON, 'namespaces=""', Outcome.NOT_ALLOWED),
        (NOON, 'valid-after="20260601Z"', Outcome.SIGNED),
        (NOON, 'valid-after="20260602Z"', Outcome.NOT_YET_VALID),
        (NOON, 'valid-after="20260601120000Z"', Outcome.SIGNED),
        (NOON, 'valid-after="20260601120000utc"', Outcome.SIGNED),
        (NOON, 'valid-after="20260601120001z"', Outcome.NOT_YET_VALID),
        (NOON, 'valid-before="20260602Z"', Outcome.SIGNED),
        (NOON, 'valid-before="202606011200Z"', Outcome.SIGNED),
        (NOON, 'valid-before="20260601115959Z"', Outcome.EXPIRED),
        (NOON, 'valid-after="20260101Z",valid-before="20261231Z"', Outcome.SIGNED),
        ("2027-01-01T00:00:00Z", 'valid-before="20261231Z"', Outcome.EXPIRED),
        ("2026-06-01T12:00:00+0530", 'valid-before="202606010630Z"', Outcome.SIGNED),
        ("2026-06-01T12:00:00+0530", 'valid-before="202606010629Z"', Outcome.EXPIRED),
    ],
)
def test_options_and_times_count_as_git_has_them(
    bench: Bench, when: str, options: str, outcome: Outcome
) -> None:
    assert judged(bench, bench.signed(when), bench.ann.line(options=options)) is outcome


@pytest.mark.parametrize(
    "principals",
    ["*", "*@example.org", "bob,!ann@example.org,ann*", '"Ann Example <a@example.org>"', "!bob,a*"],
)
def test_principals_say_whose_a_key_is_and_do_not_decide(bench: Bench, principals: str) -> None:
    assert judged(bench, bench.signed(), bench.ann.line(principals)) is Outcome.SIGNED


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("{eve}{ann}", Outcome.SIGNED),
        ("# ann\n\n  \t\n{ann}", Outcome.SIGNED),
        ("# {ann}", Outcome.NOT_ALLOWED),
        ("", Outcome.NOT_ALLOWED),
        ('ann valid-before="20260101Z" {key}\nann {key}\n', Outcome.SIGNED),
        ('ann valid-before="20260101Z" {key}\n{eve}', Outcome.EXPIRED),
        ("ann\t \t{key} a comment\r\n", Outcome.SIGNED),
    ],
)
def test_any_line_of_the_file_may_allow_a_key(bench: Bench, text: str, outcome: Outcome) -> None:
    signers = text.format(ann=bench.ann.line(), eve=bench.eve.line(), key=bench.ann.public)
    assert judged(bench, bench.signed(), signers) is outcome


def test_a_revoked_key_never_counts(bench: Bench) -> None:
    revision = bench.signed()
    for revoked in (bench.ann.public, f"# lost\n{bench.eve.public}\n{bench.ann.public} ann\n"):
        assert judged(bench, revision, bench.ann.line(), revoked) is Outcome.REVOKED
    assert judged(bench, revision, bench.ann.line(), bench.eve.public) is Outcome.SIGNED


def test_a_commit_without_a_signature_is_unsigned(bench: Bench) -> None:
    revision = write_commit(bench.folder, bench.unsigned())
    assert judged(bench, revision, bench.ann.line()) is Outcome.UNSIGNED


def test_a_signature_for_something_else_is_none_for_a_commit(bench: Bench) -> None:
    raw = bench.unsigned()
    assert judged(bench, bench.put(keygen_sign(raw, bench.ann, "git"), raw), bench.ann.line()) is (
        Outcome.SIGNED
    )
    wrong = bench.put(keygen_sign(raw, bench.ann, "file"), raw)
    assert judged(bench, wrong, bench.ann.line()) is Outcome.WRONG_NAMESPACE


def test_a_signature_of_another_commit_is_tampered(bench: Bench) -> None:
    armor = keygen_sign(bench.unsigned(), bench.ann, "git")
    assert judged(bench, bench.put(armor), bench.ann.line()) is Outcome.TAMPERED


def test_every_part_of_a_signed_commit_is_held_by_its_signature(bench: Bench) -> None:
    raw = raw_of(bench.folder, bench.signed())
    for old, new in ((b"tree ", b"parent "), (b"Ann", b"Eve"), (b"\n\nx", b"\n\ny")):
        changed = write_commit(bench.folder, raw.replace(old, new, 1))
        assert judged(bench, changed, bench.ann.line()) is Outcome.TAMPERED


BROKEN: dict[str, Callable[[str], str]] = {
    "no end": lambda armor: armor.rsplit("\n", 1)[0],
    "no base64": lambda armor: armor.replace("\n", "\n*", 1),
    "another magic": lambda _: armored(b"SSHSIX" + bytes(20)),
    "another version": lambda _: armored(b"SSHSIG" + (2).to_bytes(4)),
    "cut off": lambda _: armored(b"SSHSIG" + (1).to_bytes(4) + ssh(b"x", b"git")),
    "lengths that lie": lambda _: armored(b"SSHSIG" + (1).to_bytes(4) + b"\xff" * 40),
    "no key": lambda _: armored(
        b"SSHSIG" + (1).to_bytes(4) + ssh(b"", b"git", b"", b"sha256", b"x")
    ),
}


@pytest.mark.parametrize("spoil", BROKEN.values(), ids=BROKEN)
def test_what_is_no_signature_is_malformed(bench: Bench, spoil: Callable[[str], str]) -> None:
    raw = bench.unsigned()
    armor = spoil(keygen_sign(raw, bench.ann, "git").strip())
    assert judged(bench, bench.put(armor, raw), bench.ann.line()) is Outcome.MALFORMED


def test_a_signature_of_neither_ssh_nor_gpg_is_told_to_be_of_another_kind(bench: Bench) -> None:
    armor = "-----BEGIN SIGNED MESSAGE-----\nMIIE\n-----END SIGNED MESSAGE-----"
    revision = bench.put(armor)
    assert judged(bench, revision, bench.ann.line()) is Outcome.UNKNOWN_KIND


def test_a_second_signature_is_refused_though_git_would_pass_over_it(bench: Bench) -> None:
    raw = raw_of(bench.folder, bench.signed())
    for extra in (b"\ngpgsig-sha256 x\n\n", b"\ngpgsig x\n\n", b"\ngpgsigned x\n\n"):
        revision = write_commit(bench.folder, raw.replace(b"\n\n", extra, 1))
        evidence = examine(revision, raw_of(bench.folder, revision))
        assert evidence.flaw is Outcome.MALFORMED


# Signatures that no program at hand makes: of security keys, and by weak digests


def security_key(kind: str, flags: int = 1) -> tuple[bytes, Callable[[bytes], bytes]]:
    """Return a public key and what signs with it, as a security key does (PROTOCOL.u2f)."""
    rest = bytes([flags]) + (7).to_bytes(4)
    form = Encoding.X962, PublicFormat.UncompressedPoint

    def over(data: bytes) -> bytes:
        return hashlib.sha256(b"ssh:").digest() + rest + hashlib.sha256(data).digest()

    if kind.startswith("sk-ssh"):
        edwards = Ed25519PrivateKey.generate()
        public = ssh(kind.encode(), edwards.public_key().public_bytes_raw(), b"ssh:")
        return public, lambda data: ssh(kind.encode(), edwards.sign(over(data))) + rest
    curve = ec.generate_private_key(ec.SECP256R1())
    point = curve.public_key().public_bytes(*form)
    public = ssh(kind.encode(), b"nistp256", point, b"ssh:")

    def sign(data: bytes) -> bytes:
        r, s = decode_dss_signature(curve.sign(over(data), ec.ECDSA(hashes.SHA256())))
        return ssh(kind.encode(), ssh(*map(mpint, (r, s)))) + rest

    return public, sign


def mpint(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1)


def line_of(kind: str, public: bytes) -> str:
    return f"ann {kind} {base64.b64encode(public).decode()}\n"


@pytest.mark.parametrize("hashed", ["sha256", "sha512"])
@pytest.mark.parametrize(
    "kind", ["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"]
)
def test_a_touched_security_key_signs(bench: Bench, kind: str, hashed: str) -> None:
    public, sign = security_key(kind)
    raw = bench.unsigned()
    digest = hashlib.new(hashed, raw).digest()
    good = bench.put(sshsig(public, sign, digest, hashed=hashed), raw)
    assert judged(bench, good, line_of(kind, public)) is Outcome.SIGNED
    wrong = bench.put(sshsig(public, sign, bytes(len(digest)), hashed=hashed), raw)
    assert judged(bench, wrong, line_of(kind, public)) is Outcome.TAMPERED


def test_a_security_key_that_nobody_touched_does_not_sign(bench: Bench) -> None:
    public, sign = security_key("sk-ssh-ed25519@openssh.com", flags=0)
    raw = bench.unsigned()
    revision = bench.put(sshsig(public, sign, hashlib.sha512(raw).digest()), raw)
    evidence = examine(revision, raw_of(bench.folder, revision))
    assert (evidence.flaw, evidence.detail) == (
        Outcome.MALFORMED,
        "nobody touched the security key that made it",
    )


@pytest.mark.parametrize(
    ("kind", "digest", "outcome"),
    [
        ("rsa-sha2-256", hashes.SHA256(), Outcome.SIGNED),
        ("rsa-sha2-512", hashes.SHA512(), Outcome.SIGNED),
        ("rsa-sha2-256", hashes.SHA1(), Outcome.TAMPERED),
        ("ssh-rsa", hashes.SHA1(), Outcome.MALFORMED),
        ("ssh-ed25519", hashes.SHA256(), Outcome.MALFORMED),
    ],
)
def test_rsa_signs_by_sha2_only(
    bench: Bench, kind: str, digest: hashes.HashAlgorithm, outcome: Outcome
) -> None:
    key = rsa.generate_private_key(65537, 2048)
    numbers = key.public_key().public_numbers()
    public = ssh(b"ssh-rsa", mpint(numbers.e), mpint(numbers.n))
    raw = bench.unsigned()
    armor = sshsig(
        public,
        lambda data: ssh(kind.encode(), key.sign(data, padding.PKCS1v15(), digest)),
        hashlib.sha512(raw).digest(),
    )
    assert judged(bench, bench.put(armor, raw), line_of("ssh-rsa", public)) is outcome


@pytest.mark.parametrize(
    ("spoil", "outcome"),
    [
        ({"hashed": "md5"}, Outcome.MALFORMED),
        ({"namespace": b"\xff\n"}, Outcome.WRONG_NAMESPACE),
    ],
)
def test_what_stands_beside_the_signature_counts(
    bench: Bench, spoil: dict[str, str], outcome: Outcome
) -> None:
    key = Ed25519PrivateKey.generate()
    public = ssh(b"ssh-ed25519", key.public_key().public_bytes_raw())
    raw = bench.unsigned()
    armor = sshsig(
        public,
        lambda data: ssh(b"ssh-ed25519", key.sign(data)),
        hashlib.sha512(raw).digest(),
        **spoil,  # type: ignore[arg-type]
    )
    assert judged(bench, bench.put(armor, raw), line_of("ssh-ed25519", public)) is outcome


def test_bytes_after_a_signature_are_no_part_of_it(bench: Bench) -> None:
    key = Ed25519PrivateKey.generate()
    public = ssh(b"ssh-ed25519", key.public_key().public_bytes_raw())
    raw = bench.unsigned()
    armor = sshsig(
        public,
        lambda data: ssh(b"ssh-ed25519", key.sign(data)) + b"x",
        hashlib.sha512(raw).digest(),
    )
    assert judged(bench, bench.put(armor, raw), line_of("ssh-ed25519", public)) is (
        Outcome.MALFORMED
    )
