"""What every endpoint promises: a local folder, a real OpenSSH server by each of the two clients, and others."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, suppress
from pathlib import Path
from threading import Barrier, Event, Thread
from typing import cast

import pytest
from dav_servers import Dav, running_apache, running_rclone
from ftps_server import FtpsServer, running_ftps
from places import (
    Lack,
    Place,
    ftps_place,
    https_place,
    local_place,
    s3_place,
    sftp_place,
    smb_place,
)
from s3_store import S3Store, running_s3
from samba import Samba, running_samba

from mftgit.adapters.endpoint.contract import (
    Content,
    Endpoint,
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    FileEntry,
    FileExistsAtEndpointError,
    FileMissingError,
    Kind,
    RemoteEndpoint,
    Traits,
)
from mftgit.adapters.local.endpoint import LocalEndpoint
from mftgit.model.locations.location import Client

ODD_NAMES = {
    "space": "two words.csv",
    "newline": "line\nbreak",
    "emoji": "münchen-📦.csv",
    "dash": "-rf",
    "long": "x" * 255,
    "latin": "m\udcfcnchen",  # not UTF-8: the byte FC, as Python writes it
    "glob": "*[a]?.csv",
}
ESCAPES = ["../out", "in/../../out", "/etc/hostname", "..", "nul\0in", "lone\ud800half"]


@pytest.fixture(scope="module")
def samba(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samba]:
    base = tmp_path_factory.getbasetemp()  # every test's folder is below it
    with running_samba(tmp_path_factory.mktemp("samba"), folder=base) as server:
        yield server


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Store]:
    with running_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="module")
def ftps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FtpsServer]:
    with running_ftps(tmp_path_factory.mktemp("ftps")) as server:
        yield server


@pytest.fixture(scope="module")
def apache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dav]:
    base = tmp_path_factory.getbasetemp()
    with running_apache(tmp_path_factory.mktemp("apache"), folder=base) as server:
        yield server


@pytest.fixture(scope="module")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dav]:
    base = tmp_path_factory.getbasetemp()
    with running_rclone(tmp_path_factory.mktemp("rclone"), folder=base) as server:
        yield server


@pytest.fixture(
    params=[
        "local",
        pytest.param("smb", marks=pytest.mark.needs("smbd")),
        "s3",
        pytest.param("ftps", marks=pytest.mark.needs("proftpd")),
        pytest.param("apache", marks=pytest.mark.needs("apache2")),
        pytest.param("rclone", marks=[pytest.mark.needs("rclone"), pytest.mark.long]),
        pytest.param("builtin", marks=pytest.mark.needs("sshd")),
        pytest.param("openssh", marks=pytest.mark.needs("sshd")),
    ]
)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    root = tmp_path / "root"
    root.mkdir()
    with opened(request, root) as place:
        yield place


def opened(request: pytest.FixtureRequest, root: Path) -> AbstractContextManager[Place]:
    match request.param:
        case "local":
            return local_place(root)
        case "smb":
            return smb_place(root, request.getfixturevalue("samba"))
        case "s3":
            return s3_place(root, request.getfixturevalue("s3"))
        case "ftps":
            return ftps_place(root, request.getfixturevalue("ftps"))
        case "apache" | "rclone" as server:
            return https_place(root, request.getfixturevalue(server))
        case client:
            return sftp_place(root, request.getfixturevalue("sshd"), Client(client))


def silent(_: int) -> None:
    pass


def test_what_was_written_is_read_back(place: Place) -> None:
    size = place.endpoint.write("a.csv", iter([b"one", b"", b"two"]), on_chunk=silent)
    with place.endpoint.open_read("a.csv") as stream:
        assert stream.read() == b"onetwo"
    assert size == 6
    assert place.endpoint.stat("a.csv").size_bytes == 6


def test_an_empty_file_is_written_and_read_back(place: Place) -> None:
    assert place.endpoint.write("empty", iter([]), on_chunk=silent) == 0
    with place.endpoint.open_read("empty") as stream:
        assert stream.read() == b""


def test_reading_in_pieces_gives_the_whole_content(place: Place) -> None:
    content = os.urandom(700_001)
    place.put("big", content)
    with place.endpoint.open_read("big") as stream:
        assert b"".join(iter(lambda: stream.read(9_999), b"")) == content


def test_the_bytes_written_so_far_are_told_before_each_chunk(place: Place) -> None:
    told: list[int] = []
    place.endpoint.write("a", iter([b"12", b"345", b"6"]), on_chunk=told.append)
    assert told == [0, 2, 5]


def test_a_file_sent_under_a_temporary_name_appears_whole(place: Place) -> None:
    content = os.urandom(300_000)

    def not_yet_there(_: int) -> None:
        assert not place.is_there("a.csv")

    chunks = (content[start : start + 100_000] for start in range(0, 300_000, 100_000))
    place.endpoint.write("a.csv.part", chunks, on_chunk=not_yet_there)
    assert not place.is_there("a.csv")
    place.endpoint.rename("a.csv.part", "a.csv", replace=False)
    assert place.content("a.csv") == content
    assert place.listed() == ["a.csv"]


def test_a_stop_by_on_chunk_leaves_only_the_temporary_file(place: Place) -> None:
    place.need(Lack.PARTS)

    class StandDownError(Exception):
        pass

    def stop(written: int) -> None:
        if written >= 3:
            raise StandDownError

    with pytest.raises(StandDownError):
        place.endpoint.write("a.part", iter([b"one", b"two", b"six"]), on_chunk=stop)
    assert place.listed() == ["a.part"]
    assert place.endpoint.stat("a.part").size_bytes <= 3


def test_an_error_of_the_chunks_passes_through_and_the_endpoint_goes_on(place: Place) -> None:
    lost = EndpointLostError("the source went away")

    def chunks() -> Iterator[bytes]:
        yield b"one"
        raise lost

    def wrong() -> Iterator[bytes]:
        yield b"one"
        raise OSError(28, "the source's own trouble")

    with pytest.raises(EndpointLostError) as caught:
        place.endpoint.write("a", chunks(), on_chunk=silent)
    assert caught.value is lost
    with pytest.raises(OSError, match="own trouble"):
        place.endpoint.write("b", wrong(), on_chunk=silent)
    assert place.endpoint.write("c", iter([b"fine"]), on_chunk=silent) == 4


def test_an_error_of_on_chunk_passes_through_and_the_endpoint_goes_on(place: Place) -> None:
    def wrong(_: int) -> None:
        raise OSError(28, "the caller's own trouble")

    with pytest.raises(OSError, match="own trouble"):
        place.endpoint.write("a", iter([b"one"]), on_chunk=wrong)
    assert place.endpoint.write("b", iter([b"fine"]), on_chunk=silent) == 4


def test_writing_over_a_file_that_is_there_is_refused(place: Place) -> None:
    place.put("a", b"old")
    with pytest.raises(FileExistsAtEndpointError, match="'a'"):
        place.endpoint.write("a", iter([b"new"]), on_chunk=silent)
    assert place.content("a") == b"old"


def test_of_many_writers_of_one_new_file_exactly_one_wins(place: Place) -> None:
    place.need(Lack.EXCLUSIVE)
    places = [place.another() for _ in range(6)]
    start, won = Barrier(len(places)), []

    def race(number: int, endpoint: Endpoint) -> None:
        start.wait()
        with suppress(FileExistsAtEndpointError):
            endpoint.write("a", iter([str(number).encode()]), on_chunk=silent)
            won.append(number)

    threads = [Thread(target=race, args=pair) for pair in enumerate(places)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for endpoint in places:
        endpoint.close()
    assert [place.content("a")] == [str(number).encode() for number in won]


def test_writing_makes_the_folders_above(place: Place) -> None:
    place.endpoint.write("x/y/z.csv", iter([b"1"]), on_chunk=silent)
    place.endpoint.write("x/y/w.csv", iter([b"2"]), on_chunk=silent)
    assert place.listed() == ["x/y/w.csv", "x/y/z.csv"]


def test_a_file_in_the_place_of_a_folder_is_refused(place: Place) -> None:
    place.need(Lack.FOLDERS)
    place.put("a")
    with pytest.raises((EndpointRefusedError, FileMissingError)):
        place.endpoint.write("a/b", iter([b"1"]), on_chunk=silent)
    with pytest.raises(EndpointRefusedError, match="where a folder has to be"):
        place.endpoint.make_folder("a")


def test_a_rename_to_a_taken_name_changes_nothing(place: Place) -> None:
    place.put("old", b"old")
    place.put("new", b"new")
    with pytest.raises(FileExistsAtEndpointError, match="'new'"):
        place.endpoint.rename("old", "new", replace=False)
    assert (place.content("old"), place.content("new")) == (b"old", b"new")


def test_a_rename_of_a_name_to_itself_keeps_the_file(place: Place) -> None:
    place.put("a", b"kept")
    with pytest.raises(FileExistsAtEndpointError):
        place.endpoint.rename("a", "a", replace=False)
    place.endpoint.rename("a", "a", replace=True)
    assert place.content("a") == b"kept"


def test_a_rename_may_replace_a_file_in_another_folder(place: Place) -> None:
    place.put("old", b"old")
    place.put("deep/new", b"new")
    place.endpoint.rename("old", "deep/new", replace=True)
    assert place.content("deep/new") == b"old"
    assert not place.is_there("old")


def test_a_file_is_there_at_every_moment_of_being_replaced(place: Place) -> None:
    place.need(Lack.ATOMIC_REPLACE)
    place.put("new")
    done, looks = Event(), []

    def watch() -> None:
        while not done.is_set():
            looks.append(place.is_there("new"))

    watcher = Thread(target=watch)
    watcher.start()
    for number in range(40):
        place.put(f"old-{number}")
        place.endpoint.rename(f"old-{number}", "new", replace=True)
    done.set()
    watcher.join()
    assert all(looks)


def test_of_many_renames_to_one_free_name_exactly_one_wins(place: Place) -> None:
    place.need(Lack.EXCLUSIVE)
    places = [place.another() for _ in range(6)]
    start, won = Barrier(len(places)), []

    def race(number: int, endpoint: Endpoint) -> None:
        start.wait()
        with suppress(FileExistsAtEndpointError):
            endpoint.rename(f"from-{number}", "to", replace=False)
            won.append(number)

    for number in range(len(places)):
        place.put(f"from-{number}", str(number).encode())
    threads = [Thread(target=race, args=pair) for pair in enumerate(places)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for endpoint in places:
        endpoint.close()
    assert len(won) == 1
    assert place.content("to") == str(won[0]).encode()
    assert len(place.listed()) == len(places)


def test_of_many_renames_of_one_file_exactly_one_wins(place: Place) -> None:
    place.need(Lack.CLAIMS, Lack.OVERLAP)
    places = [place.another() for _ in range(6)]
    start, won = Barrier(len(places)), []

    def race(number: int, endpoint: Endpoint) -> None:
        start.wait()
        with suppress(FileMissingError):
            endpoint.rename("from", f"to-{number}", replace=False)
            won.append(number)

    place.put("from")
    threads = [Thread(target=race, args=pair) for pair in enumerate(places)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for endpoint in places:
        endpoint.close()
    assert place.listed() == [f"to-{number}" for number in won]


@pytest.mark.parametrize(
    "call",
    [
        lambda endpoint: endpoint.stat("gone"),
        lambda endpoint: endpoint.stat("gone/deeper"),
        lambda endpoint: endpoint.remove("gone"),
        lambda endpoint: endpoint.rename("gone", "new", replace=False),
        lambda endpoint: endpoint.rename("gone", "new", replace=True),
        lambda endpoint: endpoint.open_read("gone").__enter__(),
        lambda endpoint: endpoint.stat("there/below-a-file"),
    ],
)
def test_what_is_not_there_is_said_to_be_missing(
    place: Place, call: Callable[[Endpoint], object]
) -> None:
    place.put("there")
    with pytest.raises(FileMissingError, match=r"gone|below-a-file"):
        call(place.endpoint)
    assert place.listed() == ["there"]


@pytest.mark.parametrize(
    "call",
    [
        lambda endpoint: endpoint.rename("there", "gone/new", replace=False),
        lambda endpoint: endpoint.rename("there", "gone/new", replace=True),
        lambda endpoint: list(endpoint.list_files("gone", recursive=True)),
        lambda endpoint: endpoint.list_names("gone"),
    ],
)
def test_a_folder_that_is_not_there_is_said_to_be_missing(
    place: Place, call: Callable[[Endpoint], object]
) -> None:
    place.need(Lack.FOLDERS)
    place.put("there")
    with pytest.raises(FileMissingError, match="gone"):
        call(place.endpoint)
    assert place.listed() == ["there"]


def test_a_list_passes_over_reserved_names_links_and_devices(place: Place) -> None:
    place.need(Lack.LINKS)
    place.put("a.csv")
    place.put(".mftgit/claims/1/b.csv")
    place.put(".mftgit-probe")
    place.put(".hidden")
    (place.root / "link.csv").symlink_to("a.csv")
    (place.root / "folder-link").symlink_to(".mftgit")
    if Lack.DEVICES not in place.lacks:
        os.mkfifo(place.root / "pipe")
    assert place.listed() == [".hidden", "a.csv"]
    assert place.listed(".mftgit", recursive=True) == ["claims/1/b.csv"]


def test_a_list_is_recursive_only_when_asked(place: Place) -> None:
    for name in ("in/a", "in/sub/b", "in/sub/sub/c", "out/d"):
        place.put(name)
    assert place.listed("in", recursive=False) == ["a"]
    assert place.listed("in", recursive=True) == ["a", "sub/b", "sub/sub/c"]


def test_a_list_looks_only_so_many_folders_deep(place: Place) -> None:
    for name in ("in/a", "in/sub/b", "in/sub/sub/c"):
        place.put(name)

    def listed(*, recursive: bool, depth: int | None) -> list[str]:
        entries = place.endpoint.list_files("in", recursive=recursive, depth=depth)
        return sorted(entry.path for entry in entries)

    assert listed(recursive=True, depth=1) == ["a", "sub/b"]
    assert listed(recursive=True, depth=2) == ["a", "sub/b", "sub/sub/c"]
    assert listed(recursive=False, depth=2) == ["a"]


def test_a_list_tells_size_and_time(place: Place) -> None:
    place.need(Lack.TIMES)
    place.put("a", b"12345")
    os.utime(place.root / "a", (1_700_000_000, 1_700_000_000))
    (entry,) = place.endpoint.list_files(".", recursive=False)
    assert (entry.path, entry.size_bytes) == ("a", 5)
    assert entry.mtime_ns == 1_700_000_000_000_000_000
    assert place.endpoint.stat("a") == entry


def test_every_name_is_told_reserved_ones_too(place: Place) -> None:
    place.need(Lack.LINKS)
    place.put("a")
    place.put(".mftgit/b")
    (place.root / "link").symlink_to("a")
    assert sorted(place.endpoint.list_names(".")) == [".mftgit", "a", "link"]


def test_other_calls_may_come_between_the_steps_of_a_list(place: Place) -> None:
    names = {f"{number:03}" for number in range(place.many)}
    for name in names:
        place.put(name)
    seen = set()
    for entry in place.endpoint.list_files(".", recursive=False):
        place.endpoint.rename(entry.path, f".mftgit{entry.path}", replace=False)
        seen.add(entry.path)
    assert seen == names
    assert place.listed() == []


def test_a_list_left_half_way_leaves_a_working_endpoint(place: Place) -> None:
    for number in range(place.many):
        place.put(f"{number:03}")
    entries = place.endpoint.list_files(".", recursive=False)
    next(entries)
    del entries
    assert len(place.listed()) == place.many


def test_other_calls_may_come_between_the_steps_of_a_read(place: Place) -> None:
    place.need(Lack.BUSY_LISTS)
    content = os.urandom(900_000)
    place.put("a", content)

    there = ["a"] if Lack.PARTS in place.lacks else ["a", "b"]

    def look_around(_: int) -> None:
        assert place.listed() == there

    with place.endpoint.open_read("a") as stream:
        chunks = iter(lambda: stream.read(100_000), b"")
        assert place.endpoint.write("b", chunks, on_chunk=look_around) == 900_000
    assert place.content("b") == content


def test_a_read_left_half_way_leaves_a_working_endpoint(place: Place) -> None:
    place.put("a", b"x" * 900_000)
    with place.endpoint.open_read("a") as stream:
        assert stream.read(10) == b"x" * 10
    assert place.listed() == ["a"]


def test_a_folder_is_made_with_those_above_and_may_be_there(place: Place) -> None:
    place.need(Lack.FOLDERS)
    place.endpoint.make_folder("x/y/z")
    place.endpoint.make_folder("x/y/z")
    place.endpoint.make_folder(".")
    assert (place.root / "x/y/z").is_dir()


def test_a_folder_is_removed_only_when_empty(place: Place) -> None:
    place.put("full/a")
    place.endpoint.make_folder("empty")
    assert place.endpoint.remove_folder("empty")
    assert not place.is_there("empty")
    assert not place.endpoint.remove_folder("full")
    assert place.is_there("full/a")
    assert place.endpoint.remove_folder("never-there")
    assert place.endpoint.remove_folder("never/there")


def test_a_file_is_not_removed_as_a_folder(place: Place) -> None:
    place.put("a")
    with pytest.raises(EndpointRefusedError, match="'a'"):
        place.endpoint.remove_folder("a")
    assert place.is_there("a")


def test_a_file_is_removed(place: Place) -> None:
    place.put("a")
    place.endpoint.remove("a")
    assert not place.is_there("a")


def test_a_folder_is_no_file(place: Place) -> None:
    place.need(Lack.FOLDERS)
    place.put("folder/a")
    for call in (place.endpoint.stat, place.endpoint.remove):
        with pytest.raises(EndpointRefusedError, match="'folder'"):
            call("folder")
    with pytest.raises(EndpointRefusedError), place.endpoint.open_read("folder"):
        pass
    with pytest.raises(FileExistsAtEndpointError):
        place.endpoint.write("folder", iter([b"1"]), on_chunk=silent)
    assert place.listed() == ["folder/a"]


@pytest.mark.parametrize("name", ODD_NAMES.values(), ids=ODD_NAMES)
def test_an_odd_name_goes_through_every_call(place: Place, name: str) -> None:
    place.need(Lack.ODD_NAMES, Lack.FOLDERS, *([Lack.LINE_BREAKS] if "\n" in name else []))
    assert place.endpoint.write(name, iter([b"odd"]), on_chunk=silent) == 3
    assert [entry.path for entry in place.endpoint.list_files(".", recursive=False)] == [name]
    assert place.endpoint.list_names(".") == [name]
    assert place.endpoint.stat(name).size_bytes == 3
    with place.endpoint.open_read(name) as stream:
        assert stream.read() == b"odd"
    place.endpoint.rename(name, f"in-{name}"[:255], replace=True)
    place.endpoint.remove(f"in-{name}"[:255])
    place.need(*([Lack.STARS] if "*" in name else []))
    place.endpoint.make_folder(name)
    assert place.names() == [name]
    assert place.endpoint.remove_folder(name)


def test_a_name_that_is_too_long_is_refused(place: Place) -> None:
    place.need(Lack.BUSY_LISTS)
    with pytest.raises(EndpointRefusedError):
        place.endpoint.write("x" * (place.longest_name + 1), iter([b"1"]), on_chunk=silent)
    assert place.listed() == []


@pytest.mark.parametrize("path", ESCAPES, ids=ascii)
@pytest.mark.parametrize(
    "call",
    [
        lambda endpoint, path: endpoint.write(path, iter([b"1"]), on_chunk=silent),
        lambda endpoint, path: endpoint.open_read(path).__enter__(),
        lambda endpoint, path: endpoint.stat(path),
        lambda endpoint, path: endpoint.rename("in/a", path, replace=True),
        lambda endpoint, path: endpoint.rename("in/a", path, replace=False),
        lambda endpoint, path: endpoint.rename(path, "in/b", replace=True),
        lambda endpoint, path: endpoint.remove(path),
        lambda endpoint, path: endpoint.make_folder(path),
        lambda endpoint, path: endpoint.remove_folder(path),
        lambda endpoint, path: endpoint.list_names(path),
        lambda endpoint, path: list(endpoint.list_files(path, recursive=True)),
    ],
)
def test_a_path_that_leaves_the_location_is_refused(
    place: Place, call: Callable[[Endpoint, str], object], path: str
) -> None:
    outside = place.root.parent / "out"
    outside.write_bytes(b"not ours")
    place.put("in/a")
    with pytest.raises(EndpointRefusedError, match=r"leaves its location|no name can hold"):
        call(place.endpoint, path)
    assert outside.read_bytes() == b"not ours"
    assert place.listed() == ["in/a"]


@pytest.mark.parametrize("path", ["", ".", "./"])
def test_the_location_itself_is_no_file(place: Place, path: str) -> None:
    place.put("a")
    for call in (place.endpoint.stat, place.endpoint.remove, place.endpoint.remove_folder):
        with pytest.raises(EndpointRefusedError, match="the location itself"):
            call(path)
    assert place.listed(path) == ["a"]


MANY = [f"many/{number:03d} ü.csv" for number in range(150)]
"""More than are ever on the way at once."""


def contents(paths: list[str]) -> list[tuple[str, bytes]]:
    return [(path, path.encode() * (at % 7)) for at, path in enumerate(paths)]


def test_many_files_are_written_read_looked_at_renamed_and_removed_together(place: Place) -> None:
    paths = MANY[: place.many]
    files = contents(paths)
    assert place.endpoint.write_all(files) == [len(content) for _, content in files]
    found = place.endpoint.read_all(paths, most_bytes=1000)
    assert [each.data for each in found if isinstance(each, Content)] == [data for _, data in files]
    assert all(each.before == each.after for each in found if isinstance(each, Content))
    sizes = [
        each.size_bytes for each in place.endpoint.stat_all(paths) if isinstance(each, FileEntry)
    ]
    assert sizes == [len(content) for _, content in files]
    for replacing in (False, True):
        moves = [(path, f"{path}.new") for path in paths]
        assert place.endpoint.rename_all(moves, replace=replacing) == [None] * len(paths)
        assert place.endpoint.rename_all([move[::-1] for move in moves], replace=True)
    assert place.endpoint.remove_all(paths) == [None] * len(paths)
    assert place.listed() == []


def test_of_many_files_one_that_fails_keeps_no_other_back(place: Place) -> None:
    place.need(Lack.OVERLAP)
    place.put("taken", b"is here")
    place.put("folder/file")
    taken, *others = place.endpoint.write_all([("taken", b"1"), ("a", b"1"), ("../out", b"1")])
    assert isinstance(taken, FileExistsAtEndpointError)
    assert others[0] == 1
    assert isinstance(others[1], EndpointRefusedError)
    assert place.content("taken") == b"is here"

    folder = FileMissingError if Lack.FOLDERS in place.lacks else EndpointRefusedError
    read = place.endpoint.read_all(["gone", "folder", "a"], most_bytes=10)
    assert [type(each) for each in read] == [FileMissingError, folder, Content]
    found = place.endpoint.stat_all(["gone", "folder", "a"])
    assert [type(each) for each in found] == [FileMissingError, folder, FileEntry]

    place.put("c")  # which no other of these moves, that go on together, can take away before
    moves = [("gone", "x"), ("c", "taken"), ("a", "b")]
    ended = place.endpoint.rename_all(moves, replace=False)
    assert [type(each) for each in ended] == [
        FileMissingError,
        FileExistsAtEndpointError,
        type(None),
    ]
    removed = place.endpoint.remove_all(["gone", "b"])
    assert [type(each) for each in removed] == [FileMissingError, type(None)]
    assert place.listed() == ["c", "folder/file", "taken"]


def test_times_and_mode_are_set(place: Place) -> None:
    place.need(Lack.MODES, Lack.TIMES)
    paths = ["a", "b", "c"]
    for path in paths:
        place.put(path)
        (place.root / path).chmod(0o600)
    traits = [Traits(mtime_ns=10**18), Traits(mode=0o640), Traits(mtime_ns=2 * 10**18, mode=0o400)]
    assert place.endpoint.set_all(zip(paths, traits, strict=True)) == [None] * 3
    found = [place.endpoint.stat(path) for path in paths]
    assert [each.mode for each in found] == [0o600, 0o640, 0o400]
    assert (found[0].mtime_ns, found[2].mtime_ns) == (10**18, 2 * 10**18)
    (missing,) = place.endpoint.set_all([("gone", Traits(mode=0o600))])
    assert isinstance(missing, FileMissingError)


def test_of_a_file_that_is_larger_than_asked_for_only_the_size_is_told(place: Place) -> None:
    place.put("a", b"123")
    (found,) = place.endpoint.read_all(["a"], most_bytes=2)
    assert isinstance(found, Content)
    assert (found.data, found.before.size_bytes) == (b"", 3)


def test_a_stop_between_many_files_leaves_a_working_endpoint(place: Place) -> None:
    class StandDownError(Exception):
        pass

    def some() -> Iterator[tuple[str, bytes]]:
        yield from contents(MANY[: place.many // 2])
        raise StandDownError

    with pytest.raises(StandDownError):
        place.endpoint.write_all(some())
    place.put("a.csv")
    assert place.endpoint.stat("a.csv").size_bytes == 7
    assert set(place.listed()) <= {*MANY[: place.many // 2], "a.csv"}


def test_of_many_writers_of_the_same_many_files_one_wins_each(place: Place) -> None:
    place.need(Lack.EXCLUSIVE)
    paths = MANY[: place.many]
    start = Barrier(3)
    won: list[list[str]] = []

    def write(endpoint: Endpoint) -> None:
        with closing(endpoint):
            start.wait()
            ended = endpoint.write_all(contents(paths))
            won.append(
                [path for path, end in zip(paths, ended, strict=True) if isinstance(end, int)]
            )

    threads = [Thread(target=write, args=(place.another(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path for each in won for path in each) == sorted(paths)


@pytest.mark.parametrize("offset", [0, 1, 299_999, 300_000])
def test_a_file_is_read_from_any_byte_on(place: Place, offset: int) -> None:
    content = os.urandom(300_000)
    place.put("big", content)
    with place.endpoint.open_read("big", offset) as stream:
        assert b"".join(iter(lambda: stream.read(9_999), b"")) == content[offset:]


@pytest.mark.parametrize("offset", [0, 1, 200_000])
def test_a_file_is_gone_on_with_from_any_byte_on(place: Place, offset: int) -> None:
    place.need(Lack.RESUMING)
    assert place.endpoint.resumes
    content = os.urandom(300_000)
    place.put("part", bytes(200_000))
    told: list[int] = []
    size = place.endpoint.write(
        "part", iter([content[:7], content[7:]]), on_chunk=told.append, resume_at=offset
    )
    assert place.content("part") == bytes(offset) + content
    assert size == offset + 300_000
    assert told == [offset, offset + 7]


def test_what_is_gone_on_with_is_not_cut_short(place: Place) -> None:
    place.need(Lack.RESUMING)
    place.put("part", b"0123456789")
    with pytest.raises(EndpointFullError):
        place.endpoint.write("part", iter([b"xy"]), on_chunk=silent, resume_at=4)
    assert place.content("part") == b"0123xy6789"


def test_what_is_not_there_or_too_short_is_not_gone_on_with(place: Place) -> None:
    place.need(Lack.RESUMING)
    with pytest.raises(FileMissingError):
        place.endpoint.write("part", iter([b"xy"]), on_chunk=silent, resume_at=0)
    place.put("part", b"0123")
    with pytest.raises(EndpointRefusedError, match=r"4 bytes.*at 5"):
        place.endpoint.write("part", iter([b"xy"]), on_chunk=silent, resume_at=5)
    place.put("folder/in")
    with pytest.raises((EndpointRefusedError, FileMissingError)):
        place.endpoint.write("folder", iter([b"xy"]), on_chunk=silent, resume_at=0)
    assert place.content("part") == b"0123"
    assert place.names() == ["folder", "part"]


@pytest.mark.parametrize("offset", [(1 << 32) + 5, (1 << 36) + 5, 100 << 30])
def test_offsets_of_a_file_of_100_gib_are_right(place: Place, offset: int) -> None:
    place.need(Lack.RESUMING, Lack.HOLES)
    with (place.root / "part").open("wb") as sparse:
        sparse.truncate(offset)
    content = os.urandom(300_000)
    size = place.endpoint.write("part", iter([content]), on_chunk=silent, resume_at=offset)
    assert size == offset + 300_000
    with (place.root / "part").open("rb") as file:
        file.seek(offset - 1)
        assert file.read() == b"\0" + content
    with place.endpoint.open_read("part", offset + 100_000) as stream:
        assert b"".join(iter(lambda: stream.read(1 << 20), b"")) == content[100_000:]


def test_closing_twice_is_fine(place: Place) -> None:
    place.endpoint.close()
    place.endpoint.close()


def looking(place: Place) -> RemoteEndpoint:
    """Return an endpoint in which people may look around; a local folder is looked at otherwise."""
    if isinstance(place.endpoint, LocalEndpoint):
        pytest.skip("a folder of this machine")
    return cast("RemoteEndpoint", place.endpoint)


def test_what_names_stand_for_is_told(place: Place) -> None:
    endpoint = looking(place)
    place.put("in/a.csv", b"12345")
    place.put("in/deep/b.csv")
    told = {each.name: each for each in endpoint.list_folder("in")}
    assert {name: each.kind for name, each in told.items()} == {
        "a.csv": Kind.FILE,
        "deep": Kind.FOLDER,
    }
    assert told["a.csv"].size_bytes == 5
    assert told["a.csv"].mtime_ns // 10**9 == endpoint.stat("in/a.csv").mtime_ns // 10**9
    (file, folder) = endpoint.look("in/a.csv"), endpoint.look("in/deep")
    assert file is not None
    assert (file.name, file.kind, file.size_bytes) == ("a.csv", Kind.FILE, 5)
    assert folder is not None
    assert (folder.name, folder.kind) == ("deep", Kind.FOLDER)


def test_what_is_not_there_is_told_from_a_folder_that_is_not_there(place: Place) -> None:
    endpoint = looking(place)
    place.put("in/a.csv")
    assert endpoint.look("in/none") is None
    if not endpoint.has_folders:
        assert endpoint.look("none/none") is None
        assert list(endpoint.list_folder("none")) == []
        return
    for path in ("none/none", "in/a.csv/none"):
        with pytest.raises(FileMissingError):
            endpoint.look(path)
    with pytest.raises(FileMissingError):
        list(endpoint.list_folder("none"))


def test_a_link_is_no_way_to_other_folders(place: Place, request: pytest.FixtureRequest) -> None:
    place.need(Lack.LINKS)
    endpoint = looking(place)
    if "ftps" in request.node.name:
        pytest.skip("such a server follows links by itself")
    place.put("in/a.csv")
    (place.root / "link").symlink_to("in")
    found = endpoint.look("link")
    assert found is not None
    assert found.kind is Kind.OTHER
    with pytest.raises(FileMissingError):
        endpoint.look("link/a.csv")
    assert {each.name: each.kind for each in endpoint.list_folder(".")}["link"] is Kind.OTHER


def test_a_folder_is_asked_other_things_while_it_is_listed(place: Place) -> None:
    endpoint = looking(place)
    for number in range(12):
        place.put(f"{number}.csv", b"x" * number)
    names = []
    for each in endpoint.list_folder("."):
        names.append(each.name)
        found = endpoint.look(each.name)
        assert found is not None
        assert found.size_bytes == each.size_bytes
    assert sorted(names) == sorted(f"{number}.csv" for number in range(12))
