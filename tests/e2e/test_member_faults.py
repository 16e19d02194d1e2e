"""A node as a process meets what machines and networks do to it: it runs on, says what is wrong, and recovers."""

import json
import os
import resource
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cluster import mftgit
from node_site import ONE, TRANSFER, TWO, damage
from small_cluster import NODE, Small, small_cluster
from small_disk import breaking_disk, fill, small_disk
from wires import Fault, proxy

from mftgit.model.events.event import EventName
from mftgit.model.names import Revision

CLUSTER = b"name: c\npoll_s: 1\nconfirm: {within_s: 20}\n"


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    """A cluster whose node has joined; each test leaves it well."""
    with small_cluster(tmp_path_factory.mktemp("small")) as made:
        yield made


@pytest.fixture
def small(joined: Small) -> Iterator[Small]:
    """The cluster with its node running, which is stopped afterwards."""
    joined.start()
    joined.until_says("active")
    yield joined
    joined.made.kill(NODE)


_numbers = iter(range(1000))


def push(small: Small, changes: dict[str, bytes] | None = None) -> Revision:
    """Publish something else than what was published before."""
    fresh = {"cluster.yaml": CLUSTER, "note.md": b"%d" % next(_numbers)}
    return small.push(ONE | fresh | (changes or {}))


def node(small: Small) -> Path:
    return small.made.dir(NODE)


def test_a_storm_of_signals_keeps_no_node_from_ending_in_order(joined: Small) -> None:
    joined.start()
    joined.until_says("active")
    for _ in range(5_000):
        joined.made.signal(NODE, signal.SIGHUP)
    assert joined.made.stop(NODE) == 0


# Limits of the machine


def test_a_node_without_descriptors_runs_on_says_so_and_takes_the_revision_when_there_are_some(
    small: Small,
) -> None:
    active = push(small)
    small.until_says("active", active)
    process = small.made.running[NODE].pid
    soft, hard = resource.prlimit(process, resource.RLIMIT_NOFILE)
    resource.prlimit(process, resource.RLIMIT_NOFILE, (4, hard))
    new = push(small, TWO)
    small.made.until("it says so", lambda: "Too many open files" in small.made.log(NODE))
    resource.prlimit(process, resource.RLIMIT_NOFILE, (soft, hard))
    small.until_says("active", new)
    small.delivers("after a want of descriptors")
    assert [each.revision for each in small.told(EventName.REVISION_ACTIVATED)][-2:] == [
        active,
        new,
    ]


@contextmanager
def on(joined: Small, disk: Path) -> Iterator[None]:
    """Let the node's folder lie on ``disk`` for the time of the block, and come back as it is then."""
    shutil.copytree(node(joined), disk / "node")
    shutil.rmtree(node(joined))
    node(joined).symlink_to(disk / "node")
    try:
        yield
    finally:
        node(joined).unlink()
        shutil.copytree(disk / "node", node(joined))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_node_whose_own_disk_is_full_runs_on_says_so_and_takes_the_revision_when_there_is_room(
    joined: Small, tmp_path: Path
) -> None:
    with small_disk(tmp_path, mib=16), on(joined, tmp_path):
        joined.start()
        active = push(joined)
        joined.until_says("active", active)
        filler = fill(tmp_path)
        new = push(joined, TWO)
        joined.made.until("it says so", lambda: _full(joined))
        filler.unlink()
        joined.until_says("active", new)
        joined.delivers("after a full disk")
        joined.check_outcomes()
        joined.made.kill(NODE)


