"""A name is safe when no system takes it for git's own folder; git's fsck is asked whether it agrees."""

import os
from pathlib import Path

import pytest
from git_cli import git, git_ok
from git_raw import blob, oid, tree
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.revisions.safe_names import unsafe_for_git, unsafe_name

FOR_GIT = [
    "",
    ".",
    "..",
    ".git",
    ".GIT",
    ".Git.",
    ".git ",
    ".git. . .",
    "git~1",
    "GIT~1",
    "git~1. ",
    ".git::$INDEX_ALLOCATION",
    ".git. :x",
    "git~1:x",
    "a\\.git",
    ".git\\a",
    "a\\GIT~1 \\b",
    ".g\u200cit",
    "\u206f.gi\ufeffT",
    ".git\udcff",
]
FINE = [
    "README.md",
    ".gitignore",
    ".gitattributes",
    ".github",
    ".gi",
    ".gitx",
    "git~2",
    "git",
    "a.git",
    "git~10",
    "a b",
    "a\\b",
    "caf\u00e9",
    "-x",
    "a~1",
    ".g\u00eft",
    "x\u200cy",
]


@pytest.mark.parametrize("name", FOR_GIT)
def test_what_some_system_takes_for_git_s_own_folder_is_unsafe(name: str) -> None:
    assert unsafe_for_git(name)
    assert unsafe_name(name)


@pytest.mark.parametrize("name", FINE)
def test_other_names_are_safe(name: str) -> None:
    assert unsafe_for_git(name) is None
    assert unsafe_name(name) is None


@pytest.mark.parametrize(
    ("name", "why"),
    [("a\udcff", "not UTF-8"), ("a\x1b", "control"), ("a\x7f", "control"), ("\x85", "control")],
)
def test_a_name_that_cannot_be_told_on_a_line_is_unsafe_for_us(name: str, why: str) -> None:
    assert unsafe_for_git(name) is None
    assert why in str(unsafe_name(name))


@pytest.mark.needs("git")
def test_git_s_own_fsck_objects_to_no_name_that_is_safe(tmp_path: Path) -> None:
    alphabet = [".", "g", "i", "t", "I", "~", "1", " ", ":", "\\", "\u200c", "\udcff", "x"]
    pieces = [".git", "git~1", *alphabet]
    names = {a + b + c for a in pieces for b in pieces for c in ["", *pieces]}
    git_ok(tmp_path, "init", "--quiet", "--bare")
    text = oid(blob(b""))
    git_ok(tmp_path, "hash-object", "-w", "--stdin", content=b"")
    trees = {}
    for name in sorted({*names, *FOR_GIT, *FINE} - {""}):
        kind, content = tree(("100644", os.fsencode(name), text))
        trees[oid((kind, content))] = (name, content)
    batch = tmp_path / "batch"
    batch.mkdir()
    for number, (_, content) in enumerate(trees.values()):
        (batch / str(number)).write_bytes(content)
    paths = "\n".join(str(batch / str(number)) for number in range(len(trees)))
    git_ok(
        tmp_path,
        "hash-object",
        "-t",
        "tree",
        "--literally",
        "-w",
        "--stdin-paths",
        content=paths.encode(),
    )
    said = git(tmp_path, "fsck", "--full", "--no-dangling").err
    refused = {trees[word][0] for word in said.replace(":", " ").split() if word in trees}
    assert len(refused) > 100
    assert {name for name in refused if unsafe_for_git(name) is None} == set()


@given(st.text(st.characters(exclude_categories=())))
def test_whatever_is_safe_for_us_is_safe_for_git(name: str) -> None:
    if unsafe_name(name) is None:
        assert unsafe_for_git(name) is None
