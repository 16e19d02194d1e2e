"""An uploaded file is news for the transfers whose folders it is in, and for no other."""

from mftgit.model.names import TransferName
from mftgit.model.transfers.watched import WatchedFolders

FLAT, DEEP, ALL = (TransferName(name) for name in ("flat", "deep", "all"))
FOLDERS = WatchedFolders(
    [
        (FLAT, "/in", 0),
        (DEEP, "/in", 1),
        (ALL, "/", float("inf")),
    ]
)


def test_a_file_is_news_as_deep_as_files_are_taken() -> None:
    assert FOLDERS.of("/in") == {FLAT, DEEP, ALL}
    assert FOLDERS.of("/in/x") == {DEEP, ALL}
    assert FOLDERS.of("/in/x/y") == {ALL}
    assert FOLDERS.of("/inside") == {ALL}


def test_a_file_at_the_very_top_is_news_for_who_looks_there() -> None:
    assert FOLDERS.of("/") == {ALL}


def test_there_may_be_none() -> None:
    assert not WatchedFolders(())
    assert FOLDERS
