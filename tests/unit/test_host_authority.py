"""Which certificates vouch for a host."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from certificate_lines import AUTHORITY_LINE, HOST_LINE, USER_LINE

from mftgit.model.keys.host_authority import host_flaw, read_authority
from mftgit.model.keys.ssh_certificate import Certificate, read_certificate_line

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
AUTHORITY = read_authority(AUTHORITY_LINE)
HOST, _ = read_certificate_line(HOST_LINE)
USER, _ = read_certificate_line(USER_LINE)


def flaw(certificate: Certificate = HOST, host: str = "sftp.example") -> str | None:
    return host_flaw(certificate, host=host, authorities=(AUTHORITY,), now=NOW)


@pytest.mark.parametrize(
    ("principals", "host"),
    [
        (("other", "sftp.example"), "SFTP.Example"),
        (("*.LAN",), "a.b.lan"),
        (("sftp-?.lan",), "sftp-1.lan"),
        (("127.0.0.1",), "127.0.0.1"),
        (("***.lan",), "a.lan"),
    ],
)
def test_a_certificate_for_the_host_vouches_for_it(principals: tuple[str, ...], host: str) -> None:
    assert flaw(replace(HOST, principals=principals), host) is None


@pytest.mark.parametrize(
    ("principals", "host"),
    [
        ((), "sftp.example"),
        (("sftp.example",), "sftp.example.evil"),
        (("sftp.example",), "sftpxexample"),
        (("*.lan",), "lan"),
        (("sftp-?.lan",), "sftp-12.lan"),
        (("[a-z].lan",), "a.lan"),
        (("*a*a*a*a*a",), "aaaaaaaaaaaaaa"),
        (("!sftp.example",), "sftp.example"),
    ],
)
def test_a_certificate_for_others_does_not(principals: tuple[str, ...], host: str) -> None:
    told = flaw(replace(HOST, principals=principals), host)
    assert told is not None
    assert f"and not for '{host}'" in told


@pytest.mark.parametrize(
    ("certificate", "told"),
    [
        (replace(HOST, authority=HOST.key), "is none of host_ca"),
        (replace(USER, principals=("sftp.example",)), "for a user, and not for a host"),
        (replace(HOST, options=("force-command",)), "option 'force-command'"),
        (
            replace(HOST, before_s=1),
            "until 1970-01-01T00:00:01Z, and now it is 2026-11-23T08:00:00",
        ),
        (replace(HOST, after_s=2**63), "valid from any time"),
    ],
)
def test_a_certificate_that_does_not_count_is_told(certificate: Certificate, told: str) -> None:
    assert told in (flaw(certificate) or "")
