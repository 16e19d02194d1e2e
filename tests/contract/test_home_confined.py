"""No client gets out of its home, whatever somebody with a shell puts there, and when."""

import contextlib
import os
import posixpath
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from homes import GO_ON, NEW, HomeSite, refused, send
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mftgit.adapters.home.contract import Home, HomeError, Opening, Refusal, Traits

SECRET = b"not for clients"


@pytest.fixture
def site(tmp_path: Path) -> HomeSite:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(SECRET)
    return HomeSite(tmp_path / "home")


@pytest.fixture
def home(site: HomeSite) -> Home:
    return site.open()


def outside(site: HomeSite) -> Path:
    return site.root.parent / "outside"


READS: dict[str, Callable[[Home, str], object]] = {
    "list": lambda home, path: list(home.list(path)),
    "read": lambda home, path: home.open_read(f"{path}/secret"),
    "stat": lambda home, path: home.stat(f"{path}/secret"),
    "write": lambda home, path: home.open_write(f"{path}/new", NEW, Traits()),
    "overwrite": lambda home, path: home.open_write(f"{path}/secret", NEW, Traits()),
    "append": lambda home, path: home.open_write(f"{path}/secret", GO_ON, Traits()),
    "set": lambda home, path: home.set(f"{path}/secret", Traits(mode=0o777)),
    "set folder": lambda home, path: home.set(path, Traits(mode=0o777)),
    "make": lambda home, path: home.make_folder(f"{path}/new", Traits()),
    "remove": lambda home, path: home.remove(f"{path}/secret"),
    "rmdir": lambda home, path: home.remove_folder(path),
    "rename out": lambda home, path: home.rename("/mine", f"{path}/mine", replace=True),
    "rename in": lambda home, path: home.rename(f"{path}/secret", "/got", replace=True),
}


@pytest.mark.parametrize("act", READS)
def test_nothing_is_done_through_a_link(site: HomeSite, home: Home, act: str) -> None:
    send(home, "/mine", b"mine")
    (site.root / "out").symlink_to(outside(site))
    before = (outside(site) / "secret").stat()
    refused(lambda: READS[act](home, "/out"))
    assert list(outside(site).iterdir()) == [outside(site) / "secret"]
    after = (outside(site) / "secret").stat()
    assert (before.st_mode, before.st_mtime_ns) == (after.st_mode, after.st_mtime_ns)
    assert stat.S_IMODE(outside(site).stat().st_mode) != 0o777


@pytest.mark.parametrize("target", ["../outside/secret", "/proc/self/cwd", "/proc/self/fd/0", "a"])
def test_a_link_is_shown_and_removed_and_never_read_or_written(
    site: HomeSite, home: Home, target: str
) -> None:
    send(home, "/a", b"")
    (site.root / "link").symlink_to(target)
    assert stat.S_ISLNK(home.stat("/link").mode)
    assert {name for name, _ in home.list("/")} == {"a", "link"}
    assert refused(lambda: home.open_read("/link")) is Refusal.NOT_FILE
    assert refused(lambda: home.open_write("/link", NEW, Traits())) is Refusal.NOT_FILE
    assert refused(lambda: home.open_write("/link", GO_ON, Traits())) is Refusal.NOT_FILE
    assert refused(lambda: home.set("/link", Traits(mtime_s=1, atime_s=1))) is Refusal.NOT_FILE
    home.remove("/link")
    assert not (site.root / "link").is_symlink()
    assert (outside(site) / "secret").read_bytes() == SECRET


def test_an_upload_replaces_no_link_that_came_meanwhile(site: HomeSite, home: Home) -> None:
    file = home.open_write("/a", NEW, Traits())
    file.write(0, b"abc")
    (site.root / "a").symlink_to(outside(site) / "secret")
    with contextlib.suppress(HomeError):
        file.close()
    assert (outside(site) / "secret").read_bytes() == SECRET
    assert not (site.root / "a").is_symlink()


@pytest.mark.parametrize(
    "path", ["/../outside/secret", "/a/../../outside/secret", "../../outside/secret"]
)
def test_no_path_leads_above_the_home(home: Home, path: str) -> None:
    assert home.resolve(path) == "/outside/secret"
    assert refused(lambda: home.open_read(path)) is Refusal.MISSING


