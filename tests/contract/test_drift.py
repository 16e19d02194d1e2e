"""A member keeps a copy of what it confirmed, tells what was edited there, and starts by it when its store is lost."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from controller_site import Node, Site, controller_site
from node_site import ONE, TWO, damage, deliver, restarted, started
from waiting import WAIT_S, until

from mftgit.adapters.clock import SystemClock
from mftgit.errors import MftgitError
from mftgit.member.drift import MAX_TOLD, DriftWatch
from mftgit.model.events.event import Event, EventName
from mftgit.model.members.messages import MemberState
from mftgit.model.members.record import Stage
from mftgit.model.names import Revision


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as made:
        yield made


def watch_of(node: Node, revision: Revision | None) -> DriftWatch:
    """Return what looks after the node's copy, which is that of ``revision`` now; the test says when it looks."""

    def tell(event: EventName, **rest: Any) -> None:
        node.events.append(event, **rest)

    made = DriftWatch(node.upstream.store, node.folder, tell, clock=SystemClock())
    made.follow(revision)
    made.look()
    return made


def edit(path: Path, content: bytes = b"mine\n") -> None:
    path.unlink()
    path.write_bytes(content)


def drifted(node: Node) -> list[Event]:
    return node.told(EventName.DRIFT_FOUND)


def test_an_edit_is_told_once_with_where_it_was_saved(site: Site) -> None:
    revision = site.publish(ONE)
    node = started(site)
    watch = watch_of(node, revision)
    edited = node.folder.active / "transfers/one.yaml"
    assert edited.read_bytes() == ONE["transfers/one.yaml"]
    edit(edited)
    for _ in range(2):
        watch.look()
    (told,) = drifted(node)
    assert (told.revision, told.facts["count"], told.facts["not_kept"]) == (revision, 1, 0)
    assert told.facts["files"] == [{"path": "transfers/one.yaml", "what": "edited"}]
    saved = node.folder.root / str(told.facts["saved"])
    assert saved.parent == node.folder.drift
    assert (saved / "files/transfers/one.yaml").read_bytes() == b"mine\n"
    assert edited.read_bytes() == ONE["transfers/one.yaml"]


def test_the_copy_follows_what_is_confirmed_and_that_is_no_drift(site: Site) -> None:
    watch = watch_of(node := started_with(site, ONE), node.intake.record.lkg)
    new = site.publish(TWO)
    node.look()
    watch.follow(node.intake.record.lkg)
    watch.look()
    assert node.intake.record.lkg == new
    copied = node.folder.active / "transfers/two.yaml"
    assert copied.read_bytes() == TWO["transfers/two.yaml"]
    assert drifted(node) == []


def started_with(site: Site, files: dict[str, bytes]) -> Node:
    site.publish(files)
    return started(site)


def test_before_anything_is_confirmed_there_is_no_copy(site: Site) -> None:
    node = site.node()
    watch_of(node, None)
    assert not node.folder.active.exists()


def test_of_many_edits_the_first_are_told_and_all_are_counted(site: Site) -> None:
    many = {f"notes/{number:03}.md": b"x" for number in range(MAX_TOLD + 5)}
    node = started_with(site, ONE | many)
    watch = watch_of(node, node.intake.record.lkg)
    for path in many:
        edit(node.folder.active / path)
    watch.look()
    (told,) = drifted(node)
    assert told.facts["count"] == MAX_TOLD + 5
    assert str(told.facts["files"]).count("edited") == MAX_TOLD


def test_a_find_that_could_not_be_told_is_told_later(site: Site) -> None:
    node = started_with(site, ONE)
    watch = watch_of(node, node.intake.record.lkg)
    edit(node.folder.active / "cluster.yaml")
    with closing(sqlite3.connect(node.folder.events)) as database:
        database.execute(
            "CREATE TRIGGER fault BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no space'); END"
        )
        database.commit()
        with pytest.raises(MftgitError):
            watch.look()
        database.execute("DROP TRIGGER fault")
        database.commit()
    assert (node.folder.active / "cluster.yaml").read_bytes() == b"name: c\n"
    watch.look()
    assert len(drifted(node)) == 1


def test_the_thread_looks_at_once_when_something_is_confirmed_and_outlives_trouble(
    site: Site,
) -> None:
    node = started_with(site, ONE)
    first = node.intake.record.lkg

    def tell(event: EventName, **rest: Any) -> None:
        node.events.append(event, **rest)

    watch = DriftWatch(node.upstream.store, node.folder, tell, clock=SystemClock())
    node.folder.active.write_bytes(b"in the way")
    watch.start()
    watch.follow(first)
    until((node.folder.active / "transfers/one.yaml").exists)
    watch.follow(Revision("9" * 40))  # which the store does not have
    new = site.publish(TWO)
    node.look()
    watch.follow(new)
    until((node.folder.active / "transfers/two.yaml").exists)
    watch.stop()
    watch.join(WAIT_S)
    (told,) = drifted(node)
    assert told.facts["files"] == [{"path": "active", "what": "edited"}]


# When the store is lost


def test_a_node_whose_store_is_lost_starts_by_its_copy_while_the_controller_is_away(
    site: Site,
) -> None:
    revision = site.publish(ONE)
    node = started(site)
    watch_of(node, revision)
    site.stop()
    damage(node.folder.store, "objects/pack/*.pack")
    node = restarted(site, node)
    assert (node.intake.runs, node.intake.state()) == (revision, MemberState.ACTIVE)
    assert node.transfers() == ["one"]
    deliver(site, "by the copy")
    with pytest.raises(MftgitError):
        node.intake.look()
    assert "no fresh copy could be had" in str(node.intake.reason())
    assert node.intake.runs == revision
    site.start()
    node.look()
    assert (node.intake.runs, node.intake.reason()) == (revision, None)


def test_a_node_that_cannot_read_what_it_was_proving_runs_the_last_known_good_one_meanwhile(
    site: Site,
) -> None:
    good = site.publish(ONE)
    node = started(site)
    watch_of(node, good)
    proving = site.publish(TWO)
    node.intake.look()
    assert node.intake.record.stage is Stage.CONFIRMING
    site.stop()
    damage(node.folder.store, "objects/pack/*.pack")
    node = restarted(site, node)
    assert (node.intake.runs, node.intake.record.active) == (good, proving)
    assert node.transfers() == ["one"]
    deliver(site, "meanwhile")
    site.start()
    node.look()
    assert (node.intake.runs, node.intake.state()) == (proving, MemberState.ACTIVE)


@pytest.mark.parametrize("what", ["edited", "another", "none"])
def test_a_copy_that_is_not_that_of_the_confirmed_revision_does_not_stand_in(
    site: Site, what: str
) -> None:
    revision = site.publish(ONE)
    node = started(site)
    if what != "none":
        watch_of(node, revision)
    if what == "edited":
        edit(node.folder.active / "transfers/one.yaml", TWO["transfers/two.yaml"])
    if what == "another":
        site.publish(TWO)
        node.look()
    site.stop()
    damage(node.folder.store, "objects/pack/*.pack")
    node = restarted(site, node)
    assert (node.intake.runs, node.intake.state()) == (None, MemberState.FAILING)
    assert node.transfers() == []
    site.start()
