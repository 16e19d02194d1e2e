"""The controller is killed before every step of a push: what was acknowledged is there, and nothing else is."""

import multiprocessing
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
from controller_site import DOCUMENTS, NOW
from git_cli import clone, commit, environment, git, git_ok
from kills import die_before
from ports import own_port

from mftgit.adapters.documents_folder import importable
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.git.gather import MANY
from mftgit.adapters.git.store import GitStore
from mftgit.adapters.registry.registry import Registry
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.rules import make_validator
from mftgit.controller.app import Controller
from mftgit.controller.initialise import initialise
from mftgit.model.events.event import EventName
from mftgit.model.names import CHANGES, MAIN, Revision

pytestmark = [pytest.mark.needs("git"), pytest.mark.long]

CROWD = f"{CHANGES}crowd"
MOVED = r"^os\.rename .*/pack-(\w+)\.idx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """Where the controller was killed; ``step`` is None when the push came to its end before that."""

    step: str | None
    acknowledged: bool


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Ground"]:
    with own_port() as port:
        yield Ground(tmp_path_factory.mktemp("ground"), port)


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Ground"]:
    """Give a ground where one push more means that small packs are put together."""
    with own_port() as port:
        yield Ground(tmp_path_factory.mktemp("crowded"), port, packs=MANY - 2)


class Ground:
    """A controller's state folder as it is before the push, and the clone that pushes."""

    def __init__(self, root: Path, port: int, packs: int = 0) -> None:
        self.root = root
        folder = StateFolder(root / "before")
        made = initialise(
            folder,
            documents=DOCUMENTS,
            tree=importable(DOCUMENTS),
            validator=make_validator(),
            listen=("127.0.0.1", port),
            host="127.0.0.1",
            files_root=root / "files",
            now=NOW,
        )
        self.url = made.clone_url
        self.ca_file = folder.ca_file
        helper = f"!f() {{ echo username=admin; echo password={made.password}; }}; f"
        self.words = (
            "-c", f"http.sslCAInfo={self.ca_file}", "-c", f"credential.helper={helper}",
        )  # fmt: skip
        with GitStore(folder.repository) as store:
            for number in range(packs):
                store.commit_documents(
                    {"a": b"%d" % number},
                    message="m",
                    author="Ann <a@b.invalid>",
                    now=NOW(),
                    parent=store.head(CROWD),
                    ref=CROWD,
                )
        self.work = clone(str(folder.repository), root / "work")
        self.old = git_ok(self.work, "rev-parse", "HEAD")
        self.new = commit(self.work, {"notes.md": "a change"})

    @contextmanager
    def state(self, name: str) -> Iterator[StateFolder]:
        """Give a copy of the state folder."""
        folder = StateFolder(self.root / name)
        shutil.copytree(self.root / "before", folder.root)
        yield folder
        shutil.rmtree(folder.root)


def open_controller(folder: StateFolder) -> tuple[Controller, EventStore]:
    bootstrap = folder.read_bootstrap()
    events = EventStore(folder.events, member=bootstrap.name, now=NOW)
    made = Controller(folder, bootstrap, events=events, validator=make_validator())
    return made, events


def serve(folder: StateFolder, ready: Event, go: Event, at: int, told: Path, station: str) -> None:
    """Be the controller, and die before the ``at``-th step after ``go`` that names ``station``."""
    controller, _ = open_controller(folder)
    controller.start()
    die_before(at, told, counts=go.is_set, station=station)
    ready.set()
    signal.pause()


def push_and_kill(
    ground: Ground, folder: StateFolder, ref: str, at: int, *, station: str = ""
) -> Killed:
    context = multiprocessing.get_context("fork")
    ready, go = context.Event(), context.Event()
    told = ground.root / f"{folder.root.name}.step"
    process = context.Process(
        target=serve, args=(folder, ready, go, at, told, station), daemon=True
    )
    process.start()
    assert ready.wait(60)
    go.set()
    done = subprocess.run(
        ["git", *ground.words, "push", ground.url, f"HEAD:{ref}"],
        cwd=ground.work,
        env=environment(ground.work),
        capture_output=True,
        check=False,
        timeout=120,
    )
    process.kill()
    process.join()
    step = told.read_text(encoding="utf-8") if told.exists() else None
    assert step is not None or done.returncode == 0, done.stderr
    return Killed(step=step, acknowledged=done.returncode == 0)


