"""An uploaded file is news for the transfers whose folders it is in, and for no other."""

from pathlib import PurePosixPath

from mftgit.model.names import TransferName
from mftgit.model.watched import WatchedFolders

FLAT, DEEP, ALL = (TransferName(name) for name in ("flat", "deep", "all"))
FOLDERS = WatchedFolders(
    [
        (FLAT, PurePosixPath("/in"), 0),
        (DEEP, PurePosixPath("/in"), 1),
        (ALL, PurePosixPath("/"), float("inf")),
    ]
)


def test_a_file_is_news_as_deep_as_files_are_taken() -> None:
    assert FOLDERS.of(PurePosixPath("/in/a")) == {FLAT, DEEP, ALL}
    assert FOLDERS.of(PurePosixPath("/in/x/a")) == {DEEP, ALL}
    assert FOLDERS.of(PurePosixPath("/in/x/y/a")) == {ALL}
    assert FOLDERS.of(PurePosixPath("/inside/a")) == {ALL}


def test_a_folder_of_its_name_alone_is_no_news() -> None:
    assert FOLDERS.of(PurePosixPath("/in")) == {ALL}


def test_there_may_be_none() -> None:
    assert not WatchedFolders(())
    assert FOLDERS
