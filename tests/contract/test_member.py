"""A node takes revisions in, outlives damage and crashes at every point, and stands down only when it is told to."""

import errno
import itertools
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from controller_site import NOW, Node, Site, controller_site
from git_cli import git_ok
from node_site import ONE, TRANSFER, TWO, damage, deliver, restarted, started
from waiting import until

from mftgit.adapters import scheduler
from mftgit.adapters.channel import ControllerRefusedError, ControllerUnreachableError
from mftgit.adapters.git.objects import StoreBusyError
from mftgit.adapters.tls import pki
from mftgit.errors import MftgitError, RemovedError
from mftgit.member.intake import NotRunningError
from mftgit.model.events.event import EventName
from mftgit.model.members import activation
from mftgit.model.members.messages import MemberState
from mftgit.model.members.record import Stage, format_record, parse_record
from mftgit.model.names import Revision
from mftgit.model.ownership.session import Told, parse_told

PARTS = ("config", "objects/pack/*.pack", "objects/pack/*.idx")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as made:
        yield made


# A broken store


@pytest.mark.parametrize("pattern", PARTS)
def test_a_node_whose_store_is_broken_says_so_and_runs_again_with_a_fresh_one(
    site: Site, pattern: str
) -> None:
    revision = site.publish(ONE)
    node = started(site)
    damage(node.folder.store, pattern)
    site.stop()
    node = restarted(site, node)
    assert node.intake.state() is MemberState.FAILING
    assert "store.git" in str(node.intake.reason())
    site.start()
    node.look()
    assert (node.intake.state(), node.intake.reason()) == (MemberState.ACTIVE, None)
    assert node.transfers() == ["one"]
    assert (node.intake.record.anchor, node.intake.runs) == (revision, revision)
    assert len(node.told(EventName.REVISION_ACTIVATED)) == 1  # it never ceased to be the active one


@pytest.mark.parametrize("content", [b"", b"\xff" * 5000], ids=["empty", "garbage"])
@pytest.mark.parametrize("pattern", [*PARTS, "HEAD", "refs/mftgit/fetched"])
def test_a_store_that_breaks_under_a_running_node_stops_nothing_and_is_renewed(
    site: Site, pattern: str, content: bytes
) -> None:
    site.publish(ONE)
    node = started(site)
    damage(node.folder.store, pattern, content)
    deliver(site, "during")
    new = site.publish(TWO)
    node.look()
    assert (node.intake.runs, node.intake.state()) == (new, MemberState.ACTIVE)
    assert node.transfers() == ["one", "two"]
    assert restarted(site, node).intake.runs == new


def test_a_broken_store_is_noticed_before_it_is_needed(site: Site) -> None:
    revision = site.publish(ONE)
    node = started(site)
    damage(node.folder.store, "objects/pack/*.idx")
    node.look()
    site.stop()
    assert restarted(site, node).intake.runs == revision


def test_without_its_controller_a_node_with_a_broken_store_goes_on_and_tells(site: Site) -> None:
    site.publish(ONE)
    node = started(site)
    damage(node.folder.store, "objects/pack/*.idx")
    site.stop()
    with pytest.raises(MftgitError):
        node.look()
    assert node.intake.state() is MemberState.ACTIVE
    assert "no fresh copy could be had" in str(node.intake.reason())
    deliver(site, "alone")
    site.start()
    node.look()
    assert node.intake.reason() is None


def test_a_fresh_store_is_not_taken_when_its_history_lacks_the_anchor(site: Site) -> None:
    first = site.controller.store.head()
    revision = site.publish(ONE)
    node = started(site)
    site.publish(TWO, onto=first)
    damage(node.folder.store, "objects/pack/*.pack")
    node = restarted(site, node)
    with pytest.raises(MftgitError):
        node.look()
    assert node.intake.state() is MemberState.FAILING
    assert "to accept the new history instead" in str(node.intake.reason())
    assert node.intake.record.anchor == revision
    assert node.transfers() == []


def test_the_controller_s_repository_is_never_replaced_by_itself(site: Site) -> None:
    site.stop()
    before = (site.folder.repository / "HEAD").read_bytes()
    damage(site.folder.repository, "config")
    with pytest.raises(MftgitError, match=r"repository\.git is broken.*operate\.md"):
        site.start()
    (site.folder.repository / "config").unlink()
    with pytest.raises(MftgitError, match="operate"):
        site.controller.upstream.renew(None)
    assert (site.folder.repository / "HEAD").read_bytes() == before


