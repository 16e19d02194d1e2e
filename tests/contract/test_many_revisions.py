"""Many revisions in a short time, or while a node is away: it takes the newest, and tells of each that it looked at."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from controller_site import DOCUMENTS, NODE, NOW, Site, controller_site
from node_site import ONE, TWO, restarted, started
from small_cluster import OUTCOMES
from waiting import until

from mftgit.adapters.events.store import EventStore
from mftgit.member.app import Member
from mftgit.member.counting import Counting
from mftgit.model.events.event import Event, EventName
from mftgit.model.members.messages import MemberState


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as made:
        yield made


def collected(site: Site) -> list[Event]:
    found = (each for _, each in site.events.after(0, limit=1_000_000))
    return [each for each in found if each.member == NODE]


def stream(site: Site, count: int, *, over_s: float) -> None:
    """Publish so many revisions at a steady pace, and see what a running node makes of them."""
    parts, _ = site.parts()
    events = EventStore(parts.folder.events, member=NODE, now=NOW)
    with closing(events):
        member = Member(parts, events, counting=Counting())
        member.start()
        began, published = time.monotonic(), [site.controller.store.head()]
        for number in range(count):
            published.append(site.publish(ONE | {"note.md": b"%d" % number}))
            pause_s = began + (number + 1) * over_s / count - time.monotonic()
            threading.Event().wait(max(0.0, pause_s))
        until(lambda: member.status().active_revision == published[-1])
        until(lambda: member.status().state is MemberState.ACTIVE)
        own: list[Event] = []

        def all_is_told() -> bool:
            own[:] = [each for _, each in events.after(0, limit=1_000_000)]
            return collected(site) == own

        until(all_is_told)  # when it stops, it waits for that for a moment only
        member.stop()
    begun = {
        (each.facts["head_seq"], each.revision)
        for each in own
        if each.event is EventName.REVISION_FETCHED
    }
    ended = Counter(
        (each.facts["head_seq"], each.revision) for each in own if each.event in OUTCOMES
    )
    assert set(ended.values()) == {1}
    assert begun <= ended.keys()
    activated = [each.revision for each in own if each.event is EventName.REVISION_ACTIVATED]
    assert activated[-1] == published[-1]
    assert len(activated) > 1
    assert activated == [each for each in published if each in activated]  # each once, in order


def test_of_a_stream_of_revisions_the_last_one_is_confirmed_and_each_attempt_has_one_outcome(
    site: Site,
) -> None:
    stream(site, 40, over_s=4)


@pytest.mark.long
def test_of_six_hundred_revisions_in_a_minute_the_last_one_is_confirmed(site: Site) -> None:
    stream(site, 600, over_s=60)


@pytest.mark.long
def test_a_node_that_was_away_for_a_thousand_revisions_takes_the_newest_at_once(site: Site) -> None:
    first = site.publish(ONE)
    node = started(site)
    store = site.controller.store
    for number in range(999):
        store.commit_documents(
            DOCUMENTS | ONE | {"note.md": b"%d" % number},
            message="x", author="a <a@b.invalid>", now=NOW(), parent=store.head(),
        )  # fmt: skip
    last = site.publish(TWO)
    packs = len(list(node.folder.store.glob("objects/pack/*.pack")))
    node = restarted(site, node)
    assert node.intake.runs == first
    node.look()
    assert (node.intake.runs, node.transfers()) == (last, ["one", "two"])
    for event in (EventName.REVISION_FETCHED, EventName.REVISION_ACTIVATED):
        assert [each.revision for each in node.told(event)] == [first, last]
    assert len(list(node.folder.store.glob("objects/pack/*.pack"))) == packs + 1
