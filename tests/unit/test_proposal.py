"""What a proposal that is made for somebody is called, and says of itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.names import CHANGES, Revision
from mftgit.model.revisions.proposal import (
    MAX_MESSAGE,
    free_name,
    no_name,
    read_message,
    revert_message,
    signing,
    taken,
)
from mftgit.model.revisions.push import is_change

ONE, TWO = Revision("1" * 40), Revision("2" * 40)


def test_a_message_ends_with_one_newline_and_has_no_space_at_its_ends() -> None:
    assert read_message("\r\n Raise it  \r\n\r\nbecause\n\n") == " Raise it\n\nbecause\n"


@pytest.mark.parametrize("text", ["", " \n\t\n", "a\x00b", "a\x1b[31m", "\udcff", "\u202eabc"])
def test_what_is_no_message_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="message"):
        read_message(text)


def test_a_long_message_is_refused() -> None:
    assert read_message("a" * MAX_MESSAGE)
    with pytest.raises(ValueError, match="10,001"):
        read_message("a" * (MAX_MESSAGE + 1))


@given(st.text())
def test_what_is_taken_can_be_written(text: str) -> None:
    try:
        message = read_message(text)
    except ValueError:
        return
    assert message.encode().endswith(b"\n")
    assert read_message(message) == message


def test_a_free_name_is_nobodys_and_no_folder_of_others() -> None:
    assert free_name("a", []) == "a"
    assert free_name("a", ["a", "a-2/b"]) == "a-3"


def test_a_revert_says_what_of() -> None:
    assert (
        revert_message("Do\x1b it", ONE) == f'Revert "Do\\x1b it"\n\nThis reverts commit {ONE}.\n'
    )


def test_refusals_name_what_was_found() -> None:
    assert "'../main'" in no_name("../main").explanation[0]
    assert "111111111111" in taken("a", ONE, TWO).explanation[0]


def test_signed_commits_are_proposed_under_a_name_of_their_own() -> None:
    last = signing("raise", ["raise", "raise-signed"])[-1]
    name = last.rpartition("/change/")[2]
    assert name == "raise-signed-2"
    assert is_change(CHANGES + name)
