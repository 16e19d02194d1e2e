"""Names on the way: told apart, told back, and never too long."""

from datetime import UTC, datetime
from pathlib import PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mftgit.model.names import Epoch
from mftgit.model.transfers.claim import (
    LONGEST_NAME_BYTES,
    ClaimId,
    format_claim,
    join,
    make_id,
    parse_claim,
    temporary_name,
    unique_name,
)

ID = make_id(Epoch(12), 3, "9f8e7d6c5b4a")
MOMENT = datetime(2026, 11, 23, 8, 0, 0, tzinfo=UTC)
# Any name a POSIX file system can hold, bytes that are no UTF-8 included.
PARTS = (
    st.binary(min_size=1, max_size=255)
    .filter(lambda name: b"/" not in name and b"\0" not in name and name not in {b".", b".."})
    .map(lambda name: name.decode("utf-8", "surrogateescape"))
)
PATHS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)


def size(path: str) -> int:
    return len(path.rpartition("/")[2].encode("utf-8", "surrogateescape"))


def test_an_id_is_epoch_counter_and_nonce() -> None:
    assert ID == "12-3-9f8e7d6c5b4a"


@given(path=PATHS)
@example(path="a=b+c~d.csv")
@example(path="x" * 255)
def test_the_name_of_a_claim_is_one_name_and_tells_the_path_if_it_fits(path: str) -> None:
    name = format_claim(ID, path)
    assert "/" not in name
    assert len(name.encode("ascii")) <= LONGEST_NAME_BYTES
    told = parse_claim(name)
    assert told.id == ID
    assert told.path in {path, None}
    if len(path) < 50:
        assert told.path == path


@pytest.mark.parametrize("name", ["", "notes.txt", "1-1-a=", ".nfs0001"])
def test_what_is_no_claim_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a claim"):
        parse_claim(name)


@given(path=PATHS, suffix=st.sampled_from([".part", ".tmp", ""]))
def test_a_temporary_is_hidden_beside_its_file_and_differs_by_try(path: str, suffix: str) -> None:
    one = temporary_name(path, ID, "12-aa", suffix)
    two = temporary_name(path, ID, "13-aa", suffix)
    assert one != two
    assert one.rpartition("/")[0] == path.rpartition("/")[0]
    assert one.rpartition("/")[2].startswith(".")
    assert one.endswith(suffix)
    assert size(one) <= LONGEST_NAME_BYTES


@given(path=PATHS, moment=st.sampled_from([None, MOMENT]))
@example(path="." + "x" * 254, moment=MOMENT)
@example(path="a." + "x" * 253, moment=None)
def test_a_unique_name_differs_stays_in_its_folder_and_fits(
    path: str, moment: datetime | None
) -> None:
    unique = unique_name(path, ID, moment)
    assert unique != path
    assert unique.rpartition("/")[0] == path.rpartition("/")[0]
    assert size(unique) <= LONGEST_NAME_BYTES
    assert unique != unique_name(path, ClaimId("1-1-a"), moment)


def test_a_unique_name_keeps_its_ending() -> None:
    assert unique_name("in/a.csv", ID, MOMENT) == "in/a.20261123T080000Z-12-3-9f8e7d6c5b4a.csv"
    assert unique_name("in/a.csv", ID) == "in/a.12-3-9f8e7d6c5b4a.csv"
    assert unique_name("a", ID) == "a.12-3-9f8e7d6c5b4a"


def test_paths_are_joined_below_a_folder_or_the_place_itself() -> None:
    assert join(".", "a/b") == "a/b"
    assert join("in", "a/b") == "in/a/b"
    assert join("in//of", "a/b") == "in/of/a/b"


@given(st.text("a./\0", max_size=8), st.text("a./\0", max_size=8))
def test_a_joined_path_is_as_pathlib_has_it(folder: str, path: str) -> None:
    assert join(folder, path) == str(PurePosixPath(folder) / path)
