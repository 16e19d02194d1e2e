"""What one side changed comes to the other one, unless both changed the same place."""

from config_tree import tree
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.revisions.three_way import MAX_LINES, Merged, merge_text, merge_trees

LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"d"]), max_size=8).map(b"".join)


def test_changes_far_apart_come_together() -> None:
    assert (
        merge_text(b"1\n2\n3\n4\n", b"one\n2\n3\n4\n", b"1\n2\n3\nfour\n") == b"one\n2\n3\nfour\n"
    )


def test_changes_that_touch_are_a_conflict() -> None:
    assert merge_text(b"1\n2\n3\n", b"one\n2\n3\n", b"1\ntwo\n3\n") is None
    assert merge_text(b"1\n", b"1\na\n", b"1\nb\n") is None


def test_the_same_change_on_both_sides_is_none() -> None:
    assert merge_text(b"1\n2\n", b"1\ntwo\n", b"1\ntwo\n") == b"1\ntwo\n"


def test_everything_may_go() -> None:
    assert merge_text(b"1\n2\n3\n", b"1\n2\n3\n", b"") == b""


def test_what_is_too_long_to_compare_is_a_conflict() -> None:
    before = b"".join(b"%d\n" % number for number in range(MAX_LINES + 2))
    after = b"".join(b"n%d\n" % number for number in range(MAX_LINES + 2))
    assert merge_text(before, before, after) is None


@given(LINES, LINES)
def test_who_changed_nothing_gets_what_the_other_has(before: bytes, after: bytes) -> None:
    assert merge_text(before, before, after) == after
    assert merge_text(before, after, before) == after
    assert merge_text(before, after, after) == after


@given(LINES, LINES, LINES)
def test_both_sides_are_alike(before: bytes, one: bytes, other: bytes) -> None:
    assert merge_text(before, one, other) == merge_text(before, other, one)


def test_files_come_and_go() -> None:
    before = tree({"a": "1\n", "b": "1\n", "c": "1\n"})
    ours = tree({"a": "1\n", "b": "1\n", "c": "2\n", "own": "x"})
    theirs = tree({"a": "2\n", "c": "1\n", "new": "y"})
    assert merge_trees(before, ours, theirs) == Merged(files={"a": b"2\n", "b": None, "new": b"y"})


def test_a_file_that_one_removes_and_the_other_changes_is_a_conflict() -> None:
    before, ours = tree({"a": "1\n", "b": "1\n"}), tree({"a": "2\n", "b": "1\n"})
    assert merge_trees(before, ours, tree({"b": "2\n"})) == Merged(
        files={"b": b"2\n"}, conflicts=("a",)
    )
    assert merge_trees(before, tree({"b": "1\n"}), tree({"a": "2\n", "b": "1\n"})).conflicts == (
        "a",
    )


def test_lines_of_one_file_come_together() -> None:
    before, ours, theirs = (
        tree({"a": text}) for text in ("1\n2\n3\n", "one\n2\n3\n", "1\n2\nthree\n")
    )
    assert merge_trees(before, ours, theirs) == Merged(files={"a": b"one\n2\nthree\n"})


def test_what_both_did_needs_nothing() -> None:
    before, after = tree({"a": "1\n"}), tree({"a": "2\n"})
    assert merge_trees(before, after, after) == Merged(files={})
