"""Where an etcd is, and how members log in to it."""

from typing import Any

import pytest

from mftgit.model.locations.login import SecretRef
from mftgit.model.names import SecretName
from mftgit.model.ownership.etcd import Endpoint, build_etcd, check_etcd, parse_endpoint

ENDPOINTS = ["https://etcd-1.example.org:2379", "https://[fd00::2]", "http://127.0.0.1:1234"]


def faults(**fields: Any) -> list[str]:
    place = build_etcd({"endpoints": ENDPOINTS, **fields}, "acme")
    return [f"{each.pointer} {each.rule}" for each in check_etcd(place)]


def test_what_is_said_is_read() -> None:
    place = build_etcd(
        {
            "endpoints": ENDPOINTS,
            "username": "mftgit",
            "auth": {"password": {"secret": "etcd-password"}},
            "ca": "PEM",
        },
        "acme",
    )
    assert place.endpoints == tuple(ENDPOINTS)
    assert tuple(map(parse_endpoint, place.endpoints)) == (
        Endpoint(scheme="https", host="etcd-1.example.org"),
        Endpoint(scheme="https", host="fd00::2"),
        Endpoint(scheme="http", host="127.0.0.1", port=1234),
    )
    assert [str(parse_endpoint(each)) for each in place.endpoints] == [
        "https://etcd-1.example.org:2379",
        "https://[fd00::2]:2379",
        "http://127.0.0.1:1234",
    ]
    assert place.prefix == "/mftgit/acme"
    assert place.auth.password == SecretRef(secret=SecretName("etcd-password"))
    assert list(place.secrets()) == [("/coordinator/etcd/auth/password/secret", "etcd-password")]
    assert list(check_etcd(place)) == []


def test_a_prefix_of_ones_own_has_no_slash_at_its_end() -> None:
    assert build_etcd({"endpoints": ENDPOINTS, "prefix": "/a/b/"}, "acme").prefix == "/a/b"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"endpoints": ["https://"]}, "/endpoints/0 url"),
        ({"endpoints": ["https://x:99999"]}, "/endpoints/0 url"),
        ({"endpoints": ["https://x:0"]}, "/endpoints/0 url"),
        ({"endpoints": ["http://etcd-1.example.org:2379"]}, "/endpoints/0 insecure"),
        ({"endpoints": ["https://x", "https://x:2379"]}, "/endpoints/1 duplicate"),
        ({"username": "u"}, "/username login"),
        ({"auth": {"password": {"file": "p"}}}, "/auth/password login"),
        ({"auth": {"private_key": {"file": "p"}}}, "/auth login"),
    ],
)
def test_what_does_not_go_together_is_told(fields: dict[str, Any], told: str) -> None:
    assert faults(**fields) == [f"/coordinator/etcd{told}"]
