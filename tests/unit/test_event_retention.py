"""A log lets go of what is old and, where it is too large, of what matters least."""

import pytest

from mftgit.model.events.event import Event, EventName
from mftgit.model.events.kinds import Severity
from mftgit.model.events.retention import (
    Dropped,
    EventLimits,
    Reach,
    Sweep,
    bound,
    by_age,
    by_size,
    is_over,
    parse_dropped,
)
from mftgit.model.names import MemberName

REACH = Reach(aged=10, aged_info=30, done=20, last=99)
LIMITS = EventLimits(max_bytes=2000, member_max_bytes=1000)
NODE, CONTROLLER = bound(LIMITS, is_controller=False), bound(LIMITS, is_controller=True)


def an_event(name: EventName, *, member: str = "node-1", at: str = "b") -> Event:
    return Event(member=MemberName(member), seq=1, at=at, event=name)


def test_the_controller_keeps_more_and_for_longer_than_another_member() -> None:
    assert (NODE.keep_days, NODE.max_bytes, NODE.is_last) == (30, 1000, False)
    assert (CONTROLLER.keep_days, CONTROLLER.max_bytes, CONTROLLER.is_last) == (400, 2000, True)


@pytest.mark.parametrize(("given", "days"), [(None, 400), (90, 90), (500, 400)])
def test_what_is_work_as_usual_is_never_kept_for_longer_than_the_rest(
    given: int | None, days: int
) -> None:
    assert bound(EventLimits(keep_info_days=given), is_controller=True).keep_info_days == days


def test_nothing_goes_by_age_before_all_was_done_with_it() -> None:
    assert list(by_age(CONTROLLER, REACH)) == [Sweep(to=10)]
    late = Reach(aged=10, aged_info=30, done=5, last=99)
    assert list(by_age(CONTROLLER, late)) == [Sweep(to=5)]


def test_what_is_work_as_usual_may_go_earlier() -> None:
    allowed = bound(EventLimits(keep_info_days=90), is_controller=True)
    info = frozenset({Severity.INFO})
    assert list(by_age(allowed, REACH)) == [Sweep(to=10), Sweep(to=20, severities=info)]


def test_a_member_lets_go_of_what_the_controller_has_before_it_loses_anything() -> None:
    first, *others = by_size(NODE, REACH)
    assert first == Sweep(to=20, until_bytes=950)
    assert [(each.to, each.is_loss) for each in others] == [(99, True)] * 4
    assert [each.severities for each in others] == [frozenset({each}) for each in Severity]


def test_what_goes_on_the_controller_before_its_time_is_lost() -> None:
    assert all(each.is_loss for each in by_size(CONTROLLER, REACH))


def test_a_log_is_too_large_above_its_bound() -> None:
    assert not is_over(NODE, 1000)
    assert is_over(NODE, 1001)


def test_a_sweep_takes_what_it_reaches_of_its_severities() -> None:
    sweep = Sweep(to=5, severities=frozenset({Severity.INFO}))
    assert sweep.takes(5, an_event(EventName.RUN_STARTED))
    assert not sweep.takes(6, an_event(EventName.RUN_STARTED))
    assert not sweep.takes(5, an_event(EventName.RUN_FAILED))


def test_what_was_lost_is_counted_by_severity_with_whose_it_was_and_when() -> None:
    lost = Dropped()
    for each in (
        an_event(EventName.RUN_STARTED),
        an_event(EventName.RUN_STARTED, at="a"),
        an_event(EventName.RUN_FAILED, member="node-2", at="c"),
    ):
        lost = lost.and_also(each)
    assert lost.total == 3
    assert lost.as_facts() == {
        "dropped": {"info": 2, "notice": 0, "warning": 0, "error": 1},
        "members": ["node-1", "node-2"],
        "first_at": "a",
        "last_at": "c",
    }
    assert parse_dropped(lost.as_facts()) == lost


def test_no_more_than_twenty_members_are_named() -> None:
    lost = Dropped()
    for number in range(30):
        lost = lost.and_also(an_event(EventName.RUN_STARTED, member=f"node-{number}"))
    assert (len(lost.members), lost.total) == (20, 30)
