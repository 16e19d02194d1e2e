"""How members reach the controller is read from cluster.yaml whole, or its problem is told where it stands."""

import hashlib
from base64 import b64encode

import pytest
from config_tree import only, validate
from controller_line_text import section
from hypothesis import given
from hypothesis import strategies as st

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.tls import pki
from mftgit.model.configuration.controller_line import (
    ControllerLine,
    fingerprints,
    host_of,
    read_host,
    to_pem,
    together,
    without,
)
from mftgit.model.rules.parts import declared_cluster

NOW = SystemClock().now()
ONE, TWO = (pki.make_authority(name, now=NOW).certificate.decode() for name in ("one", "two"))


def line(url: str | None = None, ca: str | None = None) -> ControllerLine:
    cluster = declared_cluster(validate({"cluster.yaml": section(url, ca)}).parts)
    assert cluster is not None
    return cluster.controller


def test_a_cluster_that_says_nothing_changes_nothing() -> None:
    assert line() == ControllerLine()


def test_address_and_authorities_are_read() -> None:
    both = line("https://mft.example.org:8443/", ONE + TWO)
    assert both.url == "https://mft.example.org:8443"
    assert both.ca == (pki.fingerprint(ONE.encode()), pki.fingerprint(TWO.encode()))
    assert fingerprints(both.ca_pem) == both.ca
    assert line(ca=ONE).url is None
    assert line("https://mft.example.org").ca == ()


def test_lines_are_equal_when_they_name_the_same_authorities_however_these_are_written() -> None:
    assert line(ca=ONE) == line(ca=ONE.rstrip("\n") + "\n\nwhat openssl says besides\n")
    assert line(ca=ONE) != line(ca=ONE + TWO)


@pytest.mark.parametrize(
    "url",
    [
        "https://mft.example.org",
        "https://127.0.0.1:1",
        "https://[::1]:65535",
    ],
)
def test_an_address_may_have_a_port(url: str) -> None:
    assert line(url).url == url


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://mft.example.org", "form"),
        ("mft.example.org:8443", "form"),
        ("https://", "form"),
        ("https://user:pass@mft.example.org", "form"),
        ("https://mft.example.org:8443/?a=b", "form"),
        ("https://proxy.example/mft", "form"),
        ("https://mft..example.org:0", "url"),
        ("https://mft.example.org:65536", "url"),
        ("https://[::1::2]:8443", "url"),
        ("https://[:::]", "url"),
    ],
)
def test_what_is_no_address_of_a_controller_is_a_problem(url: str, rule: str) -> None:
    problem = only({"cluster.yaml": section(url)})
    assert (problem.pointer, problem.rule, problem.line) == ("/controller/url", rule, 3)
    assert "https://HOST:PORT" in problem.hint


@pytest.mark.parametrize(
    ("ca", "told"),
    [
        (ONE.replace("M", "*", 1), "of 1 certificates 0 can be read"),
        (ONE + TWO[:200], "of 2 certificates 1 can be read"),
        (ONE + TWO.replace("\n", "\nABCD", 2), "of 2 certificates 1 can be read"),
        (ONE + TWO.replace("M", "\u00e4", 1), "of 2 certificates 1 can be read"),
        (to_pem([b"\x30"]), "of 1 certificates 0 can be read"),
        (to_pem([b"\x31\x00"]), "of 1 certificates 0 can be read"),
        (ONE + ONE, "a certificate stands here twice"),
        ("".join(to_pem([bytes([0x30, 1, n])]) for n in range(9)), "at most 8 certificates"),
    ],
)
def test_authorities_that_are_not_whole_or_too_many_are_a_problem(ca: str, told: str) -> None:
    problem = only({"cluster.yaml": section(ca=ca)})
    assert (problem.pointer, problem.rule) == ("/controller/ca", "certificate")
    assert told in problem.message
    assert "ca.pem" in problem.hint


@given(st.lists(st.binary(max_size=300), max_size=4))
def test_certificates_come_out_of_their_text_as_they_went_in(bodies: list[bytes]) -> None:
    certificates = [b"\x30\x82" + len(body).to_bytes(2) + body for body in bodies]
    pem = to_pem(certificates)
    assert fingerprints(pem) == tuple(hashlib.sha256(each).hexdigest() for each in certificates)
    assert together(pem, pem) == to_pem(dict.fromkeys(certificates))


def test_one_certificate_is_left_out_and_the_others_stay() -> None:
    one, two = fingerprints(ONE + TWO)
    assert fingerprints(without(ONE + TWO, one)) == (two,)
    assert without(ONE, two) == ONE


@given(st.text() | st.binary(max_size=60).map(lambda each: b64encode(each).decode()))
def test_no_text_breaks_the_reading(text: str) -> None:
    begin, end = ONE.splitlines()[0], ONE.splitlines()[-1]
    assert len(fingerprints(f"{begin}{text}{end}")) <= 1 + text.count(begin)


def test_the_published_host_is_read_and_nothing_else_is_taken_for_one() -> None:
    for url, host in (
        ("https://mft.example.org:8443", "mft.example.org"),
        ("https://[::1]:8443", "::1"),
        ("https://[x", None),
    ):
        assert host_of(url) == host
        assert read_host(section(url).encode()) == host
    for text in ("name: c\n", "controller: 1\n", "controller: {url: 1}\n", "", "\t"):
        assert read_host(text.encode()) is None
