"""Keys, proofs and passwords: who shows the right one is let in, and nobody else."""

import hashlib
from base64 import b64encode, urlsafe_b64encode
from datetime import timedelta

import argon2
import pytest
from clocks import SetClock

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.passwords import (
    MAX_PASSWORD_BYTES,
    PasswordChecker,
    hash_password,
    make_password,
)
from mftgit.adapters.proof import POSSESSION, Proof, ProofRefusedError, Prover, verify_proof
from mftgit.adapters.tls import pki
from mftgit.errors import ConfigError
from mftgit.model.names import MemberName

NODE = MemberName("node-1")
KEY = pki.make_identity()
PUBLIC = pki.public_identity(KEY)
OTHER = pki.public_identity(pki.make_identity())


def proof(*, key: bytes = KEY, cluster_id: str = "c", off_s: float = 0) -> str:
    def now() -> object:
        return SystemClock().now() + timedelta(seconds=off_s)

    prover = Prover(member=NODE, cluster_id=cluster_id, key=key, now=now)  # type: ignore[arg-type]
    return prover.headers("GET", "/x")["Authorization"].removeprefix("Bearer ")


def verify(token: str, *, method: str = "GET", path: str = "/x", known: bool = True) -> str:
    return verify_proof(
        token,
        method=method,
        path=path,
        cluster_id="c",
        public_keys=lambda name: (PUBLIC,) if known and name == NODE else (),
    ).member


def test_a_proof_names_its_member() -> None:
    assert verify(proof()) == NODE


@pytest.mark.parametrize("off_s", [-50, 50])
def test_a_clock_that_is_a_little_wrong_is_forgiven(off_s: float) -> None:
    assert verify(proof(off_s=off_s)) == NODE


@pytest.mark.parametrize("off_s", [-200, 200])
def test_an_old_proof_and_one_from_the_future_are_refused(off_s: float) -> None:
    with pytest.raises(ProofRefusedError, match="set the member's clock"):
        verify(proof(off_s=off_s))


def test_a_proof_opens_only_the_request_that_it_was_made_for() -> None:
    for method, path in (("POST", "/x"), ("GET", "/y")):
        with pytest.raises(ProofRefusedError, match="another request"):
            verify(proof(), method=method, path=path)


def test_a_foreign_key_an_unknown_member_and_another_cluster_are_refused() -> None:
    for token, known in (
        (proof(key=pki.make_identity()), True),
        (proof(), False),
        (proof(cluster_id="d"), True),
        ("nonsense", True),
        ("e30.e30.", True),
    ):
        with pytest.raises(ProofRefusedError):
            verify(token, known=known)


def test_an_unsigned_proof_is_refused() -> None:
    head, body, _ = proof().split(".")
    with pytest.raises(ProofRefusedError):
        verify(f"{head}.{body}.")
    none_algorithm = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"
    with pytest.raises(ProofRefusedError):
        verify(f"{none_algorithm}.{body}.")


def verify_with(token: str, *keys: str) -> Proof:
    return verify_proof(token, method="GET", path="/x", cluster_id="c", public_keys=lambda _: keys)


def test_a_proof_by_any_key_of_the_member_is_taken_and_tells_which_it_was() -> None:
    for keys, is_next in (((PUBLIC, OTHER), False), ((OTHER, PUBLIC), True)):
        found = verify_with(proof(), *keys)
        assert found == Proof(member=NODE, public_key=PUBLIC, is_next=is_next)


def test_a_key_that_was_taken_away_or_changed_opens_nothing_though_it_was_just_good() -> None:
    token = proof()
    assert verify(token) == NODE
    for keys in ((), (OTHER,), (OTHER, OTHER)):
        with pytest.raises(ProofRefusedError):
            verify_with(token, *keys)


def test_a_mangled_proof_is_refused() -> None:
    head, body, signature = proof().split(".")
    nested = urlsafe_b64encode(b"[" * 40_000).decode()
    for token in (
        "", ".", head, f"{head}.{body}", f"{head}..{signature}", f"{head}.{nested}.{signature}",
        f"{head}.{body[:-1]}.{signature}", f"{head}.é.{signature}", f"{head}.{body}=.{signature}",
        f"{head}.{body}.{signature}.{signature}", f"{head}.{body}.{signature[:-4]}", f"{body}.{body}.{signature}",
    ):  # fmt: skip
        with pytest.raises(ProofRefusedError, match="not a valid proof"):
            verify_with(token, PUBLIC)


def test_a_proof_of_possession_is_one_of_that_key_for_nothing_else() -> None:
    prover = Prover(member=NODE, cluster_id="c", key=KEY, now=SystemClock().now)
    token = prover.possession()
    assert verify(token, method=POSSESSION, path=PUBLIC) == NODE
    for method, path in (("GET", "/x"), (POSSESSION, OTHER)):
        with pytest.raises(ProofRefusedError, match="another request"):
            verify(token, method=method, path=path)


def test_a_fingerprint_is_that_of_the_key_and_not_the_key() -> None:
    found = pki.identity_fingerprint(PUBLIC)
    digest = hashlib.sha256(bytes.fromhex(PUBLIC)).digest()
    assert found == "SHA256:" + b64encode(digest).decode().rstrip("=")
    assert found != pki.identity_fingerprint(OTHER)


