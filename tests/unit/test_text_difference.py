"""What two revisions differ in, in text: the same as other programs say, and within bounds."""

from collections.abc import Mapping

from config_tree import entry, tree
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.revisions.text_difference import (
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_LINE,
    MAX_LINES,
    FileAction,
    FileDifference,
    Side,
    text_difference,
)

LINES = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=30)


def one(before: str | bytes | None, after: str | bytes | None) -> FileDifference:
    def files(content: str | bytes | None) -> Mapping[str, str | bytes]:
        return {} if content is None else {"x": content}

    (found,) = text_difference(tree(files(before)), tree(files(after))).files
    return found


def shown(found: FileDifference) -> list[str]:
    return [f"{line.side.value}{line.text}" for hunk in found.hunks for line in hunk]


def test_a_line_is_shown_with_what_is_around_it() -> None:
    found = one("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n")
    assert shown(found) == [" 2", " 3", " 4", "-5", "+five", " 6", " 7", " 8"]
    (hunk,) = found.hunks
    assert [(line.before, line.after) for line in hunk[2:6]] == [
        (4, 4), (5, None), (None, 5), (6, 6),
    ]  # fmt: skip


def test_changes_far_apart_are_told_apart() -> None:
    lines = [f"{number}" for number in range(30)]
    after = ["first", *lines[1:-1], "last"]
    found = one("\n".join(lines) + "\n", "\n".join(after) + "\n")
    assert [[line.text for line in hunk] for hunk in found.hunks] == [
        ["0", "first", "1", "2", "3"], ["26", "27", "28", "29", "last"],
    ]  # fmt: skip


def test_files_come_and_go() -> None:
    assert (one(None, "a\n").action, shown(one(None, "a\n"))) == (FileAction.ADDED, ["+a"])
    assert (one("a\n", None).action, shown(one("a\n", None))) == (FileAction.REMOVED, ["-a"])
    assert shown(one(None, "")) == []


def test_a_newline_that_is_missing_is_told() -> None:
    assert shown(one("a\n", "a")) == ["-a", "+a\n\\ no newline at the end of the file"]


def test_what_is_no_text_is_not_shown() -> None:
    assert one("a", b"a\0b").hidden == "not text"
    assert one("a", b"\xff").hidden == "not text"


def test_a_mode_that_changed_is_told() -> None:
    found = text_difference({"x": entry("a")}, {"x": entry("a", 0o100755)})
    assert found.files[0].hidden == "the mode is 100755 now"


def test_a_huge_file_is_not_read() -> None:
    assert one("a", b"a" * (MAX_FILE_BYTES + 1)).hidden == "larger than 1,048,576 bytes"


def test_lines_are_cut_and_counted_over_all_files() -> None:
    assert [len(line) for line in shown(one("a\n", "b" * 5_000 + "\n"))] == [2, MAX_LINE + 1]
    many = "".join(f"{number}\n" for number in range(MAX_LINES + 5))
    found = text_difference(tree({}), tree({"a": many, "b": "1\n"})).files
    assert len(shown(found[0])) == MAX_LINES
    assert found[0].hidden == "the rest: more than 4,000 lines in all"
    assert (found[1].hidden, found[1].hunks) == ("more than 4,000 lines in all", ())


def test_a_run_beyond_what_is_left_is_cut() -> None:
    first = "".join(f"{number}\n" for number in range(MAX_LINES - 1))
    found = text_difference(tree({}), tree({"a": first, "b": "1\n2\n"})).files
    assert shown(found[1]) == ["+1"]


def test_files_are_counted() -> None:
    found = text_difference(tree({}), tree({f"f{n:04}": "a" for n in range(MAX_FILES + 3)}))
    assert (len(found.files), found.more) == (MAX_FILES, 3)


def test_what_is_too_long_to_compare_is_all_different() -> None:
    before = "".join(f"{n}\n" for n in range(3_100))
    after = "x\n" + "".join(f"{n}\n" for n in range(1, 3_099)) + "y\n"
    assert shown(one(before, after))[:2] == ["-0", "-1"]


def test_scripts_get_marks_numbers_and_text() -> None:
    found = text_difference(tree({"x": "a\n"}), tree({"x": "b\n"})).as_json()
    assert found == {
        "files": [
            {
                "path": "x",
                "action": "changed",
                "hidden": None,
                "hunks": [
                    [
                        {"mark": "-", "before": 1, "after": None, "text": "a"},
                        {"mark": "+", "before": None, "after": 1, "text": "b"},
                    ]
                ],
            }
        ],
        "more_files": 0,
    }


@given(LINES, LINES)
def test_both_sides_can_be_read_from_it(old: list[str], new: list[str]) -> None:
    before, after = ("".join(f"{line}\n" for line in each) for each in (old, new))
    found = text_difference(tree({"x": before}), tree({"x": after})).files
    if before == after:
        assert not found
        return
    patched, at = list[str](), 0
    for hunk in found[0].hunks:
        start = next((line.before for line in hunk if line.before), None)
        start = len(old) + 1 if start is None and old[at:] == [] else (start or at + 1)
        assert all(line.text == old[line.before - 1] for line in hunk if line.before)
        assert all(line.text == new[line.after - 1] for line in hunk if line.after)
        patched += old[at : start - 1]
        patched += [line.text for line in hunk if line.side is not Side.BEFORE]
        at = max([start - 1, *(line.before for line in hunk if line.before)])
    assert patched + old[at:] == new
