"""A location of type ftps: read, written, checked, and told from others."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.locations.document import build_location, format_location
from mftgit.model.locations.ftps import FtpsLocation
from mftgit.model.locations.login import SecretRef
from mftgit.model.locations.tls import TlsAuth
from mftgit.model.names import LocationName, SecretName
from mftgit.model.rules.location import check_location

NAME = LocationName("partner")
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
PIN = ":".join(["AB"] * 32)

kept = st.builds(SecretRef, file=st.just("a.key")) | st.builds(
    SecretRef, secret=st.sampled_from([SecretName("a"), SecretName("b")])
)
locations = st.builds(
    FtpsLocation,
    name=st.just(NAME),
    host=st.sampled_from(["a.example", "::1"]),
    port=st.integers(1, 65535),
    username=st.text(min_size=1),
    path=st.sampled_from([".", "/in", "in"]),
    auth=st.builds(
        TlsAuth,
        password=st.none() | kept,
        private_key=st.none() | kept,
        passphrase=st.none() | kept,
        certificate=st.none() | kept | st.just(PEM),
    ),
    implicit=st.booleans(),
    ca=st.none() | st.just(PEM),
    fingerprints=st.sampled_from([(), (PIN,)]),
    keepalive_s=st.integers(0, 3600),
    bytes_per_s=st.none() | st.just(2000),
    connect_timeout_s=st.none() | st.just(3.0),
)


def document(**more: Any) -> dict[str, Any]:
    value = {"type": "ftps", "host": "a", "username": "u", "auth": {"password": {"file": "p"}}}
    return value | more


def location(**more: Any) -> FtpsLocation:
    built = build_location(NAME, document(**more))
    assert isinstance(built, FtpsLocation)
    return built


@given(locations)
def test_a_location_is_read_as_it_was_written(written: FtpsLocation) -> None:
    assert build_location(NAME, format_location(written)) == written


def test_the_port_is_that_of_the_way_in_which_tls_begins() -> None:
    assert location().port == 21
    assert location(implicit=True).port == 990
    assert location(implicit=True, port=2121).port == 2121


def test_the_secrets_are_found_with_their_places() -> None:
    auth = {
        "password": {"secret": "a"},
        "private_key": {"secret": "b"},
        "passphrase": {"file": "c"},
        "certificate": PEM,
    }
    found = list(location(auth=auth).secrets())
    assert found == [("/auth/password/secret", "a"), ("/auth/private_key/secret", "b")]


@pytest.mark.parametrize(
    ("more", "pointer"),
    [
        ({"auth": {"private_key": {"file": "k"}}}, "/auth"),
        ({"auth": {"certificate": PEM}}, "/auth"),
        ({"auth": {"password": {"file": "p"}, "passphrase": {"file": "k"}}}, "/auth/passphrase"),
        ({"ca": PEM, "fingerprints": [PIN]}, "/fingerprints"),
    ],
)
def test_what_does_not_go_together_is_a_fault(more: dict[str, Any], pointer: str) -> None:
    assert [fault.pointer for fault in check_location(location(**more))] == [pointer]


def test_what_goes_together_is_none() -> None:
    both = {"private_key": {"file": "k"}, "certificate": PEM, "passphrase": {"file": "p"}}
    assert list(check_location(location())) == []
    assert list(check_location(location(auth=both, fingerprints=[PIN]))) == []


def test_a_place_is_told_by_server_user_and_path() -> None:
    one = location(path="in")
    assert one.place == replace(one, host="A", timeout_s=1).place
    for other in ({"port": 990}, {"username": "v"}, {"path": "/in"}):
        assert replace(one, **other).place != one.place
    assert one.server != replace(one, username="v").server
    rooted = replace(one, path="/in")
    assert rooted.server == replace(rooted, username="v").server
    assert str(one) == "ftps://u@a:21, in"