OPENED: dict[str, Callable[[Home, str], object]] = {
    "read": lambda home, path: home.open_read(path),
    "write": lambda home, path: home.open_write(path, NEW, Traits()),
    "append": lambda home, path: home.open_write(path, GO_ON, Traits()),
    "change": lambda home, path: home.open_write(path, Opening(), Traits()),
    "set": lambda home, path: home.set(path, Traits(mode=0o666)),
}


@pytest.mark.parametrize("act", OPENED)
def test_only_regular_files_are_opened(site: HomeSite, home: Home, act: str) -> None:
    os.mkfifo(site.root / "pipe")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(site.root / "door"))
    assert refused(lambda: OPENED[act](home, "/pipe")) is Refusal.NOT_FILE
    assert refused(lambda: OPENED[act](home, "/door")) is Refusal.NOT_FILE
    home.make_folder("/d", Traits())
    if act != "set":
        assert refused(lambda: OPENED[act](home, "/d")) is Refusal.IS_FOLDER


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_is_not_opened(site: HomeSite, home: Home) -> None:
    os.mknod(site.root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    assert refused(lambda: home.open_read("/null")) is Refusal.NOT_FILE
    assert refused(lambda: home.open_write("/null", NEW, Traits())) is Refusal.NOT_FILE


def test_a_hard_link_is_read_and_replaced_and_its_other_name_stays_as_it_is(
    site: HomeSite, home: Home
) -> None:
    secret = outside(site) / "secret"
    before = secret.stat()
    for name in ("a", "b"):
        (site.root / name).hardlink_to(secret)
    assert home.open_read("/a").read(0, 99) == SECRET
    assert refused(lambda: home.set("/a", Traits(mode=0o777))) is Refusal.DENIED
    assert refused(lambda: home.set("/a", Traits(mtime_s=1, atime_s=1))) is Refusal.DENIED
    send(home, "/a", b"new")
    send(home, "/b", b"!", GO_ON)
    home.set("/b", Traits(size_bytes=3))
    assert site.seen() == {"a": b"new", "b": SECRET[:3]}
    assert secret.read_bytes() == SECRET
    assert (secret.stat().st_mode, secret.stat().st_mtime_ns) == (
        before.st_mode,
        before.st_mtime_ns,
    )


def test_the_clusters_own_names_are_not_there(site: HomeSite, home: Home) -> None:
    (site.root / ".mftgit").mkdir()
    (site.root / ".mftgit" / "secret").write_bytes(SECRET)
    assert list(home.list("/")) == []
    for act, call in READS.items():
        if act != "rename out":
            assert refused(lambda call=call: call(home, "/.mftgit")) is Refusal.MISSING  # type: ignore[misc]
    assert refused(lambda: home.make_folder("/.MftGit-x", Traits())) is Refusal.MISSING
    assert refused(lambda: home.stat("/x/.mftgit-upload-1")) is Refusal.MISSING


def make_tree(root: Path) -> None:
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "file").write_bytes(b"12")
    (root / "a" / "b" / "file").write_bytes(b"123")
    (root / "a" / "up").symlink_to("..")
    (root / "a" / "b" / "out").symlink_to(outside(HomeSite(root)))
    (root / "root").symlink_to("/")


def by_hand(root: Path, path: str) -> os.stat_result | None:
    """What is at ``path`` when no link on the way is followed."""
    parts = [each for each in posixpath.normpath("/" + path).split("/") if each]
    above = [root.joinpath(*parts[:length]) for length in range(1, len(parts))]
    if any(each.is_symlink() or not each.is_dir() for each in above):
        return None
    try:
        return root.joinpath(*parts).lstat()
    except FileNotFoundError:
        return None


WORDS = st.sampled_from(["", ".", "..", "a", "b", "file", "up", "out", "root", "secret", "etc"])


@given(st.lists(WORDS, max_size=8).map("/".join))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_path_leads_to_what_is_there_when_no_link_is_followed(
    site: HomeSite, home: Home, path: str
) -> None:
    if not (site.root / "a").exists():
        make_tree(site.root)
    expected = by_hand(site.root, path)
    try:
        found = home.stat(path)
    except HomeError as error:
        assert expected is None, error  # noqa: PT017
        assert error.refusal in {Refusal.MISSING, Refusal.NOT_FOLDER}  # noqa: PT017
    else:
        assert expected is not None
        assert (found.mode, found.size_bytes) == (expected.st_mode, expected.st_size)


