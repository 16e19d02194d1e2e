"""What somebody is editing differs from a revision in exactly what they changed."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from config_tree import tree
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.names import Revision
from mftgit.model.revisions.draft import (
    MAX_BYTES,
    MAX_FILES,
    Draft,
    blob_id,
    check_path,
    content_of,
    overlay,
    parse_draft,
    text_of,
)

BASE = Revision("1" * 40)
FILES = overlay(tree({}), {"a": b"1\n", "b/c": b"2\n"})


def test_what_is_as_before_is_no_change() -> None:
    draft = Draft(base=BASE).with_file("a", b"2\n", FILES).with_file("b/c", None, FILES)
    assert draft.files == {"a": b"2\n", "b/c": None}
    back = draft.with_file("a", b"1\n", FILES).with_file("b/c", b"2\n", FILES)
    assert back.files == {}
    assert Draft(base=BASE).with_file("new", None, FILES).files == {}


def test_a_draft_is_read_as_it_was_kept() -> None:
    for draft in (
        Draft(base=BASE),
        Draft(base=BASE, proposal="more/x", files={"a": b"\xff\n", "b/c": None}),
    ):
        assert parse_draft(json.loads(json.dumps(draft.as_json()))) == draft


@pytest.mark.parametrize(
    "change",
    [
        {"base": "1"},
        {"base": None},
        {"proposal": 3},
        {"files": []},
        {"files": {"../x": None}},
        {"files": {"a": "%%%"}},
        {"files": {"a": 3}},
    ],
)
def test_what_is_no_draft_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_draft({**Draft(base=BASE).as_json(), **change})
    with pytest.raises(ValueError, match="not a draft"):
        parse_draft([])


def test_a_draft_has_an_end() -> None:
    draft = Draft(base=BASE, files={f"f{n}": b"" for n in range(MAX_FILES)})
    with pytest.raises(ValueError, match="at most 200 files"):
        draft.with_file("more", b"", FILES)
    with pytest.raises(ValueError, match="4,194,305"):
        Draft(base=BASE).with_file("a", b"x" * (MAX_BYTES + 1), FILES)


@pytest.mark.parametrize(
    "path", ["", "a/", "/a", "..", "a/../b", ".git/x", "a/.GIT", "a\nb", "\udcff"]
)
def test_no_path_leads_elsewhere(path: str) -> None:
    with pytest.raises(ValueError, match="no path"):
        check_path(path)


def test_files_are_laid_over_a_revision() -> None:
    found = overlay(FILES, {"a": None, "b/c": b"3\n", "d": b""})
    assert {path: entry.load() for path, entry in found.items()} == {"b/c": b"3\n", "d": b""}
    assert found["d"].oid == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


@pytest.mark.needs("git")
def test_git_calls_files_the_same(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"one\r\ntwo")
    said = subprocess.run(
        ["git", "hash-object", "--no-filters", "x"], cwd=tmp_path, capture_output=True, check=True
    )
    assert said.stdout.decode().strip() == blob_id(b"one\r\ntwo")


@pytest.mark.parametrize(
    ("text", "before", "content"),
    [
        ("a\r\nb\r\n", None, b"a\nb\n"),
        ("a\r\nb", None, b"a\nb\n"),
        ("a", b"x", b"a"),
        ("a", b"x\n", b"a\n"),
        ("a\r\nb\r\n", b"x\r\n", b"a\r\nb\r\n"),
        ("", b"x\n", b""),
    ],
)
def test_lines_end_as_they_did(text: str, before: bytes | None, content: bytes) -> None:
    assert content_of(text, before) == content


def test_half_a_character_is_no_text() -> None:
    with pytest.raises(ValueError, match="half a character"):
        content_of("\ud800", None)


@given(st.binary())
def test_a_text_that_is_not_edited_stays(content: bytes) -> None:
    text = text_of(content)
    if text is not None and b"\r" not in content:
        assert content_of(text.replace("\n", "\r\n"), content) == content


def test_what_is_no_text_is_not_edited() -> None:
    assert text_of(b"\xff") is None
    assert text_of(b"a\0") is None
    assert text_of(b"a\r\n") == "a\n"
