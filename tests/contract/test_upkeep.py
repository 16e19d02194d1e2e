"""The hosted repository is repacked by C git while pushes and fetches go on; nothing is lost, and nobody is refused."""

import fcntl
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from dulwich.objects import Commit
from git_cli import clone, commit, git, git_ok
from git_site import FIRST, NOW, Site, site
from loguru import logger

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.git.folder import _LOCK_NAME
from mftgit.adapters.git.objects import StoreBusyError
from mftgit.adapters.git.store import GitStore
from mftgit.adapters.git.upkeep import MAX_PACKS, Upkeep, UpkeepError, find_git
from mftgit.controller.upkeep import Housekeeping
from mftgit.model.names import CHANGES, MAIN, Revision
from mftgit.model.revisions.push import RefUpdate

pytestmark = pytest.mark.needs("git")

WHO = "Ann <ann@example.org>"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as running:
        yield running


def upkeep(served: Site, *, git: str | None = None, limit_s: float = 60.0) -> Upkeep:
    found = git or find_git()
    assert found is not None
    return Upkeep(served.store, git=found, limit_s=limit_s)


def publish(store: GitStore, count: int, *, ref: str = MAIN) -> Revision:
    """Make so many revisions, each of which leaves a pack as a push does."""
    tip = store.head(ref)
    for number in range(count):
        files = {**FIRST, "transfers/a.yaml": b"%d\n" % number}
        tip = store.commit_documents(
            files, message=f"{number}", author=WHO, now=NOW, parent=tip, ref=ref
        )
    assert tip is not None
    return tip


def sound(served: Site) -> bool:
    checked = git(served.store.path, "fsck", "--strict", "--full", "--no-dangling")
    return checked.code == 0 and not checked.err


def script(folder: Path, *lines: str) -> str:
    """Return a program to be called in the stead of git."""
    file = folder / "slow-git"
    file.write_text("\n".join(["#!/bin/sh", *lines, ""]), encoding="utf-8")
    file.chmod(0o755)
    return str(file)


@contextmanager
def waiting_git(folder: Path) -> Iterator[tuple[str, Callable[[], object], Callable[[], object]]]:
    """Give a git that waits, what waits for it to have begun, and what lets it go on."""
    begun, go = folder / "begun", folder / "go"
    os.mkfifo(begun)
    os.mkfifo(go)
    word = f'echo > "{begun}"; read word < "{go}"; exec "{find_git()}" "$@"'
    yield script(folder, word), begun.read_bytes, lambda: go.write_text("go\n", "utf-8")


# What it brings


def test_many_packs_become_one_and_incremental_fetches_go_on(served: Site, tmp_path: Path) -> None:
    other = clone(served.url, tmp_path / "other")
    work = clone(served.url, tmp_path / "work")
    kept = upkeep(served)
    publish(served.store, MAX_PACKS - 3)  # small packs were put together once meanwhile
    assert not kept.is_due()
    last = publish(served.store, 2)
    assert kept.is_due()
    for turn in range(3):
        kept.run()
        assert (kept.packs(), kept.is_due()) == (1, False)
        assert not list(served.store.path.glob("objects/pack/*.bitmap"))
        git_ok(work, "pull", "--quiet")
        last = Revision(commit(work, {"transfers/b.yaml": f"{turn}\n"}))
        git_ok(work, "push", "--quiet", "origin", "main")
        git_ok(other, "pull", "--quiet")
        assert git_ok(other, "rev-parse", "HEAD") == last
    assert git_ok(clone(served.url, tmp_path / "fresh"), "rev-parse", "HEAD") == last
    assert sound(served)


def test_loose_objects_make_it_due_too(served: Site) -> None:
    folder = served.store.path / "objects/17"
    folder.mkdir()
    for number in range(27):
        (folder / f"{number:038x}").touch()
    assert upkeep(served).is_due()


def test_what_a_removed_proposal_left_is_kept_for_two_weeks(served: Site) -> None:
    gone = publish(served.store, 1, ref=f"{CHANGES}gone")
    served.store.move([RefUpdate(ref=f"{CHANGES}gone", old=gone, new=None)])
    upkeep(served).run()
    assert git(served.store.path, "cat-file", "-e", gone).code == 0
    age(served.store.path)
    upkeep(served).run()
    assert git(served.store.path, "cat-file", "-e", gone).code != 0
    assert sound(served)


def age(repository: Path) -> None:
    """Make every pack a month old."""
    for file in (repository / "objects/pack").iterdir():
        past = file.stat().st_mtime - 30 * 86_400
        os.utime(file, (past, past))
    for file in (repository / "objects/pack").glob("*.mtimes"):
        content = bytearray(file.read_bytes())
        count = (len(content) - 12 - 40) // 4
        for at in range(12, 12 + 4 * count, 4):
            when = int.from_bytes(content[at : at + 4]) - 30 * 86_400
            content[at : at + 4] = when.to_bytes(4)
        content[-20:] = hashlib.sha1(content[:-20], usedforsecurity=False).digest()
        file.chmod(0o644)
        file.write_bytes(content)


# While it runs


