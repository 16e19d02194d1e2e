"""What a local folder adds to the promises of endpoints: links, full and failing storage, NFS's missing rename."""

import errno
import os
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from threading import Barrier, Thread

import pytest

from mftgit.adapters.endpoint.contract import (
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    FileExistsAtEndpointError,
    FileMissingError,
)
from mftgit.adapters.local import rename as local_rename
from mftgit.adapters.local.endpoint import LocalEndpoint, open_local
from mftgit.errors import MftgitError
from mftgit.model.locations.location import LocalLocation
from mftgit.model.names import LocationName


def silent(_: int) -> None:
    pass


def location(path: str) -> LocalLocation:
    return LocalLocation(name=LocationName("inbox"), path=path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def no_renameat2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behave as NFS does, which takes no flags."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(local_rename, "_renameat2", refuse)


def test_a_relative_location_is_below_the_files_root_and_is_made(tmp_path: Path) -> None:
    endpoint = open_local(location("in/box"), files_root=tmp_path)
    endpoint.write("a", iter([b"1"]), on_chunk=silent)
    assert (tmp_path / "in/box/a").read_bytes() == b"1"


def test_an_absolute_location_is_taken_as_it_is(tmp_path: Path) -> None:
    open_local(location(str(tmp_path / "box")), files_root=tmp_path / "files")
    assert (tmp_path / "box").is_dir()
    assert not (tmp_path / "files").exists()


def test_a_relative_location_does_not_leave_the_files_root(tmp_path: Path) -> None:
    with pytest.raises(EndpointRefusedError, match="leaves its location"):
        open_local(location("../box"), files_root=tmp_path / "files")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_a_location_is_told(tmp_path: Path) -> None:
    (tmp_path / "box").write_bytes(b"")
    with pytest.raises(FileExistsAtEndpointError, match="box"):
        open_local(location("box"), files_root=tmp_path)


@pytest.mark.parametrize(
    "call",
    [
        lambda endpoint: endpoint.write("link/a", iter([b"1"]), on_chunk=silent),
        lambda endpoint: endpoint.write("file-link", iter([b"1"]), on_chunk=silent),
        lambda endpoint: endpoint.open_read("link/secret").__enter__(),
        lambda endpoint: endpoint.open_read("file-link").__enter__(),
        lambda endpoint: endpoint.stat("link/secret"),
        lambda endpoint: endpoint.stat("file-link"),
        lambda endpoint: endpoint.rename("mine", "link/mine", replace=True),
        lambda endpoint: endpoint.rename("link/secret", "taken", replace=False),
        lambda endpoint: endpoint.remove("link/secret"),
        lambda endpoint: endpoint.make_folder("link/new"),
        lambda endpoint: endpoint.remove_folder("link/empty"),
        lambda endpoint: endpoint.list_names("link"),
        lambda endpoint: list(endpoint.list_files("link", recursive=True)),
    ],
)
def test_a_link_is_never_followed_out_of_the_root(
    root: Path, call: Callable[[LocalEndpoint], object]
) -> None:
    outside = root.parent / "outside"
    (outside / "empty").mkdir(parents=True)
    (outside / "secret").write_bytes(b"not ours")
    (root / "mine").write_bytes(b"mine")
    (root / "link").symlink_to(outside)
    (root / "file-link").symlink_to(outside / "secret")
    with pytest.raises((EndpointRefusedError, FileExistsAtEndpointError)):
        call(LocalEndpoint(root))
    assert sorted(path.name for path in outside.iterdir()) == ["empty", "secret"]
    assert (outside / "secret").read_bytes() == b"not ours"
    assert (root / "mine").read_bytes() == b"mine"


def test_a_root_behind_a_link_works(root: Path) -> None:
    (root.parent / "alias").symlink_to(root)
    LocalEndpoint(root.parent / "alias").write("a", iter([b"1"]), on_chunk=silent)
    assert (root / "a").read_bytes() == b"1"


def test_a_folder_swapped_for_a_link_while_writing_keeps_the_file_inside(root: Path) -> None:
    outside = root.parent / "outside"
    outside.mkdir()

    def swap(_: int) -> None:
        (root / "in").rename(root / "moved")
        (root / "in").symlink_to(outside)

    LocalEndpoint(root).write("in/a", iter([b"1"]), on_chunk=swap)
    assert list(outside.iterdir()) == []
    assert (root / "moved/a").read_bytes() == b"1"


def test_a_named_pipe_is_refused_without_waiting_for_its_writer(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(EndpointRefusedError, match="not a regular"):
        LocalEndpoint(root).open_read("pipe").__enter__()


def test_a_root_that_is_gone_is_lost_and_not_a_missing_file(root: Path) -> None:
    root.rmdir()
    with pytest.raises(EndpointLostError, match="is its storage mounted"):
        LocalEndpoint(root).stat("a")


def test_storage_that_fails_while_reading_is_lost() -> None:
    # The memory of a process is a file whose first page cannot be read: a real EIO.
    endpoint = LocalEndpoint(Path("/proc/self"))
    with endpoint.open_read("mem") as stream, pytest.raises(EndpointLostError, match="'mem'"):
        stream.read(1)
    with endpoint.open_read("mem") as stream, pytest.raises(EndpointLostError, match="'mem'"):
        stream.read()


def test_storage_that_takes_no_files_refuses() -> None:
    with pytest.raises(EndpointRefusedError, match="mftgit-test"):
        LocalEndpoint(Path("/sys")).write("mftgit-test", iter([b"1"]), on_chunk=silent)


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, EndpointFullError),
        (errno.EDQUOT, EndpointRefusedError),
        (errno.EACCES, EndpointRefusedError),
        (errno.EROFS, EndpointRefusedError),
        (errno.EIO, EndpointLostError),
        (errno.ESTALE, EndpointLostError),
    ],
)
@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_fault_of_storage_has_its_own_error(
    root: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, error: type[MftgitError]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(error, match=f"'a': {os.strerror(number)}"):
        LocalEndpoint(root).write("a", iter([b"1"]), on_chunk=silent)


def test_a_write_that_is_taken_in_part_goes_on_with_the_rest(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: whole(descriptor, data[:3]))
    assert LocalEndpoint(root).write("a", iter([b"0123456789"]), on_chunk=silent) == 10
    assert (root / "a").read_bytes() == b"0123456789"


def test_the_file_is_flushed_before_its_name(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    flush = os.fsync

    def record(descriptor: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    endpoint = LocalEndpoint(root)
    endpoint.write("in/a", iter([b"1"]), on_chunk=silent)
    assert flushed == ["root", "a", "in"]
    flushed.clear()
    endpoint.rename("in/a", "b", replace=False)
    assert flushed == ["root", "in"]


def test_a_folder_that_cannot_be_flushed_by_its_nature_is_fine(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    (root / "a").write_bytes(b"1")
    monkeypatch.setattr(os, "fsync", fail)
    LocalEndpoint(root).rename("a", "b", replace=False)
    assert (root / "b").exists()


@pytest.mark.usefixtures("no_renameat2")
def test_without_renameat2_a_taken_name_is_still_not_replaced(root: Path) -> None:
    (root / "old").write_bytes(b"old")
    (root / "new").write_bytes(b"new")
    with pytest.raises(FileExistsAtEndpointError):
        LocalEndpoint(root).rename("old", "new", replace=False)
    assert (root / "old").read_bytes() == b"old"
    assert (root / "new").read_bytes() == b"new"


@pytest.mark.usefixtures("no_renameat2")
def test_without_renameat2_a_free_name_is_taken(root: Path) -> None:
    (root / "old").write_bytes(b"old")
    LocalEndpoint(root).rename("old", "new", replace=False)
    assert os.listdir(root) == ["new"]  # noqa: PTH208
    assert (root / "new").stat().st_nlink == 1


@pytest.mark.usefixtures("no_renameat2")
def test_without_renameat2_a_crash_between_the_steps_is_ended_by_the_same_call(root: Path) -> None:
    (root / "old").write_bytes(b"old")
    (root / "new").hardlink_to(root / "old")
    LocalEndpoint(root).rename("old", "new", replace=False)
    assert os.listdir(root) == ["new"]  # noqa: PTH208
    assert (root / "new").read_bytes() == b"old"


@pytest.mark.usefixtures("no_renameat2")
def test_without_renameat2_a_file_renamed_to_itself_is_kept(root: Path) -> None:
    (root / "a").write_bytes(b"kept")
    (root / "other-name").hardlink_to(root / "a")
    with pytest.raises(FileExistsAtEndpointError):
        LocalEndpoint(root).rename("a", "a", replace=False)
    assert (root / "a").read_bytes() == b"kept"


@pytest.mark.usefixtures("no_renameat2")
def test_without_renameat2_one_file_is_never_taken_twice(root: Path) -> None:
    count, rounds = 4, 25
    start = Barrier(count)
    won: list[str] = []

    def race(number: int) -> None:
        endpoint = LocalEndpoint(root)
        for turn in range(rounds):
            start.wait()
            try:
                endpoint.rename(f"from-{turn}", f"to-{turn}-{number}", replace=False)
            except FileMissingError:
                continue
            won.append(f"to-{turn}-{number}")

    for turn in range(rounds):
        (root / f"from-{turn}").write_bytes(b"1")
    threads = [Thread(target=race, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(os.listdir(root)) == sorted(won)  # noqa: PTH208
    assert len(won) == rounds


@pytest.mark.usefixtures("no_renameat2")
def test_without_renameat2_a_folder_is_refused_and_kept(root: Path) -> None:
    (root / "old").mkdir()
    with pytest.raises(EndpointRefusedError):
        LocalEndpoint(root).rename("old", "new", replace=False)
    assert os.listdir(root) == ["old"]  # noqa: PTH208


def test_no_descriptor_is_left_open(root: Path) -> None:
    endpoint = LocalEndpoint(root)
    endpoint.write("x/a", iter([b"1"]), on_chunk=silent)
    (root / "link").symlink_to("x")
    for path in ("x", "link", "gone/a"):
        with pytest.raises(MftgitError):
            endpoint.open_read(path).__enter__()
    list(endpoint.list_files(".", recursive=True))
    endpoint.rename("x/a", "b", replace=False)
    endpoint.remove_folder("x")
    assert open_below(root) == []
    with (root / "b").open("rb"):
        assert open_below(root) == [str(root / "b")]


def open_below(root: Path) -> list[str]:
    """Return what this process has open below ``root``: others come and go with what tests before have left."""
    found = []
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(str(each.readlink()))
    return [each for each in found if each.startswith(str(root))]


@pytest.mark.parametrize(
    ("other", "left"),
    [("new", {"new"}), ("elsewhere", {"elsewhere"})],
    ids=["one name", "two names"],
)
def test_of_two_renames_in_two_steps_that_cross_the_file_keeps_one_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str, left: set[str]
) -> None:
    """Storage without a rename that replaces nothing: a late owner and its successor publish the same file."""
    (tmp_path / "old").write_bytes(b"content")
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    unlink = os.unlink

    def crossed(path: str, *, dir_fd: int) -> None:
        monkeypatch.setattr(os, "unlink", unlink)
        local_rename._link_and_unlink(
            folder, "old", folder, other
        )  # the other one, between our two steps
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", crossed)
    try:
        with nullcontext() if other == "new" else pytest.raises(FileNotFoundError):
            local_rename._link_and_unlink(folder, "old", folder, "new")
    finally:
        os.close(folder)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == dict.fromkeys(
        left, b"content"
    )
