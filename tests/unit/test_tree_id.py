"""The id of a folder of files is that which git gives it."""

from pathlib import Path

import pytest
from git_cli import git_ok
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.revisions.tree_id import object_id, tree_id

FILES = {"a.yaml": "1", "a/b": "2", "a.b/c/d": "3", "a-b": "4", "trust/é": "5", "a0": "6"}


def ids(files: dict[str, str]) -> dict[str, str]:
    return {path: object_id("blob", content.encode()) for path, content in files.items()}


@pytest.mark.needs("git")
def test_git_gives_the_same_id_to_names_that_order_otherwise_as_folders(tmp_path: Path) -> None:
    git_ok(tmp_path, "init", "--quiet")
    for path, content in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content, encoding="utf-8")
    git_ok(tmp_path, "add", "--all")
    assert tree_id(ids(FILES)) == git_ok(tmp_path, "write-tree")


def test_a_folder_without_files_is_git_s_empty_tree() -> None:
    assert tree_id({}) == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


@given(st.dictionaries(st.from_regex(r"[ab.-]{1,3}x(/[ab.-]{1,3}y)?", fullmatch=True), st.text()))
def test_the_order_in_which_files_are_told_does_not_matter(files: dict[str, str]) -> None:
    told = ids(files)
    assert tree_id(told) == tree_id(dict(reversed(told.items())))
