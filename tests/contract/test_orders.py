"""What an operator orders on a machine: kept, shown, told once, and carried out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from controller_site import DOCUMENTS, NOW, Node, Site, controller_site
from node_site import ONE, TWO, deliver, restarted, started
from waiting import until

from mftgit.cli.main import mftgit
from mftgit.member.kept import read_orders
from mftgit.model.events.event import EventName
from mftgit.model.members.messages import Drain, MemberState
from mftgit.model.members.record import Record, Wait
from mftgit.model.names import CHANGES, Revision


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as made:
        yield made


def order(node: Node, *words: str) -> str:
    done = CliRunner().invoke(mftgit, [*words, "--dir", str(node.folder.root)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def carried_out(node: Node) -> list[Any]:
    return [each.facts["order"] for each in node.told(EventName.ORDER_CARRIED_OUT)]


def two_revisions(site: Site) -> tuple[Node, Revision, Revision]:
    first = site.publish(ONE)
    node = started(site)
    second = site.publish(TWO)
    node.look()
    assert node.intake.runs == second
    return node, first, second


def test_a_suspended_member_takes_nothing_until_it_is_resumed_also_over_restarts(
    site: Site,
) -> None:
    old = site.publish(ONE)
    node = started(site)
    said = order(node, "suspend")
    assert "node-1 is suspended" in said
    assert "does not run now" in said
    new = site.publish(TWO)
    node.look()
    node = restarted(site, node)
    node.look()
    assert (node.intake.state(), node.intake.runs) == (MemberState.WAITING, old)
    assert "suspended by" in str(node.intake.reason())
    assert node.intake.record.wait is Wait.SUSPENDED
    deliver(site, "meanwhile")
    order(node, "resume")
    node.look()
    assert (node.intake.state(), node.intake.runs) == (MemberState.ACTIVE, new)
    assert carried_out(node) == ["suspend", "resume"]


def test_a_member_is_pinned_to_an_older_revision_and_follows_again_when_it_is_unpinned(
    site: Site,
) -> None:
    node, first, second = two_revisions(site)
    order(node, "pin", first[:10])
    node.look()
    assert (node.intake.state(), node.intake.runs) == (MemberState.ACTIVE, first)
    assert node.intake.record.anchor == second  # history may not be taken back
    third = site.publish(ONE | {"note.md": b"x"})
    node = restarted(site, node)
    node.look()
    assert (node.intake.runs, node.intake.operator.orders.pin) == (first, first)
    order(node, "unpin")
    node.look()
    assert (node.intake.runs, node.intake.record.anchor) == (third, third)


def test_a_member_is_pinned_to_a_newer_revision_that_is_not_the_newest(site: Site) -> None:
    site.publish(ONE)
    node = started(site)
    order(node, "suspend")
    wanted = site.publish(TWO)
    site.publish(ONE)
    node.look()
    order(node, "pin", wanted)
    order(node, "resume")
    node.look()
    assert (node.intake.runs, node.transfers()) == (wanted, ["one", "two"])


def test_a_pin_to_what_is_not_of_this_history_runs_nothing_of_it(site: Site) -> None:
    revision = site.publish(ONE)
    node = started(site)
    order(node, "pin", "9" * 40)
    node.look()
    assert node.intake.runs == revision


def test_a_pin_to_what_is_only_proposed_runs_nothing_of_it(site: Site) -> None:
    revision = site.publish(ONE)
    node = started(site)
    store, proposal = site.controller.store, f"{CHANGES}two"
    assert store.set_ref(proposal, old=None, new=revision)
    proposed = store.commit_documents(
        DOCUMENTS | TWO,
        message="x",
        author="a <a@b.invalid>",
        now=NOW(),
        parent=revision,
        ref=proposal,
    )
    order(node, "pin", proposed)
    node.look()
    assert (node.intake.runs, node.intake.record.anchor) == (revision, revision)
    order(node, "unpin")
    newer = site.publish(TWO)
    node.look()
    assert (node.intake.runs, node.intake.state()) == (newer, MemberState.ACTIVE)


def test_a_rollback_goes_to_the_revision_before_and_takes_it_again_on_resume(site: Site) -> None:
    node, first, second = two_revisions(site)
    order(node, "rollback")
    node.look()
    assert (node.intake.state(), node.intake.runs) == (MemberState.ROLLED_BACK, first)
    assert node.transfers() == ["one"]
    assert "rolled back by" in str(node.intake.reason())
    assert [each.revision for each in node.told(EventName.REVISION_RECALLED)] == [second]
    assert node.told(EventName.REVISION_ROLLED_BACK) == []  # it had its outcome
    node = restarted(site, node)
    node.look()
    assert node.intake.runs == first
    order(node, "resume")
    node.look()
    assert (node.intake.state(), node.intake.runs) == (MemberState.ACTIVE, second)


def test_there_is_no_way_back_from_the_first_revision(site: Site) -> None:
    site.publish(ONE)
    node = started(site)
    with pytest.raises(Exception, match="there is nothing to go back to"):
        order(node, "rollback")


def test_a_member_that_diverged_follows_the_new_history_after_a_reanchor(site: Site) -> None:
    first = site.controller.store.head()
    assert first is not None
    active = site.publish(ONE)
    node = started(site)
    new = site.publish(TWO, onto=first)
    node.look()
    assert (node.intake.state(), node.intake.runs) == (MemberState.DIVERGED, active)
    order(node, "reanchor", first)
    node.look()
    assert (node.intake.state(), node.intake.runs) == (MemberState.ACTIVE, new)
    assert node.intake.record.anchor == new
    assert node.told(EventName.ORDER_CARRIED_OUT)[-1].facts["argument"] == first


def test_a_drained_member_hands_over_and_begins_nothing_also_after_a_restart(site: Site) -> None:
    site.publish(ONE)
    node = started(site)
    until(lambda: node.outbound.status()[0].owner == "node-1")
    order(node, "drain")
    node.look()
    until(lambda: node.intake.operator.drain is Drain.DRAINED)
    assert node.outbound.status()[0].owner is None
    node = restarted(site, node)
    node.look()
    (site.folder.root.parent / "files" / "here").mkdir(parents=True, exist_ok=True)
    (site.folder.root.parent / "files" / "here" / "kept").write_text("x", encoding="utf-8")
    assert node.intake.operator.drain is Drain.DRAINED
    order(node, "drain", "--end")
    node.look()
    until((site.folder.root.parent / "files" / "there" / "kept").exists)
    assert node.intake.operator.drain is None


def test_damaged_orders_hold_what_runs_and_let_nothing_new_in(site: Site) -> None:
    old = site.publish(ONE)
    node = started(site)
    node.folder.orders.write_bytes(b"{")
    site.publish(TWO)
    node.look()
    node = restarted(site, node)
    node.look()
    assert (node.intake.runs, node.intake.state()) == (old, MemberState.WAITING)
    with pytest.raises(Exception, match=r"orders\.json.*remove it"):
        order(node, "resume")


def test_orders_of_a_record_that_was_lost_are_not_carried_out_again(site: Site) -> None:
    node, _, second = two_revisions(site)
    order(node, "rollback")
    order(node, "resume")
    node.look()
    node.folder.record.unlink()
    node = restarted(site, node)
    assert node.intake.record != Record()
    node.look()
    assert node.intake.runs == second
    assert len(node.told(EventName.ORDER_CARRIED_OUT)) == 2


def test_an_order_that_was_cut_short_is_told_once(site: Site) -> None:
    site.publish(ONE)
    node = started(site)
    before = node.folder.record.read_bytes()
    order(node, "suspend")
    node.look()
    node.folder.record.write_bytes(before)
    node = restarted(site, node)
    assert carried_out(node) == ["suspend"]
    assert read_orders(node.folder.orders).suspended


@pytest.mark.parametrize("word", ["main", "1234", "zzzzzzz", "1" * 41])
def test_what_is_no_revision_is_told(site: Site, word: str) -> None:
    site.publish(ONE)
    node = started(site)
    with pytest.raises(Exception, match="is no revision: expected"):
        order(node, "pin", word)


def test_an_id_that_nothing_here_begins_with_is_told(site: Site) -> None:
    site.publish(ONE)
    node = started(site)
    with pytest.raises(Exception, match="no revision here begins with"):
        order(node, "pin", "1234567")


def test_a_member_takes_no_list_of_signers_from_before_even_after_a_reanchor(site: Site) -> None:
    first = site.controller.store.head()
    assert first is not None
    numbered = b"name: c\ntrust: {version: %d}\n"
    second = site.publish(ONE | {"cluster.yaml": numbered % 2})
    node = started(site)
    assert node.intake.record.policy_version == 2
    site.publish(ONE | {"cluster.yaml": numbered % 1}, onto=first)
    order(node, "reanchor", first)
    node.look()
    assert (node.intake.runs, node.intake.state()) == (second, MemberState.REFUSED)
    assert "trust.version is 1, and this member had 2 in force" in str(node.intake.reason())
    good = site.publish(ONE | {"cluster.yaml": numbered % 3})
    node.look()
    assert (node.intake.runs, node.intake.record.policy_version) == (good, 3)