def look_after(ground: Ground, folder: StateFolder, ref: str, killed: Killed) -> None:
    """Start the controller again and see that all of the push is there, or nothing."""
    repository = folder.repository
    before = git(repository, "rev-parse", "--verify", "--quiet", ref).out
    controller, events = open_controller(folder)
    with closing(events):
        controller.start()
        controller.stop()
        told = [each for _, each in events.after(0, limit=10_000)]
    with closing(Registry(folder.registry, now=NOW)) as registry:
        head = registry.head()
    checked = git(repository, "fsck", "--strict", "--full", "--unreachable", "--no-reflogs")
    assert (checked.code, checked.out) == (0, ""), (killed, checked)
    at = git(repository, "rev-parse", "--verify", "--quiet", ref).out
    assert at == before, killed
    expected = {ground.new} if killed.acknowledged else {ground.new, ground.old, ""}
    assert at in expected, killed
    has_it = git(repository, "cat-file", "-e", ground.new).code == 0
    assert has_it is (at == ground.new), killed
    leftovers = {path.name for path in repository.rglob("*")} & {"mftgit.moving"}
    leftovers |= {path.name for path in repository.glob("objects/incoming-*")}
    leftovers |= {path.name for path in repository.rglob("*.lock")}
    assert leftovers == set(), killed
    main = git_ok(repository, "rev-parse", MAIN)
    assert head is not None
    assert head.oid == main, killed
    published = [each for each in told if each.event is EventName.REVISION_PUBLISHED]
    assert {each.revision for each in published} == ({Revision(main)} - {ground.old}), killed


def kill_at_every_step(ground: Ground, ref: str) -> str:
    """Kill the controller before each step of a push in turn, and look what is left; return the steps."""
    steps: list[str] = []
    for at in range(1, 300):
        name = f"{ref.rpartition('/')[2]}-{at}"
        with ground.state(name) as folder:
            killed = push_and_kill(ground, folder, ref, at)
            look_after(ground, folder, ref, killed)
        if killed.step is None:
            return "\n".join(steps)
        steps.append(killed.step)
    raise AssertionError("it never came to its end")


def kill_at(ground: Ground, ref: str, station: str, at: int = 1) -> str:
    """Kill the controller before the ``at``-th step that names ``station``, and look what is left; return the step.

    Other threads take steps too, each time between others, so that one of the push may never be the one to be counted.
    """
    with ground.state("at-station") as folder:
        killed = push_and_kill(ground, folder, ref, at, station=station)
        look_after(ground, folder, ref, killed)
    (ground.root / "at-station.step").unlink(missing_ok=True)
    return killed.step or ""


@pytest.mark.parametrize("ref", [MAIN, f"{CHANGES}proposal"])
def test_a_controller_that_is_killed_before_any_step_of_a_push_has_all_of_it_or_nothing(
    ground: Ground, ref: str
) -> None:
    found = kill_at_every_step(ground, ref)
    stations = ["incoming-", "mftgit.moving", f"{ref}.lock", "write events.sqlite"]
    if ref == MAIN:
        stations.append("write registry.sqlite")
    for station in stations:
        assert station in found or station in kill_at(ground, ref, station), found


def test_nothing_is_lost_where_it_is_killed_while_small_packs_are_put_together(
    crowded: Ground,
) -> None:
    found = kill_at_every_step(crowded, MAIN)
    moved = re.findall(MOVED, found, re.MULTILINE)
    for at in range(1, 20):  # what other threads did may have kept one of them from its turn
        if len(set(moved)) < 2:
            moved += re.findall(MOVED, kill_at(crowded, MAIN, ".idx", at), re.MULTILINE)
    assert len(set(moved)) == 2, (
        found
    )  # the pack of the push, and the one that others were put into