@pytest.mark.needs("mkfs.ext4")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
def test_a_node_whose_disk_takes_no_writes_any_more_runs_on_says_so_and_goes_on_with_one_that_does(
    joined: Small, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    with breaking_disk(disk, mib=64) as break_off, on(joined, disk):
        joined.start()
        active = push(joined)
        joined.until_says("active", active)
        break_off()
        new = push(joined, TWO)
        joined.made.until("it says so", lambda: "Read-only file system" in joined.made.log(NODE))
        assert joined.made.running[NODE].poll() is None
        assert joined.made.member(NODE)["active_revision"] == active
        joined.made.kill(NODE)
        break_off.mend()
        joined.start()
        joined.until_says("active", new)
        joined.check_outcomes()
        joined.made.kill(NODE)


def _full(small: Small) -> bool:
    log = small.made.log(NODE)
    return "No space left" in log or "database or disk is full" in log


# What is damaged, or left behind


@pytest.mark.parametrize("name", ["record.json"])
def test_a_node_whose_record_is_damaged_says_how_to_go_on_and_does(
    joined: Small, name: str
) -> None:
    revision = push(joined)
    (node(joined) / name).write_bytes(b'{"seq": ')
    done = mftgit("run", node(joined), cwd=joined.made.root)
    assert done.returncode != 0
    assert f"{name}: " in done.stderr
    assert (
        "or remove it, and the member takes in the published revision as a newcomer" in done.stderr
    )
    (node(joined) / name).unlink()
    joined.start()
    joined.until_says("active", revision)
    joined.made.kill(NODE)


@pytest.mark.parametrize(
    "pattern", ["objects/pack/*.pack", "objects/pack/*.idx", "refs/mftgit/fetched", "HEAD"]
)
def test_a_node_whose_store_is_damaged_while_it_runs_takes_the_next_revision_all_the_same(
    small: Small, pattern: str
) -> None:
    small.until_says("active", push(small))
    damage(node(small) / "store.git", pattern)
    small.until_says("active", push(small, TWO))
    small.delivers(f"after damage to {pattern.replace('/', ' ')}")


def test_locks_and_halves_that_a_crash_left_keep_a_node_from_nothing(joined: Small) -> None:
    store = node(joined) / "store.git"
    for name in ("refs/mftgit/fetched.lock", "packed-refs.lock", "HEAD.lock", "config.lock"):
        (store / name).touch()
    (store / "objects" / "pack" / "tmp_pack_left").write_bytes(b"PACK")
    (node(joined) / ".record.json.999999999.new").write_bytes(b"{")
    (node(joined) / "lock").write_bytes(b"1\n")
    revision = push(joined)
    joined.start()
    joined.until_says("active", revision)
    joined.made.kill(NODE)
    assert not (node(joined) / ".record.json.999999999.new").exists()


def test_a_second_process_on_one_folder_is_told_who_has_it_and_the_first_goes_on(
    small: Small,
) -> None:
    done = mftgit("run", node(small), cwd=small.made.root)
    assert done.returncode != 0
    assert f"process id {small.made.running[NODE].pid}" in done.stderr
    small.until_says("active", push(small))


# Time


def set_clock(place: Path, seconds: int) -> None:
    fresh = place.with_suffix(".new")
    fresh.write_text(str(seconds), encoding="ascii")
    fresh.rename(place)


def test_a_node_whose_clock_is_a_day_off_runs_on_and_follows_again_when_it_is_set(
    joined: Small, tmp_path: Path
) -> None:
    launcher = Path(__file__).parents[1] / "support" / "odd_clock.py"
    seconds = tmp_path / "seconds"
    joined.start(sys.executable, str(launcher), str(seconds))
    active = push(joined)
    joined.until_says("active", active)
    for day in (86_400, -86_400):
        set_clock(seconds, day)
        joined.made.until("it is noticed", lambda: "the clock was set" in joined.made.log(NODE))
        new = push(joined)
        joined.delivers(f"with a clock {day} s off")
        assert joined.says()["active_revision"] == active
        set_clock(seconds, 0)
        joined.until_says("active", new)
        active = new
    joined.made.kill(NODE)


def test_a_node_that_stood_still_while_its_time_to_confirm_ended_goes_back_and_says_so_once(
    small: Small,
) -> None:
    old = push(small)
    small.until_says("active", old)
    go = node(small) / "go"
    small.command("slow", f"while [ ! -e {go} ]; do sleep 0.1; done")
    slow = push(small, {"cluster.yaml": b"name: c\nconfirm: {within_s: 15, command: slow}\n"})
    small.until_says("confirming", slow)
    small.made.signal(NODE, signal.SIGSTOP)
    go.touch()  # the command ends well, and nobody looks at it
    threading.Event().wait(16)
    small.made.signal(NODE, signal.SIGCONT)
    small.until_says("rolled back", old)

    def told() -> list[EventName]:
        return [each.event for each in small.told(at="controller") if each.revision == slow]

    small.made.until("it is told", lambda: EventName.REVISION_ROLLED_BACK in told())
    small.until_reported()
    assert told().count(EventName.REVISION_ROLLED_BACK) == 1
    assert EventName.REVISION_ACTIVATED not in told()
    small.until_says("active", push(small))


@pytest.mark.long
def test_a_controller_that_stands_still_for_a_minute_holds_nothing_up_and_is_followed_again(
    small: Small,
) -> None:
    small.until_says("active", push(small))
    small.made.signal("controller", signal.SIGSTOP)
    threading.Event().wait(30)
    small.delivers("while the controller stood still")
    small.made.until("it says so", lambda: "/api/head" in str(small.says()["reason"]))
    threading.Event().wait(30)
    small.made.signal("controller", signal.SIGCONT)
    small.until_says("active", push(small, TWO))
    small.made.until("it says nothing any more", lambda: small.says()["reason"] is None)
    small.check_outcomes()


# What hangs


@pytest.mark.long
def test_storage_that_hangs_keeps_a_node_from_no_revision_nor_from_its_end(small: Small) -> None:
    small.until_says("active", push(small))
    small.delivers("before it hangs")
    other = small.made.files / ".mftgit" / "coordination" / "sessions" / "node-2.0"
    other.mkdir()
    ledger = small.made.files / ".mftgit" / "transfers" / "one" / "ledger"
    pipes = [other / "told.json", ledger / "000000000999.jsonl"]
    for pipe in pipes:
        os.mkfifo(
            pipe
        )  # whoever reads it hangs in a system call, as on storage that does not answer
    try:
        shorter = CLUSTER + b"coordinator: {type: shared-folder, ttl_s: 7}\n"
        new = push(small, {"cluster.yaml": shorter, "transfers/two.yaml": TRANSFER})
        small.until_says("active", new)
        process = small.made.running.pop(NODE)
        process.terminate()
        assert process.wait(85) == 0  # before a service manager kills it
    finally:
        for path in pipes:
            path.unlink()
        if NODE not in small.made.running:
            small.start()


# The way to the controller, and the controller itself


@pytest.mark.parametrize("fault", Fault)
def test_a_node_follows_by_asking_where_a_proxy_breaks_what_it_waits_for(
    joined: Small, fault: Fault
) -> None:
    place = node(joined) / "bootstrap.json"
    before = place.read_text(encoding="utf-8")
    value = json.loads(before)
    port = int(value["controller_url"].rpartition(":")[2])
    with proxy(port, fault) as between:
        changed = value | {"controller_url": f"https://127.0.0.1:{between.port}"}
        place.write_text(json.dumps(changed), encoding="utf-8")
        joined.start()
        try:
            for _ in range(2):
                struck = between.struck
                joined.made.until("it strikes", lambda: between.struck > struck)  # noqa: B023
                joined.until_says("active", push(joined))
        finally:
            joined.made.kill(NODE)
            place.write_text(before, encoding="utf-8")


def test_a_node_holds_what_it_runs_when_its_controller_is_put_back_from_a_backup_and_says_so(
    small: Small, tmp_path: Path
) -> None:
    yesterday = push(small)
    small.until_says("active", yesterday)
    controller = small.made.dir("controller")
    small.made.stop("controller")
    shutil.copytree(controller, tmp_path / "backup")
    small.made.start_controller()
    push(small)
    newest = push(small, TWO)
    small.until_says("active", newest)
    small.made.stop("controller")
    shutil.rmtree(controller)
    shutil.copytree(tmp_path / "backup", controller)
    small.made.start_controller()
    small.until_says("diverged", newest)
    assert f"{yesterday} does not contain {newest}" in str(small.says()["reason"])
    small.delivers("while the controller is back at yesterday")
    done = small.made.git("push", "origin", "HEAD:main", cwd=small.clone)
    assert done.returncode == 0, done.stderr
    small.until_says("active", newest)
    small.until_says("active", push(small))
    assert small.says()["reason"] is None