def test_racing_pushes_and_fetches_all_succeed_while_it_repacks(
    served: Site, tmp_path: Path
) -> None:
    publish(served.store, 30)
    works = [clone(served.url, tmp_path / f"work{n}") for n in range(4)]
    over = threading.Event()
    repacked: list[int] = []

    def keep() -> None:
        kept = upkeep(served)
        while not over.is_set():
            kept.run()
            repacked.append(kept.packs())

    def push(work: Path) -> list[str]:
        made = []
        for number in range(8):
            made.append(commit(work, {work.name: f"{number}\n"}))
            git_ok(work, "push", "--quiet", "origin", f"HEAD:change/{work.name}")
        return made

    def fetch(number: int) -> None:
        reader = clone(served.url, tmp_path / f"reader{number}")
        turn = 0
        while not over.is_set():
            git_ok(reader, "fetch", "--quiet")
            git_ok(reader, "fsck", "--connectivity-only")
            git_ok(tmp_path, "clone", "--quiet", served.url, f"again{number}-{turn}")
            turn += 1

    with ThreadPoolExecutor(8) as pool:
        others = [pool.submit(keep), pool.submit(fetch, 1), pool.submit(fetch, 2)]
        try:
            acknowledged = [each for made in pool.map(push, works) for each in made]
        finally:
            over.set()
        for each in others:
            each.result()
    assert len(repacked) > 1
    assert set(served.served.statuses) == {200}
    there = set(git_ok(served.store.path, "rev-list", "--all").splitlines())
    assert len(acknowledged) == 32
    assert set(acknowledged) <= there
    assert sound(served)


def test_a_push_that_comes_meanwhile_waits_and_a_fetch_does_not(
    served: Site, tmp_path: Path
) -> None:
    work = clone(served.url, tmp_path / "work")
    last = commit(work, {"a": "1"})
    with waiting_git(tmp_path) as (slow, begun, go), ThreadPoolExecutor(2) as pool:
        kept = pool.submit(upkeep(served, git=slow).run)
        begun()
        pushed = pool.submit(git, work, "push", "origin", "main")
        first = clone(served.url, tmp_path / "meanwhile")
        assert git_ok(first, "rev-parse", "HEAD") != last
        go()
        kept.result()
        assert pushed.result().code == 0
    assert served.store.head() == last
    assert sound(served)


def test_objects_that_a_push_relies_on_are_looked_for_again_when_packs_were_replaced(
    served: Site,
) -> None:
    store, ref = served.store, f"{CHANGES}gone"
    gone = publish(store, 1, ref=ref)
    root = git_ok(store.path, "rev-parse", f"{gone}^{{tree}}")
    store.move([RefUpdate(ref=ref, old=gone, new=None)])
    age(store.path)
    made = Commit()
    made.tree = root.encode()
    made.author = made.committer = WHO.encode()
    made.author_time = made.commit_time = made.author_timezone = made.commit_timezone = 0
    made.message = b"relies on what nothing refers to\n"
    new = Revision(made.id.decode())
    update = RefUpdate(ref=f"{CHANGES}back", old=None, new=new)
    with store.quarantine() as quarantine:
        quarantine.add([made])
        assert quarantine.fault(new) is None
        upkeep(served).run()
        with pytest.raises(StoreBusyError, match="push again"):
            store.move([update], quarantine)
    assert store.head(update.ref) is None
    assert sound(served)


def test_a_push_that_was_looked_at_before_moves_after(served: Site) -> None:
    before = publish(served.store, 3)
    with served.store.quarantine() as quarantine:
        made = Commit()
        made.tree = git_ok(served.store.path, "rev-parse", "main^{tree}").encode()
        made.parents = [before.encode()]  # type: ignore[list-item]
        made.author = made.committer = WHO.encode()
        made.author_time = made.commit_time = made.author_timezone = made.commit_timezone = 0
        made.message = b"later\n"
        new = Revision(made.id.decode())
        quarantine.add([made])
        upkeep(served).run()
        assert served.store.move([RefUpdate(ref=MAIN, old=before, new=new)], quarantine)
    assert served.store.head() == new
    assert sound(served)


# When it fails


def test_what_takes_too_long_is_ended_and_changes_nothing(served: Site, tmp_path: Path) -> None:
    publish(served.store, 5)
    packs = upkeep(served).packs()
    slow = script(tmp_path, "sleep 600 & sleep 600")
    with pytest.raises(UpkeepError, match="took longer than 0 s"):
        upkeep(served, git=slow, limit_s=0.2).run()
    publish(served.store, 1)  # takes the lock that those processes had
    assert upkeep(served).packs() == packs + 1
    assert sound(served)


def test_what_git_said_is_told(served: Site, tmp_path: Path) -> None:
    with pytest.raises(UpkeepError, match="ended with 3: the disk is full"):
        upkeep(served, git=script(tmp_path, "echo the disk is full >&2; exit 3")).run()
    with pytest.raises(UpkeepError, match="cannot be run: No such file"):
        upkeep(served, git=str(tmp_path / "nothing")).run()


