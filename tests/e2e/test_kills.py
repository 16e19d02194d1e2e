"""Members are killed while files move and pushes race: nothing is lost, nothing arrives twice."""

import random
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from cluster import Cluster
from sshd import Sshd

FILES = 60
MEMBERS = ["controller", "node-1", "node-2"]


@contextmanager
def consumer(incoming: Path, received: Path) -> Iterator[None]:
    """Take every visible file away at once, so that a second delivery is a second file."""
    received.mkdir()
    stop = threading.Event()

    def take() -> None:
        number = 0
        while not stop.is_set():
            for path in sorted(incoming.iterdir()):
                if not path.name.startswith("."):
                    number += 1
                    path.rename(received / f"{number:06d}~{path.name}")
            stop.wait(0.01)

    thread = threading.Thread(target=take)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.needs("sshd")
def test_members_that_are_killed_at_random_lose_nothing_and_duplicate_nothing(
    running: Cluster, partner: Sshd
) -> None:
    chance = random.Random(20261123)
    received = running.root / "received"
    names = [f"file-{number:03d}.csv" for number in range(FILES)]
    with consumer(partner.folder / "incoming", received):
        for round_number in range(8):
            for name in names[round_number::8]:
                fresh = running.files / "inbox" / f".{name}.writing"
                fresh.write_bytes(name.encode() * chance.randrange(1, 40_000))
                fresh.rename(running.files / "inbox" / name)
            threading.Event().wait(chance.uniform(0.2, 2.5))
            victim = chance.choice(MEMBERS)
            running.kill(victim)
            threading.Event().wait(chance.uniform(0.0, 1.0))
            running.start(victim)
        running.until(
            "every file has arrived",
            lambda: {path.name.split("~", 1)[1] for path in received.iterdir()} >= set(names),
        )
    arrived = Counter(path.name.split("~", 1)[1] for path in received.iterdir())
    assert arrived == Counter(names)
    for path in received.iterdir():
        repeated = path.name.split("~", 1)[1].encode()
        content = path.read_bytes()
        assert content == repeated * (len(content) // len(repeated))
    leftovers = [path.name for path in (partner.folder / "incoming").iterdir()]
    assert leftovers == []
    archive = running.files / "inbox" / "sent"
    running.until(  # which comes after a file has arrived
        "every file is archived", lambda: sorted(path.name for path in archive.iterdir()) == names
    )


def test_of_fifty_racing_pushes_every_acknowledged_one_is_on_the_branch(empty: Cluster) -> None:
    empty.init()
    empty.start_controller()
    clones = [empty.clone(f"clone-{number}") for number in range(10)]

    def push(clone: Path, round_number: int) -> tuple[str, subprocess.CompletedProcess[str]]:
        done = empty.try_push(
            clone,
            {f"notes-{clone.name}.md": f"{round_number}"},
            message=f"{clone.name} {round_number}",
        )
        revision = empty.git("rev-parse", "HEAD", cwd=clone).stdout.strip()
        empty.git("fetch", "--quiet", cwd=clone)
        empty.git("reset", "--quiet", "--hard", "origin/main", cwd=clone)
        return revision, done

    acknowledged: list[tuple[str, str]] = []
    refused: list[tuple[str, str]] = []
    for round_number in range(5):
        with ThreadPoolExecutor(len(clones)) as pool:
            for revision, done in pool.map(lambda clone, n=round_number: push(clone, n), clones):
                (refused if done.returncode else acknowledged).append((revision, done.stderr))
    assert len(acknowledged) + len(refused) == 50
    assert len(acknowledged) >= 5
    reader = empty.clone("reader")
    branch = set(empty.git("rev-list", "HEAD", cwd=reader).stdout.split())
    assert {revision for revision, _ in acknowledged} <= branch
    assert not {revision for revision, _ in refused} & branch
    for _, said in refused:
        assert "rejected" in said, said
        assert "HTTP 5" not in said
        assert "fetch first" in said or "moved" in said, said
    assert len(branch) == len(acknowledged) + 1
    published = [each for each in empty.events() if each["event"] == "RevisionPublished"]
    assert len(published) == len(acknowledged)
    repository = empty.dir("controller") / "repository.git"
    fsck = subprocess.run(
        ["git", "fsck", "--strict"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    assert fsck.returncode == 0, fsck.stderr


def test_a_controller_killed_during_pushes_keeps_what_it_acknowledged(empty: Cluster) -> None:
    empty.init()
    empty.start_controller()
    clone = empty.clone()
    acknowledged = []
    for number in range(6):
        killer = threading.Timer(0.05 + 0.06 * number, empty.running["controller"].kill)
        killer.start()
        done = empty.try_push(clone, {"note.md": str(number)}, message=f"push {number}")
        killer.join()
        empty.running.pop("controller").wait()
        revision = empty.git("rev-parse", "HEAD", cwd=clone).stdout.strip()
        if done.returncode == 0:
            acknowledged.append(revision)
        empty.start_controller()
        tip = empty.git("ls-remote", empty.url, "refs/heads/main").stdout.split()[0]
        head = empty.status()["revision"]
        assert head == tip
        empty.git("fetch", "--quiet", cwd=clone)
        branch = empty.git("rev-list", "origin/main", cwd=clone).stdout.split()
        assert set(acknowledged) <= set(branch)
        empty.until_active(tip, "controller")
