"""Paths as accounts write them."""

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.inbound.account_path import (
    MAX_DEPTH,
    MAX_NAME_BYTES,
    MAX_PATH_BYTES,
    is_reserved,
    is_reserved_far,
    parts_of,
    temporary_name,
    text_of,
)
from mftgit.model.names import AccountName

WORDS = st.lists(st.sampled_from(["", ".", "..", "a", "b", "...", "a.", "\udcff"]), max_size=12)


@given(WORDS)
def test_a_path_leads_where_posix_leads_from_the_top(words: list[str]) -> None:
    path = "/".join(words)
    parts = parts_of(path)
    assert text_of(parts) == posixpath.normpath("//" + path).replace("//", "/")
    assert not {"", ".", ".."}.intersection(parts)
    assert parts_of(text_of(parts)) == parts


@given(st.text(max_size=300))
def test_no_path_has_a_name_that_leads_elsewhere(path: str) -> None:
    try:
        parts = parts_of(path)
    except ValueError:
        return
    assert all(part and "/" not in part and "\0" not in part for part in parts)
    assert not {".", ".."}.intersection(parts)


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("a\0b", "NUL"),
        ("\ud800", "no name can hold"),
        ("a/" * (MAX_PATH_BYTES // 2) + "bc", "4,098 bytes"),
        ("ä" * (MAX_NAME_BYTES // 2 + 1), "256 bytes"),
        ("a/" * (MAX_DEPTH + 1), "101 names deep"),
    ],
)
def test_what_no_file_can_be_called_is_refused(path: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        parts_of(path)


@pytest.mark.parametrize(
    "name",
    [
        ".mftgit",
        ".mftgit-upload-1",
        ".MFTGIT",
        ".mft\u200dgit-x",
        ".\uff2d\uff26\uff34git",
        ".mftgitx",
    ],
)
def test_the_clusters_own_names_are_known_in_every_spelling(name: str) -> None:
    assert is_reserved(name)


@pytest.mark.parametrize("name", ["mftgit", ".mft", "a.mftgit", ".git", "ä", ".mft-git"])
def test_other_names_are_the_accounts(name: str) -> None:
    assert not is_reserved(name)


@given(st.text(min_size=1, max_size=255), st.text(min_size=1, max_size=255))
def test_a_temporary_is_told_by_account_and_name(name: str, other: str) -> None:
    name = name.encode("utf-8", "replace").decode()
    own = temporary_name(AccountName("acme"), name)
    assert own == temporary_name(AccountName("acme"), name)
    assert is_reserved(own)
    assert len(own) < 64
    assert own != temporary_name(AccountName("other"), name)
    other = other.encode("utf-8", "replace").decode()
    assert (own == temporary_name(AccountName("acme"), other)) == (name == other)


@pytest.mark.parametrize(
    "name", [".mftgit-claims", ".upload-mftgit-0a", ".UPLOAD-mftgit-0a", ".Mftgit"]
)
def test_names_of_the_cluster_on_a_server_are_known_however_they_are_written(name: str) -> None:
    assert is_reserved_far(name)


def test_other_names_on_a_server_are_nobodys() -> None:
    assert not is_reserved_far(".upload-of-mine")
    assert not is_reserved_far("report.upload-mftgit-0a")
