"""Storage is known by its id, and members that do not share it are named."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.names import MemberName, TransferName
from mftgit.model.ownership.storage import (
    MAX_DIVIDED,
    Finding,
    Sharer,
    StorageId,
    StorageStatus,
    find_divided,
    judge_storage,
    parse_storage_id,
    parse_storage_status,
)

ONE, TWO = StorageId("1" * 32), StorageId("2" * 32)
A, B, C = (MemberName(name) for name in ("a", "b", "c"))
ALL = (A, B, C)
T, U = TransferName("t"), TransferName("u")


@pytest.mark.parametrize(
    ("found", "known", "finding"),
    [
        (None, None, Finding.NEW),
        (ONE, None, Finding.FIRST),
        (ONE, ONE, Finding.KNOWN),
        (None, ONE, Finding.MISSING),
        (TWO, ONE, Finding.OTHER),
    ],
)
def test_storage_is_the_known_one_or_another_or_missing(
    found: StorageId | None, known: StorageId | None, finding: Finding
) -> None:
    assert judge_storage(found, known) is finding


@pytest.mark.parametrize("text", ["", "1" * 31, "1" * 33, "g" * 32, "A" * 32, "1" * 32 + "\n"])
def test_what_is_no_id_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="not 32"):
        parse_storage_id(text)


@given(
    st.builds(
        StorageStatus,
        id=st.none() | st.from_regex(r"[0-9a-f]{32}", fullmatch=True).map(StorageId),
        refused=st.none() | st.text(max_size=1000),
        sees=st.lists(st.sampled_from(ALL)).map(tuple),
    )
)
def test_a_status_is_read_as_it_was_told(status: StorageStatus) -> None:
    assert parse_storage_status(json.loads(json.dumps(status.as_json()))) == status


def test_a_member_of_an_older_version_says_nothing_of_its_storage() -> None:
    assert parse_storage_status(None) is None


def test_a_long_reason_is_cut() -> None:
    told = StorageStatus(refused="x" * 5000).as_json()
    read = parse_storage_status(told)
    assert read is not None
    assert read.refused == "x" * 1000


@pytest.mark.parametrize(
    "value",
    [
        "x",
        {"id": None, "refused": None},
        {"id": 1, "refused": None, "sees": []},
        {"id": "1", "refused": None, "sees": []},
        {"id": None, "refused": 2, "sees": []},
        {"id": None, "refused": None, "sees": ["\x1b[2J"]},
        {"id": None, "refused": None, "sees": [1]},
        {"id": None, "refused": None, "sees": ["a"] * 10_001},
    ],
)
def test_what_is_no_status_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="not"):
        parse_storage_status(value)


def member(
    name: MemberName,
    storage: StorageId | None = ONE,
    *,
    sees: Sequence[MemberName] = ALL,
    transfers: Sequence[TransferName] = (T,),
    refused: str | None = None,
) -> Sharer:
    status = StorageStatus(id=storage, refused=refused, sees=tuple(sees))
    return Sharer(name=name, storage=status, transfers=frozenset(transfers))


def test_members_that_share_their_storage_are_not_named() -> None:
    assert find_divided([member(C), member(A), member(B)]) == []


def test_members_with_other_storage_for_one_transfer_are_named() -> None:
    (words,) = find_divided([member(B), member(A, TWO, transfers=(U, T)), member(C, transfers=())])
    assert words.startswith(f"a and b do not share their storage ({TWO} and {ONE}): each")
    assert "owns t for itself" in words


def test_members_without_a_transfer_in_common_may_have_other_storage() -> None:
    assert find_divided([member(A), member(B, TWO, transfers=(U,))]) == []


def test_a_member_that_owns_nothing_is_not_named() -> None:
    assert find_divided([member(A), member(B, None), member(C, TWO, refused="other")]) == []


@pytest.mark.parametrize(
    ("a_sees", "b_sees", "unseen"),
    [
        ((A,), (A, B), "b does not reach"),
        ((A, B), (B,), "a does not reach"),
        ((A,), (B,), "b does not reach"),
    ],
)
def test_members_that_do_not_see_each_other_in_one_storage_are_named(
    a_sees: Sequence[MemberName], b_sees: Sequence[MemberName], unseen: str
) -> None:
    (words,) = find_divided([member(A, sees=a_sees), member(B, sees=b_sees)])
    assert f"the sign of life of {unseen}" in words


def test_a_member_that_has_not_looked_yet_is_not_named() -> None:
    assert find_divided([member(A, sees=()), member(B, sees=(B,))]) == []


def test_only_some_of_many_are_named() -> None:
    many = [member(MemberName(f"m{number}"), StorageId(f"{number:032x}")) for number in range(50)]
    assert len(find_divided(many)) == MAX_DIVIDED
