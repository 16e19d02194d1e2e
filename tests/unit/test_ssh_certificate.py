"""Certificates are read as OpenSSH writes them, and what is none is told."""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from certificate_lines import AUTHORITY_LINE, HOST_LINE, RSA_LINE, USER_LINE
from hypothesis import example, given
from hypothesis import strategies as st

from mftgit.model.keys.ssh_certificate import CertifiedAs, read_certificate, read_certificate_line
from mftgit.model.locations.location import Client, Jump, LocalLocation, SftpLocation
from mftgit.model.locations.login import Auth, KeyAuth, PasswordAuth, SecretRef
from mftgit.model.names import LocationName
from mftgit.model.rules.location import check_location

SECOND = timedelta(seconds=1)


def blob(line: str) -> bytes:
    return base64.b64decode(line.split()[1])


def test_a_users_certificate_says_what_was_signed() -> None:
    found, content = read_certificate_line(USER_LINE + " a comment\n")
    assert content == blob(USER_LINE)
    assert found.certified_as == CertifiedAs.USER
    assert (found.key_id, found.principals, found.options) == ("alice", ("acme", "bob"), ())
    assert found.key.kind == "ssh-ed25519"
    assert found.authority.blob == blob(AUTHORITY_LINE)
    assert content.startswith(found.signed)
    assert content.endswith(found.signature)


def test_a_hosts_certificate_and_one_with_options_are_read_too() -> None:
    host, _ = read_certificate_line(HOST_LINE)
    assert host.certified_as == CertifiedAs.HOST
    assert host.principals == ("sftp.example", "*.lan")
    rsa, _ = read_certificate_line(RSA_LINE)
    assert (rsa.key.kind, rsa.options) == ("ssh-rsa", ("force-command",))


def test_a_certificate_holds_from_its_first_second_until_its_last_has_begun() -> None:
    found, _ = read_certificate_line(USER_LINE)
    begin, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    assert [found.holds_at(each) for each in (begin - SECOND, begin, end - SECOND, end)] == [
        False,
        True,
        True,
        False,
    ]
    assert found.window == "valid from 2026-01-01T00:00:00Z until 2027-01-01T00:00:00Z"
    endless, _ = read_certificate_line(HOST_LINE)
    assert endless.holds_at(end)
    assert endless.window == "valid from 1970-01-01T00:00:00Z until any time"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", "ends too early"),
        (AUTHORITY_LINE, "'ssh-ed25519' is not taken"),
        (USER_LINE.replace("ssh-ed25519-", "ssh-rsa-"), "the line says 'ssh-rsa-cert"),
        ("ssh-ed25519-cert-v01@openssh.com x!", "not base64"),
        ("x AAAAHXgtY2VydC12MDFAb3BlbnNzaC5jb20", "not base64"),
        (
            "x " + base64.b64encode(b"\0\0\0\x16x-cert-v01@openssh.com").decode(),
            "'x-cert-v01@openssh.com' is not taken",
        ),
        (
            "ssh-ed25519-cert-v01@openssh.com "
            + base64.b64encode(blob(USER_LINE) + b"\0").decode(),
            "longer than a certificate",
        ),
    ],
)
def test_what_is_no_certificate_is_told(line: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_certificate_line(line)


def test_an_option_without_a_value_makes_no_certificate() -> None:
    whole, name = blob(RSA_LINE), b"\0\0\0\x0dforce-command"
    at = whole.index(name)
    size = int.from_bytes(whole[at - 4 : at])
    cut = whole[: at - 4] + len(name).to_bytes(4) + name + whole[at + size :]
    with pytest.raises(ValueError, match="an option without a value"):
        read_certificate(cut)


@given(st.integers(0, 2000), st.sampled_from([USER_LINE, HOST_LINE, RSA_LINE]))
@example(4 + 32 + 4 + 32 + 4 + 32 + 10, USER_LINE)  # in the number that says of whom it is
def test_a_certificate_that_is_cut_off_anywhere_is_none(length: int, line: str) -> None:
    whole = blob(line)
    with pytest.raises(ValueError, match=r"early|fields|kind|32 bytes|point"):
        read_certificate(whole[: length % len(whole)])


def location(*auth: Auth) -> SftpLocation:
    return SftpLocation(name=LocationName("p"), host="h", username="u", host_keys=("k",), auth=auth)


def test_a_certificate_in_a_location_has_to_be_one_of_a_user() -> None:
    good = location(
        PasswordAuth(file="p"),
        KeyAuth(file="k", certificate=USER_LINE),
        KeyAuth(file="k", certificate=SecretRef(file="c")),
    )
    assert list(check_location(good)) == []
    assert list(check_location(LocalLocation(name=LocationName("l"), path="p"))) == []
    bad_authority = replace(good, host_ca=(AUTHORITY_LINE, "ssh-ed25519 AAAA"))
    (fault,) = check_location(bad_authority)
    assert (fault.pointer, fault.rule) == ("/host_ca/1", "certificate")
    assert [fault.pointer for fault in check_location(replace(good, legacy=True))] == ["/legacy"]
    jump = Jump(
        host="j", username="u", host_keys=(), auth=(KeyAuth(file="k", certificate=HOST_LINE),)
    )
    (fault,) = check_location(replace(good, jump=jump))
    assert fault.pointer == "/jump/auth/0/certificate"
    plain = replace(jump, auth=())
    by_openssh = replace(good, jump=plain, client=Client.OPENSSH, legacy=True)
    (fault,) = check_location(by_openssh)
    assert (fault.pointer, fault.rule) == ("/jump", "client")
    bad = location(
        KeyAuth(file="k", certificate=HOST_LINE), KeyAuth(file="k", certificate=AUTHORITY_LINE)
    )
    host, key = check_location(bad)
    assert (host.pointer, host.rule) == ("/auth/0/certificate", "certificate")
    assert "it is for a host" in host.message
    assert "not taken" in key.message
