"""What clients show of themselves, and whom a certificate is for."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ssh_keys import make_key, sign_key

from mftgit.model.inbound.visitor import read_visitor
from mftgit.model.keys.host_authority import read_authority
from mftgit.model.keys.ssh_certificate import Certificate, CertifiedAs, read_certificate_line
from mftgit.model.keys.ssh_key import PublicKey, read_key_blob
from mftgit.model.keys.ssh_user_key import ALGORITHMS, is_for, read_shown

pytestmark = pytest.mark.needs("ssh-keygen")

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Certificate, PublicKey, bytes]:
    """A certificate for ann or bob from one network, its authority, and its binary form."""
    work = tmp_path_factory.mktemp("keys")
    make_key(work / "ca", "ed25519")
    make_key(work / "ann", "ed25519")
    line = sign_key(
        work / "ca",
        work / "ann",
        "ann,bob",
        *("-V", "20260101:20270101"),
        *("-O", "source-address=192.0.2.0/24,2001:db8::1"),
    ).read_text("ascii")
    certificate, blob = read_certificate_line(line)
    return certificate, read_authority((work / "ca.pub").read_text("ascii")), blob


def _is_for(
    certificate: Certificate,
    authority: PublicKey,
    *,
    principals: tuple[str, ...] = ("ann",),
    source: str = "192.0.2.7",
    now: datetime = NOW,
) -> bool:
    return is_for(
        certificate,
        authorities=[authority],
        principals=principals,
        visitor=read_visitor(source, 1),
        now=now,
    )


def test_a_certificate_is_for_its_principals_in_its_window_from_its_network(
    signed: tuple[Certificate, PublicKey, bytes],
) -> None:
    certificate, authority, _ = signed
    assert _is_for(certificate, authority)
    assert _is_for(certificate, authority, principals=("bob", "eve"), source="2001:db8::1")
    assert not _is_for(certificate, authority, principals=("eve",))
    assert not _is_for(certificate, authority, principals=())
    assert not _is_for(certificate, authority, source="198.51.100.7")
    assert not _is_for(certificate, authority, now=NOW.replace(year=2025))
    assert not _is_for(certificate, authority, now=NOW.replace(year=2027))
    assert not _is_for(certificate, certificate.key)
    assert not _is_for(replace(certificate, certified_as=CertifiedAs.HOST), authority)
    assert not _is_for(replace(certificate, principals=()), authority)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("force-command", b"\0\0\0\4true"),
        ("verify-required", b""),
        ("source-address", b""),
        ("source-address", b"\0\0\0\0"),
        ("source-address", b"\0\0\0\x0a192.0.2.7 "),
        ("source-address", b"\0\0\0\x09192.0.2.7more"),
        ("source-address", b"\0\0\0\x10192.0.2.7,nobody"),
        ("source-address", b"\0\0\0\x02\xff\xff"),
    ],
)
def test_an_option_that_is_not_understood_is_for_nobody(
    signed: tuple[Certificate, PublicKey, bytes], name: str, value: bytes
) -> None:
    certificate, authority, _ = signed
    odd = replace(certificate, options=(name,), option_values=(value,))
    assert not _is_for(odd, authority)


def test_a_key_or_certificate_is_shown_for_its_own_algorithm(
    signed: tuple[Certificate, PublicKey, bytes],
) -> None:
    certificate, _, blob = signed
    shown = read_shown("ssh-ed25519-cert-v01@openssh.com", blob)
    assert (shown.algorithm, shown.key, shown.certificate) == (
        "ssh-ed25519",
        certificate.key,
        certificate,
    )
    assert read_shown("ssh-ed25519", certificate.key.blob).certificate is None


@pytest.mark.parametrize("algorithm", ["ssh-rsa", "ssh-dss", "", "none", "rsa-sha2-256"])
def test_other_algorithms_are_refused(
    signed: tuple[Certificate, PublicKey, bytes], algorithm: str
) -> None:
    certificate, _, blob = signed
    with pytest.raises(ValueError, match="algorithm"):
        read_shown(algorithm, certificate.key.blob)
    with pytest.raises(ValueError, match=r"algorithm|kind"):
        read_shown(f"{algorithm}-cert-v01@openssh.com", blob)
    with pytest.raises(ValueError, match="ends too early"):
        read_shown("ssh-ed25519", blob)


def test_an_unsigned_certificate_of_any_form_is_for_nobody(
    signed: tuple[Certificate, PublicKey, bytes],
) -> None:
    certificate, authority, _ = signed
    assert not _is_for(replace(certificate, option_values=()), authority)


def _string(content: bytes) -> bytes:
    return len(content).to_bytes(4) + content


@given(st.data())
def test_whatever_is_shown_is_read_or_refused(
    signed: tuple[Certificate, PublicKey, bytes], data: st.DataObject
) -> None:
    _, _, certificate = signed
    point = bytes((4,)) + bytes(64)
    curve = data.draw(st.sampled_from([b"nistp256", b"sha2-nistp256", b"nistp521", b"x", b""]))
    ecdsa = b"".join(map(_string, (b"ecdsa-sha2-nistp256", curve, point)))
    blob = data.draw(st.sampled_from([certificate, ecdsa]))
    at = data.draw(st.integers(0, len(blob)))
    odd = blob[:at] + data.draw(st.binary(max_size=8)) + blob[data.draw(st.integers(at, at + 8)) :]
    for algorithm in ALGORITHMS:
        for name in (algorithm, f"{algorithm}-cert-v01@openssh.com"):
            with suppress(ValueError):
                read_shown(name, odd)


def test_an_rsa_key_signs_with_sha_2_and_has_2048_bits(tmp_path: Path) -> None:
    for bits in ("2048", "1024"):
        make_key(tmp_path / bits, "rsa", options=("-b", bits))
    blobs = {
        bits: read_key_blob((tmp_path / f"{bits}.pub").read_text("ascii").split()[1])
        for bits in ("2048", "1024")
    }
    assert read_shown("rsa-sha2-512", blobs["2048"]).key.kind == "ssh-rsa"
    with pytest.raises(ValueError, match="1024 bits"):
        read_shown("rsa-sha2-512", blobs["1024"])
    with pytest.raises(ValueError, match="not taken"):
        read_shown("ssh-rsa", blobs["2048"])
    assert not {name for name in ALGORITHMS if name in {"ssh-rsa", "ssh-dss"}}
