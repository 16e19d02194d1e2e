"""Locations of the type smb: as their documents say them, and what is wrong with one."""

from dataclasses import replace
from typing import Any

import pytest

from mftgit.model.documents.fault import Fault
from mftgit.model.locations.document import build_location, format_location
from mftgit.model.locations.login import SecretRef
from mftgit.model.locations.smb import SmbLocation
from mftgit.model.names import LocationName, SecretName
from mftgit.model.rules.location import check_location

NAME = LocationName("a")
LEAST: dict[str, Any] = {
    "type": "smb",
    "host": "h",
    "share": "s",
    "username": "u",
    "password": {"file": "p"},
}
PLACE = SmbLocation(
    name=NAME, host="h", share="s", username="u", password=SecretRef(file="p"), path="in/out"
)


def test_a_document_says_what_it_is() -> None:
    assert build_location(NAME, LEAST) == replace(PLACE, path=".")
    every = LEAST | {
        "port": 1445,
        "domain": "D",
        "password": {"secret": "q"},
        "encrypt": False,
        "flush": False,
        "path": "x",
        "timeout_s": 3,
        "connect_timeout_s": 2,
        "idle_s": 0,
        "max_connections": 1,
        "bytes_per_s": 4096,
    }
    assert build_location(NAME, every) == SmbLocation(
        name=NAME,
        host="h",
        port=1445,
        share="s",
        username="u",
        domain="D",
        password=SecretRef(secret=SecretName("q")),
        encrypt=False,
        flush=False,
        path="x",
        timeout_s=3.0,
        connect_timeout_s=2.0,
        idle_s=0.0,
        max_connections=1,
        bytes_per_s=4096,
    )
    for document in (LEAST, every):
        built = build_location(NAME, document)
        assert build_location(NAME, format_location(built)) == built


def test_the_secret_that_it_needs_is_told() -> None:
    assert list(PLACE.secrets()) == []
    kept = replace(PLACE, password=SecretRef(secret=SecretName("q")))
    assert list(kept.secrets()) == [("/password/secret", SecretName("q"))]


def test_what_is_one_server_and_one_place() -> None:
    same = replace(PLACE, host="H", share="S", password=SecretRef(file="q"), encrypt=False)
    assert (same.server, same.place) == (PLACE.server, PLACE.place)
    for other in (
        replace(PLACE, path="x"),
        replace(PLACE, domain="D"),
        replace(PLACE, username="v"),
    ):
        assert (other.server, other.place == PLACE.place) == (PLACE.server, False)
    for other in (replace(PLACE, share="t"), replace(PLACE, host="g"), replace(PLACE, port=1)):
        assert other.server != PLACE.server
    assert str(PLACE) == "smb://u@h:445/s, in/out"


@pytest.mark.parametrize("path", [".", "in", "/in/./out/", "in//out"])
def test_a_path_of_names_that_can_be_is_right(path: str) -> None:
    assert list(check_location(replace(PLACE, path=path))) == []


def test_a_path_with_a_name_that_cannot_be_is_told() -> None:
    (fault,) = check_location(replace(PLACE, path="in/con/x"))
    assert isinstance(fault, Fault)
    assert (fault.pointer, fault.rule) == ("/path", "name")
    assert "'con': it is the name of a device" in fault.message