@pytest.mark.needs("git")
@pytest.mark.parametrize("source", ["a clone", "a node's store"])
def test_the_repository_is_restored_as_the_page_says(
    site: Site, tmp_path: Path, source: str
) -> None:
    revision = site.publish(ONE)
    node = started(site)
    place = site.folder.repository
    git_ok(tmp_path, "clone", "--quiet", str(place), str(tmp_path / "clone"))
    site.stop()
    shutil.rmtree(place)
    if source == "a clone":
        git_ok(tmp_path, "clone", "--quiet", "--bare", str(tmp_path / "clone"), str(place))
    else:
        git_ok(tmp_path, "init", "--quiet", "--bare", str(place))
        fetched = "refs/mftgit/fetched:refs/heads/main"
        git_ok(place, "fetch", "--quiet", str(node.folder.store), fetched)
    git_ok(place, "config", "repack.writeBitmaps", "false")
    git_ok(place, "symbolic-ref", "HEAD", "refs/heads/main")
    site.start()
    assert site.controller.store.head() == revision
    new = site.publish(TWO)
    node.look()
    assert node.intake.runs == new


# Activation


RECORDS = {"activating": 2, "confirming": 3, "confirmed": 4}
"""Which write of the record says so; the first one says "attempted"."""

TOLD = {"plan told": "PlanApplied", "activated told": "RevisionActivated"}
DECIDED = ["plan told", "record confirming", "record confirmed", "activated told"]
STEPS = ["prepare", "record activating", *DECIDED]
NIGHT = {
    "transfers/night.yaml": TRANSFER.replace(b"location: here", b"location: here, path: n").replace(
        b"watch: {every_s: 1}", b"cron: {expression: '0 3 * * *', timezone: Europe/Berlin}"
    )
}


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, node: Node, step: str) -> Iterator[None]:
    """Let ``step`` of an activation fail at the operating system or in the database."""
    with monkeypatch.context() as patch, closing(sqlite3.connect(node.folder.events)) as database:
        if step in TOLD:
            database.execute(
                "CREATE TRIGGER fault BEFORE INSERT ON events "
                f"WHEN new.body LIKE '%{TOLD[step]}%' BEGIN SELECT RAISE(ABORT, 'no space'); END"
            )
        elif step.startswith("record "):
            patch.setattr(os, "open", full_after(RECORDS[step.removeprefix("record ")]))
        else:
            patch.setattr(scheduler, "ZoneInfo", no_zone)
        database.commit()
        yield
        database.execute("DROP TRIGGER IF EXISTS fault")
        database.commit()


def full_after(writes: int) -> Callable[..., int]:
    """Return an ``os.open`` for a disk that is full from so many writes of the record on."""
    opens, open_ = itertools.count(1), os.open

    def opened(path: Any, *rest: Any, **more: Any) -> int:
        if ".record.json" in str(path) and next(opens) >= writes:
            raise OSError(errno.ENOSPC, "no space")
        return open_(path, *rest, **more)

    return opened


def no_zone(_: str) -> ZoneInfo:
    raise OSError(errno.ENOSPC, "no space")


@pytest.mark.parametrize("away", [False, True], ids=["with controller", "without controller"])
@pytest.mark.parametrize("step", STEPS)
def test_an_activation_that_ends_at_any_step_is_carried_out_after_a_restart_and_told_once(
    site: Site, monkeypatch: pytest.MonkeyPatch, step: str, *, away: bool
) -> None:
    old = site.publish(ONE)
    node = started(site)
    new = site.publish(TWO | NIGHT)
    with failing(monkeypatch, node, step), pytest.raises(MftgitError):
        node.look()
    if away:
        site.stop()
    node = restarted(site, node)
    if away:
        assert node.intake.runs == (new if step in DECIDED else old)
        assert node.intake.record.anchor == (new if step == "activated told" else old)
        return
    node.look()
    assert (node.intake.runs, node.intake.record.stage) == (new, Stage.CONFIRMED)
    assert node.transfers() == ["night", "one", "two"]
    assert [each.revision for each in node.told(EventName.REVISION_ACTIVATED)] == [old, new]