@contextlib.contextmanager
def swapping(folder: Path, *steps: str) -> Iterator[None]:
    """Do ``steps`` in ``folder``, over and over, in another process: threads of one take turns too seldom."""
    lines = "\n    ".join(steps)
    code = f"import os\nprint(flush=True)\nwhile True:\n    {lines}\n"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


ROUNDS = 3000


def rounds(met: Callable[[], object]) -> Iterator[int]:
    """Give so many, and more until it was ``met`` what may take its time where other programs run."""
    yield from range(ROUNDS)
    left = iter(range(ROUNDS, 1000 * ROUNDS))
    while not met():
        yield next(left)


def test_a_folder_that_turns_into_a_link_while_it_is_walked_leads_nowhere(
    site: HomeSite, home: Home
) -> None:
    inner = site.root / "a"
    inner.mkdir()
    (inner / "secret").write_bytes(b"own")
    (site.root / "link").symlink_to(outside(site))

    steps = "os.rename('a', 'kept')", "os.rename('link', 'a')", "os.rename('a', 'link')"
    got: list[bytes] = []
    reached: list[int] = []
    with swapping(site.root, *steps, "os.rename('kept', 'a')"):
        for number in rounds(lambda: got and reached):
            with contextlib.suppress(HomeError):
                file = home.open_read("/a/secret")
                got.append(file.read(0, 99))
                file.close()
            with contextlib.suppress(HomeError):
                listed = dict(home.list("/a"))
                assert listed.pop("secret").size_bytes == len(b"own")
                assert all(stat.S_ISDIR(found.mode) for found in listed.values())
                reached.append(number)
            with contextlib.suppress(HomeError):
                home.make_folder(f"/a/{number}", Traits())
                home.remove_folder(f"/a/{number}")
    assert set(got) == {b"own"}
    assert reached
    assert [each.name for each in outside(site).iterdir()] == ["secret"]


def test_a_file_that_turns_into_a_link_while_it_is_opened_is_not_read(
    site: HomeSite, home: Home
) -> None:
    (site.root / "a").write_bytes(b"own")
    (site.root / "other").write_bytes(b"own")
    steps = "os.symlink('../outside/secret', 'b')", "os.rename('b', 'a')", "os.link('other', 'b')"
    got: list[bytes] = []
    with swapping(site.root, *steps, "os.rename('b', 'a')"):
        for _ in rounds(lambda: got):
            with contextlib.suppress(HomeError):
                file = home.open_read("/a")
                got.append(file.read(0, 99))
                file.close()
            with contextlib.suppress(HomeError):
                home.set("/a", Traits(mode=0o777))
    assert set(got) == {b"own"}
    assert (outside(site) / "secret").stat().st_mode & 0o777 != 0o777


def test_a_file_that_takes_the_place_of_a_folder_while_it_is_walked_is_no_folder(
    site: HomeSite, home: Home
) -> None:
    (site.root / "a" / "b").mkdir(parents=True)
    (site.root / "a" / "b" / "c").write_bytes(b"own")
    (site.root / "plain").write_bytes(b"plain")
    steps = "os.rename('a', 'kept')", "os.rename('plain', 'a')", "os.rename('a', 'plain')"
    met: set[Refusal] = set()
    with swapping(site.root, *steps, "os.rename('kept', 'a')"):
        for _ in rounds(lambda: len(met) > 1):
            try:
                assert home.stat("/a/b/c").size_bytes == 3
                home.open_read("/a/b/c").close()
            except HomeError as error:
                met.add(error.refusal)
    assert met == {Refusal.MISSING, Refusal.NOT_FOLDER}


def test_a_folder_that_was_moved_out_gets_no_new_names(site: HomeSite, home: Home) -> None:
    home.make_folder("/a", Traits())
    file = home.open_write("/a/file", NEW, Traits())
    file.write(0, b"abc")
    (site.root / "a").rename(outside(site) / "a")
    assert refused(file.close) is Refusal.MISSING
    (site.root / "a").mkdir()
    file = home.open_write("/a/file", NEW, Traits())
    file.write(0, b"abc")
    (site.root / "a").rename(outside(site) / "b")
    (site.root / "a").symlink_to(outside(site) / "b")
    assert refused(file.close) is Refusal.NOT_FOLDER
    for folder in ("a", "b"):
        assert all(each.name.startswith(".mftgit") for each in (outside(site) / folder).iterdir())
