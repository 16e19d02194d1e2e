"""An HTTPS location: what its document says, its rules, and the names of files in URLs."""

from dataclasses import replace
from typing import Any

import pytest
from config_tree import tree, validator
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.locations.dav_path import name_below, quote_path
from mftgit.model.locations.document import build_location, format_location
from mftgit.model.locations.https_location import HttpsLocation
from mftgit.model.locations.login import SecretRef
from mftgit.model.locations.tls import TlsAuth
from mftgit.model.names import LocationName, SecretName
from mftgit.model.rules.location import check_location

A = LocationName("a")
PASSWORD = SecretRef(secret=SecretName("p"))
LEAST: dict[str, Any] = {"type": "https", "host": "h", "auth": {"token": {"secret": "t"}}}
PLACE = HttpsLocation(name=A, host="h", path="/", auth=TlsAuth(token=SecretRef(file="t")))
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def test_the_least_that_a_document_says() -> None:
    assert build_location(A, LEAST) == replace(
        PLACE, auth=TlsAuth(token=SecretRef(secret=SecretName("t")))
    )


@pytest.mark.parametrize("path", ["in/out", "/in/out", "./in//out/"])
def test_a_path_begins_at_the_root(path: str) -> None:
    assert build_location(A, LEAST | {"path": path}).path == "/in/out"


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"port": 8443, "username": "u", "auth": {"password": {"file": "p"}}},
        {"ca": PEM, "bytes_per_s": 2048, "connect_timeout_s": 3.0},
        {"fingerprints": ["AB:CD"]},
        {
            "auth": {
                "private_key": {"secret": "k"},
                "passphrase": {"file": "q"},
                "certificate": PEM,
            }
        },
        {"auth": {"private_key": {"secret": "k"}, "certificate": {"secret": "c"}}},
    ],
)
def test_a_location_is_written_as_it_is_read(more: dict[str, Any]) -> None:
    location = build_location(A, LEAST | more)
    assert build_location(A, format_location(location)) == location


def test_it_needs_the_secrets_that_its_auth_names() -> None:
    auth = {"private_key": {"secret": "k"}, "certificate": PEM, "passphrase": {"secret": "q"}}
    location = build_location(A, LEAST | {"auth": auth})
    assert sorted(location.secrets()) == [
        ("/auth/passphrase/secret", "q"),
        ("/auth/private_key/secret", "k"),
    ]


def test_where_it_is() -> None:
    assert str(PLACE) == "https://h:443, /"
    named = replace(PLACE, host="::1", username="u", port=8443, path="/in")
    assert str(named) == "https://u@[::1]:8443, /in"
    assert named.server == replace(named, username="v", path="/x").server
    assert named.server != replace(named, port=443).server
    assert named.place != replace(named, username="v").place
    assert PLACE.place == replace(PLACE, host="H").place


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"auth": TlsAuth(password=PASSWORD)}, "/auth/password"),
        ({"username": "u"}, "/username"),
        ({"username": "u:v", "auth": TlsAuth(password=PASSWORD)}, "/username"),
        ({"username": "u", "auth": TlsAuth(password=PASSWORD, token=PASSWORD)}, "/auth/token"),
        ({"auth": TlsAuth(private_key=PASSWORD)}, "/auth"),
        ({"auth": TlsAuth(certificate=PEM)}, "/auth"),
        ({"auth": TlsAuth(token=PASSWORD, passphrase=PASSWORD)}, "/auth/passphrase"),
        ({"ca": PEM, "fingerprints": ("AB",)}, "/fingerprints"),
    ],
)
def test_what_does_not_go_together(wrong: dict[str, Any], pointer: str) -> None:
    assert [fault.pointer for fault in check_location(replace(PLACE, **wrong))] == [pointer]


@pytest.mark.parametrize(
    "right",
    [
        {},
        {"username": "u", "auth": TlsAuth(password=PASSWORD)},
        {"auth": TlsAuth(token=PASSWORD, private_key=PASSWORD, certificate=PEM)},
        {"ca": PEM},
    ],
)
def test_what_goes_together(right: dict[str, Any]) -> None:
    assert list(check_location(replace(PLACE, **right))) == []


def test_a_repository_with_one_is_told_what_is_wrong() -> None:
    text = "type: https\nhost: h\nauth: {password: {file: p}}\nfingerprints: [x]\nkeepalive_s: 3\n"
    problems = validator().validate(tree({"locations/a.yaml": text})).problems
    assert {each.pointer for each in problems} >= {"/fingerprints/0", "/keepalive_s"}


names = st.text(min_size=1, max_size=8).filter(
    lambda name: name not in {".", ".."} and "/" not in name and "\0" not in name
)
odd_names = st.binary(min_size=1, max_size=8).map(
    lambda raw: raw.replace(b"/", b"").replace(b"\0", b"").decode("utf-8", "surrogateescape")
)


@given(st.lists(names | odd_names.filter(lambda name: name not in {"", ".", ".."}), max_size=4))
def test_a_name_is_found_again_in_the_url_that_it_makes(parts: list[str]) -> None:
    url = quote_path(parts)
    assert url.isascii()
    assert not set(url) & set(' ?#\\"\r\n')
    assert name_below(url, parts) == ""
    if parts:
        assert name_below(f"https://h{quote_path(parts, folder=True)}", parts[:-1]) == parts[-1]


@pytest.mark.parametrize(
    "href",
    [
        "/in/sub/deeper",
        "/in/..",
        "/in/%2e%2e",
        "/in/a%2fb",
        "/in/a%00b",
        "/out/a",
        "in/a",
        "",
        "/",
        "https://[h/in/a",
    ],
)
def test_what_is_no_name_in_the_folder(href: str) -> None:
    assert name_below(href, ["in"]) is None
