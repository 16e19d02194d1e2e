"""A member that runs keeps its event log within what the configuration says, and loses nothing to that."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from controller_site import NODE, NOW, Site, controller_site
from node_site import ONE
from waiting import until

from mftgit.adapters.events.store import ACKNOWLEDGED, EventStore
from mftgit.member import event_upkeep
from mftgit.member.app import Member
from mftgit.member.counting import Counting
from mftgit.model.events.event import EventName
from mftgit.model.events.query import EventQuery

BOUND_BYTES = 10_000_000
COUNT = 3000


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as made:
        yield made


def test_a_log_above_its_bound_becomes_smaller_once_the_controller_has_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_upkeep, "LOOK_S", 0.05)
    site.publish(ONE)
    parts, _ = site.parts()
    with closing(EventStore(parts.folder.events, member=NODE, now=NOW)) as events:
        events.append_each(EventName.RUN_FINISHED, [{"text": "x" * 4000}] * COUNT)
        member = Member(parts, events, counting=Counting())
        member.start()
        until(lambda: events.progress(ACKNOWLEDGED) >= COUNT)
        assert events.keeping.size_bytes() > BOUND_BYTES
        bound = b"name: c\nevents: {member_max_bytes: %d}\n" % BOUND_BYTES
        site.publish(ONE | {"cluster.yaml": bound})
        until(lambda: events.keeping.size_bytes() <= BOUND_BYTES)
        assert member.status().events_dropped == 0
        member.stop()
    asked = EventQuery(events=frozenset({EventName.RUN_FINISHED}), members=frozenset({NODE}))
    assert len(site.events.search(asked, limit=COUNT + 1)) == COUNT