def test_a_damaged_repository_is_left_as_it_is(served: Site) -> None:
    publish(served.store, 3)
    pack = max((served.store.path / "objects/pack").glob("*.pack"), key=lambda p: p.stat().st_size)
    pack.chmod(0o644)
    pack.write_bytes(pack.read_bytes()[:-30])
    before = sorted(served.store.path.rglob("*.pack"))
    with pytest.raises(UpkeepError, match="git gc ended with"):
        upkeep(served).run()
    assert sorted(served.store.path.rglob("*.pack")) == before


def test_stopping_ends_it_without_a_word(served: Site, tmp_path: Path) -> None:
    with waiting_git(tmp_path) as (slow, begun, _go), ThreadPoolExecutor(1) as pool:
        kept = upkeep(served, git=slow)
        running = pool.submit(kept.run)
        begun()
        kept.stop()
        running.result()
        kept.run()
    publish(served.store, 1)
    assert sound(served)


PROGRAM = """
import sys
from pathlib import Path
from mftgit.adapters.git.store import GitStore
from mftgit.adapters.git.upkeep import Upkeep
Upkeep(GitStore(Path(sys.argv[1])), git=sys.argv[2]).run()
"""


def test_after_a_kill_the_repository_is_held_until_git_has_ended(
    served: Site, tmp_path: Path
) -> None:
    with waiting_git(tmp_path) as (slow, begun, go):
        words = [sys.executable, "-c", PROGRAM, str(served.store.path), slow]
        with subprocess.Popen(words) as controller:
            begun()
            controller.kill()
        with (served.store.path / "mftgit.flock").open("rb") as lock:
            with pytest.raises(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            go()
            fcntl.flock(lock, fcntl.LOCK_EX)
    served.store.sweep()
    assert sound(served)


# On a schedule


@contextmanager
def told(message: str) -> Iterator[tuple[threading.Event, list[str]]]:
    """Give what is set once the log has said ``message``, and everything that it said."""
    heard, lines = threading.Event(), list[str]()

    def listen(line: str) -> None:
        lines.append(line)
        if message in line:
            heard.set()

    logger.enable("mftgit")
    sink = logger.add(listen, format="{level}|{message}|{extra}")
    try:
        yield heard, lines
    finally:
        logger.remove(sink)
        logger.disable("mftgit")


def test_it_happens_by_itself_once_there_are_enough_packs(served: Site) -> None:
    publish(served.store, MAX_PACKS)
    keeping = Housekeeping(served.store, clock=SystemClock(), every_s=0.05)
    with told("was repacked") as (heard, lines):
        keeping.start()
        try:
            assert heard.wait(60)
        finally:
            keeping.stop()
    assert upkeep(served).packs() == 1
    told_of = "".join(lines).replace("'", "")  # what configures logging makes texts of numbers
    assert f"packs_before: {MAX_PACKS + 2}, packs: 1," in told_of


def test_a_failure_is_told_and_not_repeated_at_once(
    served: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(served.store, MAX_PACKS)
    failing = tmp_path / "git"
    failing.write_text("#!/bin/sh\necho it is broken >&2\nexit 3\n", encoding="utf-8")
    failing.chmod(0o755)
    with monkeypatch.context() as patch, told("was not repacked") as (heard, lines):
        patch.setenv("PATH", str(tmp_path))
        keeping = Housekeeping(served.store, clock=SystemClock(), every_s=0.05)
        keeping.start()
        try:
            assert heard.wait(60)
            keeping._look()
        finally:
            keeping.stop()
    assert [line for line in lines if "it is broken" in line] == lines
    assert len(lines) == 1
    assert lines[0].startswith("ERROR|")


def test_a_look_that_fails_is_not_the_last(served: Site) -> None:
    keeping = Housekeeping(served.store, clock=SystemClock(), every_s=0.05)
    aside = served.store.path.with_name("aside")
    served.store.path.rename(aside)
    packs = served.store.path / "objects/pack"
    packs.mkdir(parents=True)
    for number in range(MAX_PACKS):
        (packs / f"{number}.idx").touch()
    (served.store.path / _LOCK_NAME).mkdir()  # so that it is due, and cannot be locked
    with told("could not be found out") as (failed, _), told("was repacked") as (heard, _):
        keeping.start()
        try:
            assert failed.wait(60)
            served.store.path.rename(served.store.path.with_name("broken"))
            aside.rename(served.store.path)
            publish(served.store, MAX_PACKS)
            assert heard.wait(60)
        finally:
            keeping.stop()


def test_the_mark_of_a_git_that_was_killed_elsewhere_holds_nobody_up(served: Site) -> None:
    publish(served.store, 2)
    (served.store.path / "gc.pid").write_text("4242 another-host", "utf-8")
    upkeep(served).run()
    assert upkeep(served).packs() == 1


def test_without_git_it_is_said_once_and_everything_else_works(
    served: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, told("git is not installed") as (heard, lines):
        patch.setenv("PATH", str(tmp_path))
        keeping = Housekeeping(served.store, clock=SystemClock(), every_s=0.05)
        keeping.start()
        assert heard.is_set()
        keeping.stop()
    assert len(lines) == 1
    assert served.store.head() is not None