@pytest.mark.parametrize("step", DECIDED)
def test_a_full_disk_stops_nothing_and_is_no_fault_of_the_revision(
    site: Site, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    old = site.publish(TWO)
    node = started(site)
    new = site.publish(ONE | NIGHT)
    with failing(monkeypatch, node, step):
        for again in (False, True):
            with pytest.raises(NotRunningError, match="no space"):
                node.look()
            assert "no space" in str(node.intake.reason())
            confirmed = node.intake.state() is MemberState.ACTIVE
            # What it applied keeps nothing from being confirmed where it cannot be told, once the probes have passed.
            passed = again and step == "plan told"
            assert passed or confirmed == (step == "activated told")
            assert confirmed or node.intake.state() is MemberState.CONFIRMING
            assert node.intake.runs == new
            assert node.intake.record.anchor == (new if confirmed else old)
    node.look()
    assert (node.intake.state(), node.intake.reason()) == (MemberState.ACTIVE, None)
    assert (node.intake.runs, node.transfers()) == (new, ["night", "one"])
    assert [each.revision for each in node.told(EventName.REVISION_ACTIVATED)] == [old, new]
    assert len(node.told(EventName.PLAN_APPLIED)) == 2
    deliver(site, "after")


@pytest.mark.parametrize("trouble", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_takes_nothing_of_a_fetch_is_no_fault_of_the_store(
    site: Site, monkeypatch: pytest.MonkeyPatch, trouble: int
) -> None:
    site.publish(ONE)
    node = started(site)
    store = node.folder.store.stat().st_ino
    new = site.publish(TWO)

    def refuse(path: Any, *_: Any, **__: Any) -> None:
        raise OSError(trouble, os.strerror(trouble), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "mkdir", refuse)
        with pytest.raises(StoreBusyError, match=os.strerror(trouble)):
            node.look()
    node.look()
    assert (node.intake.runs, node.folder.store.stat().st_ino) == (new, store)


def test_a_revision_that_cannot_be_prepared_just_now_waits_and_touches_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = site.publish(ONE)
    node = started(site)
    new = site.publish(TWO | NIGHT)
    with failing(monkeypatch, node, "prepare"):
        for _ in range(2):
            with pytest.raises(MftgitError, match="no space"):
                node.look()
        assert (node.intake.state(), node.intake.runs) == (MemberState.WAITING, old)
        assert "no space" in str(node.intake.reason())
        deliver(site, "during")
    node.look()
    assert (node.intake.state(), node.intake.runs) == (MemberState.ACTIVE, new)
    assert len(node.told(EventName.PLAN_APPLIED)) == 2


def test_a_newer_revision_takes_the_place_of_one_that_waits(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.publish(ONE)
    node = started(site)
    bad = site.publish(TWO | NIGHT)
    with failing(monkeypatch, node, "prepare"):
        with pytest.raises(MftgitError, match="no space"):
            node.look()
        good = site.publish(ONE)
        node.look()
        assert (node.intake.runs, node.transfers()) == (good, ["one"])
    assert bad not in {each.revision for each in node.told(EventName.REVISION_ACTIVATED)}
    assert [each.revision for each in node.told(EventName.REVISION_SUPERSEDED)] == [bad]


def test_a_last_known_good_revision_that_does_not_run_is_told_with_the_reason(site: Site) -> None:
    site.publish(ONE)
    node = started(site)
    bad = parse_record(node.folder.record.read_bytes())
    lost = Revision("9" * 40)
    node.folder.record.write_bytes(
        format_record(
            activation.confirmed(
                activation.confirming(
                    activation.activating(activation.attempt(bad, oid=lost, seq=bad.seq)),
                    until=0.0,
                    boot_id="",
                )
            )
        )
    )
    node = restarted(site, node)
    assert node.intake.state() is MemberState.FAILING
    assert lost in str(node.intake.reason())


def test_a_revision_that_is_held_is_told_once(site: Site) -> None:
    first = site.controller.store.head()
    active = site.publish(ONE)
    node = started(site)
    site.publish(TWO, onto=first)
    for _ in range(3):
        node.look()
    node = restarted(site, node)
    node.look()
    assert (node.intake.state(), node.intake.runs) == (MemberState.DIVERGED, active)
    assert len(node.told(EventName.REVISION_REFUSED)) == 1
    site.publish({"note.md": b"x"}, onto=first)
    node.look()
    assert len(node.told(EventName.REVISION_REFUSED)) == 2
    site.publish(TWO, onto=active)
    node.look()
    assert node.intake.state() is MemberState.ACTIVE


def test_a_revision_comes_over_the_line_on_which_the_head_was_asked_for(site: Site) -> None:
    node = site.node()
    line = node.upstream._channel.connections.connection_from_url(site.url)
    node.upstream.head(None)
    assert node.upstream.fetch() == site.head()
    assert (line.num_connections, line.num_requests) == (1, 3)


# Standing down


def test_a_removed_node_stands_down_also_after_a_restart_without_the_controller(
    site: Site,
) -> None:
    active = site.publish(ONE)
    node = started(site)
    deliver(site, "before")
    site.remove()
    with pytest.raises(RemovedError):
        node.look()
    assert node.intake.state() is MemberState.REMOVED
    assert "mftgit member add node-1" in str(node.intake.reason())
    assert node.transfers() == []
    assert node.told(EventName.PLAN_APPLIED)[-1].facts["stopped"] == ["one"]
    site.stop()
    node = restarted(site, node)
    with pytest.raises(MftgitError):
        node.look()
    assert (node.intake.state(), node.transfers()) == (MemberState.REMOVED, [])
    site.enrol(node.folder.member_key.read_bytes())
    site.start()
    node.look()
    assert (node.intake.state(), node.intake.runs) == (MemberState.ACTIVE, active)
    assert restarted(site, node).transfers() == ["one"]
    deliver(site, "after")


def test_the_lease_of_a_removed_node_is_given_back(site: Site) -> None:
    site.publish(ONE)
    node = started(site)
    until(lambda: node.outbound.status()[0].owner == "node-1")
    sessions = site.folder.root.parent / "files/.mftgit/coordination/sessions"
    site.remove()
    with pytest.raises(RemovedError):
        node.look()
    until(lambda: "one" in told(sessions).standing.handovers)


def told(sessions: Path) -> Told:
    """Return what the only session tells."""
    (session,) = sessions.iterdir()
    return parse_told((session / "told.json").read_bytes(), member=None, ttl_s=1)


def test_a_node_whose_name_was_given_to_another_key_stands_down(site: Site) -> None:
    site.publish(ONE)
    node = started(site)
    site.enrol(pki.make_identity())
    with pytest.raises(RemovedError):
        node.look()
    assert node.intake.state() is MemberState.REMOVED


def test_a_removed_node_knocks_without_being_logged_as_a_failed_login(site: Site) -> None:
    site.publish(ONE)
    node = started(site)
    site.remove()
    for _ in range(5):
        with pytest.raises(RemovedError):
            node.look()
        with pytest.raises(RemovedError):
            node.upstream.send_events([])
    failed = [
        each
        for _, each in site.events.after(0, limit=10_000)
        if each.event is EventName.LOGIN_FAILED
    ]
    assert len(failed) == 1


@pytest.mark.parametrize("trouble", ["clock", "away", "lost records", "other certificate"])
def test_no_other_trouble_looks_like_a_removal(site: Site, trouble: str) -> None:
    site.publish(ONE)
    node = started(site)
    node.close()
    site.nodes.remove(node)
    node = site.node(now=lambda: NOW() - timedelta(hours=1) if trouble == "clock" else NOW())
    node.intake.resume()
    match trouble:
        case "away":
            site.stop()
        case "lost records":
            site.remove()
            site.remove(site.folder.read_bootstrap().name)
        case "other certificate":
            other = pki.make_authority("other", now=NOW())
            node.folder.ca_file.write_bytes(other.certificate)
            site.remove()
        case _:
            pass
    if trouble == "other certificate":
        node = restarted(site, node)
    with pytest.raises((ControllerRefusedError, ControllerUnreachableError)):
        node.look()
    assert (node.intake.state(), node.transfers()) == (MemberState.ACTIVE, ["one"])
    assert not parse_record(node.folder.record.read_bytes()).removed
    if trouble == "away":
        site.start()


def test_a_controller_s_bootstrap_can_be_written_anew_from_a_node_s(site: Site) -> None:
    """As docs/how-to/operate.md says."""
    site.publish(ONE)
    node = started(site)
    site.stop()
    listen = site.folder.read_bootstrap().listen
    known = json.loads(node.folder.bootstrap_file.read_bytes())
    own = {"name": "controller", "role": "controller", "listen": listen}
    site.folder.bootstrap_file.write_text(json.dumps(known | own), encoding="utf-8")
    site.start()
    second = site.publish(TWO)
    node.look()
    assert (node.intake.state(), node.intake.runs) == (MemberState.ACTIVE, second)


# A controller that was put back from a backup


def test_a_node_says_that_its_controller_is_behind_and_goes_on_when_that_has_caught_up(
    site: Site, tmp_path: Path
) -> None:
    site.publish(ONE)
    node = started(site)
    site.stop()
    backup = tmp_path / "backup"
    shutil.copytree(site.folder.root, backup)
    site.start()
    revision = site.publish({})
    node.look()
    assert node.intake.runs == revision
    newer = tmp_path / "newer.git"
    site.stop()
    site.folder.repository.rename(newer)
    for path in (site.folder.registry, *backup.glob("registry.sqlite-*")):
        path.unlink(missing_ok=True)
    shutil.copy(backup / "registry.sqlite", site.folder.registry)
    shutil.copytree(backup / "repository.git", site.folder.repository)
    site.start()
    node.look()
    assert node.intake.state() is MemberState.DIVERGED
    assert "does not contain" in str(node.intake.reason())
    assert node.intake.runs == revision
    pushed = ["fetch", "--quiet", str(newer), "refs/heads/main:refs/heads/main"]
    git_ok(site.folder.repository, *pushed)  # the missing commits come back
    site.controller.catch_up()
    node.look()
    assert (node.intake.state(), node.intake.runs) == (MemberState.ACTIVE, revision)
    assert site.publish(ONE) != revision
    node.look()
    assert node.intake.runs == site.head()
