"""What keeps a member from writing down or reading costs it no revision that is well, and keeps none that is not."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from controller_site import Node, Site, controller_site
from node_site import ONE, TRANSFER, TWO, damage, deliver, restarted, started
from waiting import until

from mftgit.adapters import scheduler
from mftgit.adapters.clock import SystemClock
from mftgit.errors import MftgitError
from mftgit.member.drift import DriftWatch
from mftgit.member.kept import write_orders
from mftgit.model.events.event import EventName
from mftgit.model.members.messages import MemberState
from mftgit.model.members.orders import Order, Orders, Verb, give
from mftgit.model.members.record import Stage
from mftgit.model.names import Revision

NIGHT = {
    "transfers/night.yaml": TRANSFER.replace(b"location: here", b"location: here, path: n").replace(
        b"watch: {every_s: 1}", b"cron: {expression: '0 3 * * *', timezone: Europe/Berlin}"
    )
}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as made:
        yield made


def checked(within_s: int) -> dict[str, bytes]:
    return {"cluster.yaml": b"name: c\nconfirm: {within_s: %d, command: check}\n" % within_s}


def command(site: Site, script: str) -> None:
    path = site.folder.root.parent / "node-1" / "commands" / "check"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the record be written no more."""
    real = os.open

    def opened(path: Any, *rest: Any, **more: Any) -> int:
        if ".record.json" in str(path):
            raise OSError(errno.ENOSPC, "no space")
        return real(path, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", opened)
        yield


def order(node: Node, verb: Verb, revision: Revision | None = None) -> None:
    orders = give(
        node.intake.operator.orders,
        Order(number=1, verb=verb, revision=revision, by="ann", at="now"),
    )
    write_orders(node.folder.orders, orders)


def looked(node: Node) -> Node:
    try:
        node.look()
    except MftgitError:
        return node
    return node


def proving(site: Site, script: str = "sleep 60", *, within_s: int = 60) -> tuple[Node, Revision]:
    """A node that is proving a revision, and the one before."""
    good = site.publish(ONE)
    node = started(site)
    command(site, script)
    site.publish(TWO | checked(within_s))
    node.intake.look()
    assert node.intake.record.stage is Stage.CONFIRMING
    return node, good


# A full disk


def test_an_order_that_cannot_be_written_down_keeps_nothing_from_running(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = site.publish(ONE)
    node = started(site)
    order(node, Verb.SUSPEND)
    with full_disk(monkeypatch):
        node = looked(restarted(site, node))
        assert (node.intake.runs, node.transfers()) == (revision, ["one"])
        assert "no space" in str(node.intake.reason())
    deliver(site, "after")


def test_a_bad_revision_is_gone_back_from_also_where_that_cannot_be_written_down(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, good = proving(site, "exit 1", within_s=1)
    with full_disk(monkeypatch):
        until(lambda: node.intake.due_in_s == 0.0)
        for _ in range(3):
            looked(node)
            assert (node.intake.runs, node.transfers()) == (good, ["one"])
        assert node.intake.record.stage is Stage.CONFIRMING
    node.look()
    assert (node.intake.state(), node.intake.runs) == (MemberState.ROLLED_BACK, good)
    assert len(node.told(EventName.REVISION_ROLLED_BACK)) == 1


def test_what_is_not_confirmed_does_not_start_while_starts_cannot_be_counted(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, good = proving(site)
    with full_disk(monkeypatch):
        node = looked(restarted(site, node))
        assert (node.intake.runs, node.transfers()) == (good, ["one"])
    node.intake.look()
    assert (node.intake.state(), node.intake.record.starts) == (MemberState.CONFIRMING, 1)


def test_a_removed_member_stands_down_once_also_where_that_cannot_be_written_down(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.publish(ONE)
    node = started(site)
    site.remove()
    with full_disk(monkeypatch):
        for _ in range(3):
            looked(node)
            assert (node.intake.state(), node.transfers()) == (MemberState.REMOVED, [])
    assert len(node.told(EventName.PLAN_APPLIED)) == 2


# A broken store


def test_a_reanchored_member_whose_fresh_store_lacks_what_it_runs_goes_on_from_its_copy(
    site: Site,
) -> None:
    first = site.controller.store.head()
    old = site.publish(ONE)
    node = started(site)
    watch = DriftWatch(node.upstream.store, node.folder, lambda *_, **__: None, clock=SystemClock())
    watch.follow(old)
    watch.look()
    new = site.publish(TWO, onto=first)
    looked(node)
    damage(node.folder.store, "objects/pack/*.pack")
    order(node, Verb.REANCHOR, first)
    order(node, Verb.SUSPEND)
    write_orders(node.folder.orders, give(give(Orders(), Order(
        number=1, verb=Verb.REANCHOR, revision=first, by="ann", at="now",
    )), Order(number=2, verb=Verb.SUSPEND, by="ann", at="now")))  # fmt: skip
    node = looked(restarted(site, node))
    assert (node.intake.runs, node.transfers()) == (old, ["one"])
    node.look()
    write_orders(node.folder.orders, Orders())
    node.look()
    assert (node.intake.state(), node.intake.runs) == (MemberState.ACTIVE, new)


def test_the_anchor_does_not_move_back_where_the_store_breaks_before_a_confirmation(
    site: Site,
) -> None:
    older = site.publish(ONE)
    node = started(site)
    newer = site.publish(TWO)
    node.look()
    order(node, Verb.PIN, older)
    node.intake.look()
    assert node.intake.record.stage is Stage.CONFIRMING
    node.woken.wait(60)
    damage(node.folder.store, "objects/pack/*.pack")
    node.upstream.store._close_idle()
    node.look()
    assert (node.intake.runs, node.intake.record.anchor) == (older, newer)


# Orders and removal in the middle


def test_all_goes_on_where_nothing_was_held_up_attempts_nothing_anew(site: Site) -> None:
    revision = site.publish(ONE)
    node = started(site)
    before = node.intake.record
    for verb in (Verb.SUSPEND, Verb.RESUME):
        order(node, verb)
        node.look()
    assert (node.intake.record.attempts, node.intake.runs) == (before.attempts, revision)
    assert len(node.told(EventName.REVISION_ACTIVATED)) == 1


def test_a_reanchor_in_the_middle_of_a_confirmation_holds(site: Site) -> None:
    first = site.controller.store.head()
    go = site.folder.root.parent / "go"
    command(site, f"[ -e {go} ]")
    site.publish(ONE | checked(600))
    node = site.node()
    node.intake.resume()
    node.intake.look()
    new = site.publish(TWO, onto=first)
    order(node, Verb.REANCHOR, first)
    node.intake.look()
    go.touch()
    node.look()
    assert (node.intake.state(), node.intake.runs) == (MemberState.ACTIVE, new)


def test_a_member_that_was_removed_while_it_was_proving_has_all_its_time_again(site: Site) -> None:
    node, _ = proving(site, "exit 1", within_s=10)
    first = node.intake.record.until
    assert first is not None
    site.remove()
    looked(node)
    command(site, "exit 0")
    until(lambda: SystemClock().boottime() > first)
    site.enrol(node.folder.member_key.read_bytes())
    node.look()
    assert node.intake.state() is MemberState.ACTIVE
    assert node.told(EventName.REVISION_ROLLED_BACK) == []


def test_damaged_orders_end_no_drain(site: Site) -> None:
    site.publish(ONE)
    node = started(site)
    order(node, Verb.DRAIN)
    node.look()
    until(lambda: node.outbound.drained)
    node.folder.orders.write_bytes(b"{")
    node.look()
    assert node.intake.operator.orders.draining


def test_a_fault_of_the_machine_at_a_restart_is_not_held_against_the_revision(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = site.publish(ONE)
    node = started(site)
    command(site, "sleep 60")
    night = site.publish(TWO | NIGHT | checked(60))
    node.intake.look()

    def no_zone(_: str) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(scheduler, "ZoneInfo", no_zone)
        node = restarted(site, node)
        assert (node.intake.runs, node.intake.record.active) == (good, night)
    node.intake.look()
    assert (node.intake.state(), node.intake.runs) == (MemberState.CONFIRMING, night)


# The program that checks


def test_a_check_ends_with_the_wait_and_not_later(site: Site, tmp_path: Path) -> None:
    node, good = proving(site, f"echo $$ > {tmp_path}/pid; exec sleep 600", within_s=600)
    until((tmp_path / "pid").exists)
    until(lambda: (tmp_path / "pid").read_text("utf-8"))
    process = Path("/proc") / (tmp_path / "pid").read_text("utf-8").strip()
    node.intake.stop()
    until(lambda: not (process / "exe").exists())
    assert node.intake.record.lkg == good


def test_a_check_may_say_more_than_memory_holds_and_leave_something_behind(site: Site) -> None:
    command(site, "head -c 50000000 /dev/zero >&2; sleep 300 & exit 0")
    site.publish(ONE | checked(600))
    node = site.node()
    node.intake.resume()
    node.look()
    assert node.intake.state() is MemberState.ACTIVE
