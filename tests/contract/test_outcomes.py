"""What is told of a revision is what became of it, once, whatever is ordered and wherever a process ends."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from controller_site import Node, Site, controller_site
from node_site import ONE, TWO, restarted, started

from mftgit.errors import MftgitError
from mftgit.member.kept import write_orders
from mftgit.model.events.event import EventName
from mftgit.model.members.messages import MemberState
from mftgit.model.members.orders import Order, Orders, Verb, give
from mftgit.model.members.record import Stage
from mftgit.model.names import Revision

OUTCOMES = {
    EventName.REVISION_ACTIVATED,
    EventName.REVISION_REFUSED,
    EventName.REVISION_ROLLED_BACK,
    EventName.REVISION_SUPERSEDED,
}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as made:
        yield made


def order(node: Node, *verbs: Verb) -> None:
    orders = Orders()
    for verb in verbs:
        orders = give(orders, Order(number=0, verb=verb, by="Ann", at="now"))
    write_orders(node.folder.orders, orders)


def outcomes(node: Node) -> list[tuple[str, Revision | None]]:
    events = [each for _, each in node.events.after(0, limit=10_000)]
    return [(each.event.value, each.revision) for each in events if each.event in OUTCOMES]


@contextmanager
def untellable(node: Node, event: str) -> Iterator[None]:
    """Let the event log take no ``event``, as on a full disk."""
    with closing(sqlite3.connect(node.folder.events)) as database:
        database.execute(
            "CREATE TRIGGER fault BEFORE INSERT ON events "
            f"WHEN new.body LIKE '%{event}%' BEGIN SELECT RAISE(ABORT, 'no space'); END"
        )
        database.commit()
        yield
        database.execute("DROP TRIGGER fault")
        database.commit()


def test_a_revision_that_waits_keeps_its_attempt_over_a_resume(site: Site) -> None:
    old = site.publish(ONE)
    node = started(site)
    order(node, Verb.SUSPEND)
    new = site.publish(TWO)
    node.look()
    order(node, Verb.SUSPEND, Verb.RESUME)
    node.look()
    assert node.intake.runs == new
    assert outcomes(node) == [("RevisionActivated", old), ("RevisionActivated", new)]


def test_a_revision_that_waits_when_the_member_is_rolled_back_has_an_outcome(site: Site) -> None:
    first = site.publish(ONE)
    node = started(site)
    second = site.publish(TWO)
    node.look()
    order(node, Verb.SUSPEND)
    third = site.publish(ONE | {"note.md": b"x"})
    node.look()
    order(node, Verb.SUSPEND, Verb.ROLLBACK)
    node.look()
    assert (node.intake.runs, node.intake.state()) == (first, MemberState.WAITING)
    assert outcomes(node)[2:] == [("RevisionSuperseded", third)]
    order(node, Verb.SUSPEND, Verb.ROLLBACK, Verb.RESUME)
    node.look()
    assert node.intake.runs == third
    assert outcomes(node)[3:] == [("RevisionActivated", third)]
    assert second in {revision for _, revision in outcomes(node)}


def test_an_attempt_that_was_broken_off_has_an_outcome_when_a_newer_one_follows(site: Site) -> None:
    site.publish(ONE)
    node = started(site)
    broken_off = site.publish(TWO)
    with untellable(node, "RevisionFetched"), pytest.raises(MftgitError):
        node.look()
    assert node.intake.record.stage is Stage.ATTEMPTED
    node = restarted(site, node)
    newest = site.publish(ONE)
    node.look()
    assert outcomes(node)[1:] == [
        ("RevisionSuperseded", broken_off), ("RevisionActivated", newest),
    ]  # fmt: skip


def test_what_was_confirmed_stays_so_and_is_told_later_where_it_cannot_be_told_at_once(
    site: Site,
) -> None:
    old = site.publish(ONE)
    node = started(site)
    new = site.publish(TWO)
    with untellable(node, "RevisionActivated"):
        for _ in range(3):
            with pytest.raises(MftgitError, match="no space"):
                node.look()
            node = restarted(site, node)
        assert (node.intake.runs, node.intake.record.anchor) == (new, new)
        assert outcomes(node) == [("RevisionActivated", old)]
    node.look()
    assert outcomes(node) == [("RevisionActivated", old), ("RevisionActivated", new)]
    assert node.intake.reason() is None


def test_what_was_refused_stays_so_and_is_told_later_where_it_cannot_be_told_at_once(
    site: Site,
) -> None:
    old = site.publish(ONE)
    node = started(site)
    bad = site.publish({"transfers/one.yaml": b"nonsense"})
    with untellable(node, "RevisionRefused"), pytest.raises(MftgitError, match="no space"):
        node.look()
    node = restarted(site, node)
    assert outcomes(node) == [("RevisionActivated", old), ("RevisionRefused", bad)]
    assert node.told(EventName.REVISION_REFUSED)[0].facts["problems"]


def test_each_outcome_is_told_also_after_the_record_was_lost(site: Site) -> None:
    first = site.publish(ONE)
    node = started(site)
    second = site.publish(TWO)
    node.look()
    node.folder.record.unlink()
    node = restarted(site, node)
    node.look()
    bad = site.publish({"transfers/one.yaml": b"nonsense"})
    node.look()
    assert outcomes(node) == [
        ("RevisionActivated", first), ("RevisionActivated", second),
        ("RevisionActivated", second), ("RevisionRefused", bad),
    ]  # fmt: skip
    fetched = [each.revision for each in node.told(EventName.REVISION_FETCHED)]
    assert fetched == [first, second, second, bad]


def test_an_outcome_names_the_head_of_its_attempt_also_after_a_reanchor_meanwhile(
    site: Site,
) -> None:
    old = site.publish(ONE)
    node = started(site)
    order(node, Verb.SUSPEND)
    site.publish(TWO)
    node.look()
    seq = node.intake.record.seq
    orders = Orders()
    for verb in (Verb.SUSPEND, Verb.REANCHOR):
        given = Order(number=0, verb=verb, by="Ann", at="now", revision=old)
        orders = give(orders, given)
    write_orders(node.folder.orders, orders)
    site.publish(ONE)
    node.look()
    (superseded,) = node.told(EventName.REVISION_SUPERSEDED)
    assert superseded.facts["head_seq"] == seq
