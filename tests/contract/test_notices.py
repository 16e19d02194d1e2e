"""News of folders on a file system of this machine, by the kernel's own words."""

import os
import queue
import resource
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mftgit.adapters import inotify
from mftgit.adapters.inotify import Inotify, tells

WAIT_S = 60.0


@dataclass
class Ear:
    """What was heard, in order."""

    heard: "queue.Queue[str]" = field(default_factory=queue.Queue)

    def __post_init__(self) -> None:
        self.inotify = Inotify(self.heard.put)

    def next(self) -> str:
        return self.heard.get(timeout=WAIT_S)


@pytest.fixture
def ear() -> Iterator[Ear]:
    made = Ear()
    yield made
    made.inotify.stop()
    assert not made.inotify._thread.is_alive()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    if not tells(tmp_path):
        pytest.skip("the tests' folder is on a file system that is polled")
    return tmp_path


def quiet_until(ear: Ear, folder: Path, key: str = "last") -> None:
    """See that nothing was heard before what happens now."""
    last = folder / "last-folder"
    last.mkdir(exist_ok=True)
    assert ear.inotify.watch(key, last, depth=0)
    (last / "x").write_text("x", encoding="utf-8")
    assert ear.next() == key


@pytest.mark.parametrize(
    "come",
    [
        lambda folder: (folder / "a").write_text("x", encoding="utf-8"),
        lambda folder: (folder.parent / "b").rename(folder / "b"),
    ],
)
def test_a_file_that_is_whole_is_heard_of(
    ear: Ear, folder: Path, come: Callable[[Path], object]
) -> None:
    (folder / "in").mkdir()
    (folder / "b").write_text("x", encoding="utf-8")
    assert ear.inotify.watch("k", folder / "in", depth=0)
    come(folder / "in")
    assert ear.next() == "k"


def test_a_file_that_is_being_written_or_read_is_not_heard_of(ear: Ear, folder: Path) -> None:
    (folder / "in").mkdir()
    (folder / "in/old").write_text("x", encoding="utf-8")
    assert ear.inotify.watch("k", folder / "in", depth=0)
    with (folder / "in/a").open("w", encoding="utf-8") as stream:
        stream.write("x")
        stream.flush()
        (folder / "in/old").read_text(encoding="utf-8")
        quiet_until(ear, folder)
    assert ear.next() == "k"


def test_folders_below_are_heard_of_as_deep_as_is_looked(ear: Ear, folder: Path) -> None:
    (folder / "in/x/y").mkdir(parents=True)
    (folder / "in/.mftgit/z").mkdir(parents=True)
    assert ear.inotify.watch("k", folder / "in", depth=1)
    for quiet in ("in/x/y/a", "in/.mftgit/a"):
        (folder / quiet).write_text("x", encoding="utf-8")
    quiet_until(ear, folder)
    (folder / "in/x/a").write_text("x", encoding="utf-8")
    assert ear.next() == "k"


def test_a_new_folder_is_news_and_heard_of_after_the_next_look(ear: Ear, folder: Path) -> None:
    (folder / "in").mkdir()
    assert ear.inotify.watch("k", folder / "in", depth=9)
    (folder / "in/new").mkdir()
    assert ear.next() == "k"
    assert ear.inotify.watch("k", folder / "in", depth=9)
    (folder / "in/new/a").write_text("x", encoding="utf-8")
    assert ear.next() == "k"


def test_a_folder_that_two_watch_is_news_for_both_until_one_lets_it_go(
    ear: Ear, folder: Path
) -> None:
    (folder / "in").mkdir()
    for key in ("k", "l"):
        assert ear.inotify.watch(key, folder / "in", depth=0)
    (folder / "in/a").write_text("x", encoding="utf-8")
    assert [ear.next(), ear.next()] == ["k", "l"]
    ear.inotify.forget("k")
    (folder / "in/b").write_text("x", encoding="utf-8")
    assert ear.next() == "l"
    ear.inotify.forget("l")
    (folder / "in/c").write_text("x", encoding="utf-8")
    quiet_until(ear, folder)


def test_a_folder_that_was_made_anew_is_heard_of_after_the_next_look(
    ear: Ear, folder: Path
) -> None:
    (folder / "in").mkdir()
    assert ear.inotify.watch("k", folder / "in", depth=0)
    (folder / "in").rmdir()
    assert not ear.inotify.watch("k", folder / "in", depth=0)
    (folder / "in").mkdir()
    assert ear.inotify.watch("k", folder / "in", depth=0)
    (folder / "in/a").write_text("x", encoding="utf-8")
    assert ear.next() == "k"


def test_a_queue_that_overflowed_is_news_of_every_folder(ear: Ear, folder: Path) -> None:
    (folder / "in").mkdir()
    (folder / "other").mkdir()
    assert ear.inotify.watch("k", folder / "in", depth=0)
    assert ear.inotify.watch("l", folder / "other", depth=0)
    overflow = inotify._EVENT.pack(-1, inotify._OVERFLOW, 0, 0)
    assert ear.inotify._keys_of(overflow) == {"k", "l"}


def test_a_file_system_that_is_not_this_machine_s_does_not_tell(folder: Path) -> None:
    assert tells(folder)
    assert not tells(Path("/proc"))
    assert not tells(folder / "gone")


def test_what_does_not_tell_and_what_is_a_link_is_not_watched(ear: Ear, folder: Path) -> None:
    (folder / "in").mkdir()
    (folder / "link").symlink_to("in")
    assert not ear.inotify.watch("k", Path("/proc"), depth=0)
    assert not ear.inotify.watch("k", folder / "gone", depth=0)
    assert not ear.inotify.watch("k", folder / "link", depth=0)


def test_a_listener_that_fails_does_not_make_it_deaf(folder: Path) -> None:
    heard: queue.Queue[str] = queue.Queue()

    def fail(key: str) -> None:
        heard.put(key)
        raise RuntimeError("a fault of the listener's")

    made = Inotify(fail)
    try:
        assert made.watch("k", folder, depth=0)
        for name in "ab":
            (folder / name).write_text("x", encoding="utf-8")
            assert heard.get(timeout=WAIT_S) == "k"
    finally:
        made.stop()


def test_it_hears_beside_more_open_files_than_select_takes(folder: Path) -> None:
    heard: queue.Queue[str] = queue.Queue()
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as open_files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(now, 2048), most))
        open_files.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (now, most))
        while open_files.enter_context(Path(os.devnull).open("rb")).fileno() < 1024:  # FD_SETSIZE
            pass
        made = Inotify(heard.put)
        try:
            assert made.watch("k", folder, depth=0)
            (folder / "a").write_text("x", encoding="utf-8")
            assert heard.get(timeout=WAIT_S) == "k"
        finally:
            made.stop()


def test_one_that_was_stopped_hears_nothing_any_more(folder: Path) -> None:
    made = Inotify(lambda _: None)
    assert made.watch("k", folder, depth=0)
    made.stop()
    made.stop()
    assert not made.watch("k", folder, depth=0)
    made.forget("k")