def test_a_password_is_known_by_its_hash_alone() -> None:
    password = make_password()
    encoded = hash_password(password)
    checker = PasswordChecker()
    assert password not in encoded
    for _ in range(2):  # the second time from memory
        assert checker.check(password, encoded)
    assert not checker.check(password + "x", encoded)
    assert not checker.check(password, None)
    assert not checker.check(password, "not a hash")
    assert not checker.check("x" * (MAX_PASSWORD_BYTES + 1), encoded)


def test_a_name_that_nobody_has_is_tried_at_the_cost_of_one_that_somebody_has() -> None:
    decoy, hashed = PasswordChecker()._decoy, hash_password("x")
    assert argon2.extract_parameters(decoy) == argon2.extract_parameters(hashed)
    assert len(decoy) == len(hashed)
    with pytest.raises(argon2.exceptions.VerifyMismatchError):  # and not: this is no hash
        argon2.PasswordHasher().verify(decoy, "x")


def test_a_changed_password_is_not_remembered() -> None:
    checker = PasswordChecker()
    assert checker.check("old", hash_password("old"))
    assert not checker.check("old", hash_password("new"))


AT = SetClock().now()
AUTHORITY, OTHER_AUTHORITY = (pki.make_authority("c", now=AT) for _ in range(2))
SERVER = pki.issue_server(AUTHORITY, hosts=("127.0.0.1", "mft.example", "::1"), now=AT)


def serves(
    server: pki.KeyPair = SERVER,
    *,
    by: pki.KeyPair = AUTHORITY,
    hosts: tuple[str, ...] = ("mft.example",),
    days: int = 0,
) -> bool:
    return pki.serves(server, by, hosts=hosts, now=AT + timedelta(days=days))


def test_a_certificate_serves_the_names_it_was_issued_for_until_thirty_days_before_its_end() -> (
    None
):
    assert pki.hosts_of(SERVER.certificate) == ("127.0.0.1", "mft.example", "::1")
    assert serves(hosts=("mft.example", "0:0:0:0:0:0:0:1"))
    assert not serves(hosts=("mft.example", "other.example"))
    assert serves(days=pki.SERVER_DAYS - 31)
    assert not serves(days=pki.SERVER_DAYS - 29)


def test_it_is_told_until_when_a_certificate_holds_that_stands_beside_its_key() -> None:
    end = AT + timedelta(days=pki.SERVER_DAYS)
    assert pki.holds_until(SERVER.key + SERVER.certificate + AUTHORITY.certificate) == end
    assert pki.holds_until(b"") is pki.holds_until(SERVER.key) is None


def test_a_certificate_of_another_authority_and_what_is_no_pair_serve_nobody() -> None:
    assert not serves(by=OTHER_AUTHORITY)
    other = pki.issue_server(AUTHORITY, hosts=("mft.example",), now=AT)
    for server in (
        pki.KeyPair(certificate=SERVER.certificate, key=other.key),
        pki.KeyPair(certificate=SERVER.certificate, key=b""),
        pki.KeyPair(certificate=SERVER.certificate, key=KEY),
        pki.KeyPair(certificate=b"", key=SERVER.key),
    ):
        assert not serves(server)
    assert pki.hosts_of(b"") == pki.hosts_of(AUTHORITY.certificate) == ()


def test_an_authority_is_found_by_its_key_among_others() -> None:
    both = OTHER_AUTHORITY.certificate + AUTHORITY.certificate
    assert pki.find_authority(AUTHORITY.key, AUTHORITY.key, both) == AUTHORITY
    assert len(pki.fingerprint(AUTHORITY.certificate)) == 64
    for key, place in (
        (AUTHORITY.key, OTHER_AUTHORITY.certificate),
        (b"", both),
        (KEY, both),
        (AUTHORITY.key, AUTHORITY.certificate.replace(b"M", b"*")),
    ):
        with pytest.raises(ConfigError, match="cluster authority"):
            pki.find_authority(key, place)


def test_only_certificates_of_authorities_that_hold_today_are_taken_for_some() -> None:
    good = AUTHORITY.certificate
    pki.check_authorities(good + OTHER_AUTHORITY.certificate, now=AT)
    late = AT + timedelta(days=pki.CA_DAYS + 1)
    for pem, now, told in (
        (good + good.replace(b"M", b"*"), AT, "not a certificate"),
        (good + SERVER.certificate, AT, "not that of an authority"),
        (good, late, "holds from 2026"),
    ):
        with pytest.raises(ConfigError, match=told):
            pki.check_authorities(pem, now=now)


def test_the_certificate_of_a_fingerprint_is_picked_out_of_many_and_no_other() -> None:
    many = OTHER_AUTHORITY.certificate + AUTHORITY.certificate
    assert pki.pick(many, pki.fingerprint(AUTHORITY.certificate)) == AUTHORITY.certificate
    assert pki.pick(many, "0" * 64) is None


@pytest.mark.parametrize(
    "key", [b"", b"nonsense", pki.make_authority("c", now=SetClock().now()).key]
)
def test_what_is_no_identity_is_refused(key: bytes) -> None:
    with pytest.raises(ConfigError, match="join again"):
        pki.public_identity(key)


def test_what_is_no_public_identity_is_refused() -> None:
    with pytest.raises(ConfigError, match="64 hexadecimal digits"):
        pki.load_public_identity("xyz")
