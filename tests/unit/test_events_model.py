"""Events are facts: what was written is what is read."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.events.event import Event, EventName, parse_event
from mftgit.model.names import Epoch, MemberName, Revision

facts = st.dictionaries(
    st.text(min_size=1).filter(
        lambda key: key not in {"member", "seq", "at", "event", "revision", "epoch"}
    ),
    st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()),
    max_size=4,
)


@given(
    st.builds(
        Event,
        member=st.just(MemberName("n")),
        seq=st.integers(1, 1 << 40),
        at=st.just("2026-11-23T08:00:00.000Z"),
        event=st.sampled_from(EventName),
        revision=st.none() | st.just(Revision("a" * 40)),
        epoch=st.none() | st.integers(1, 99).map(Epoch),
        facts=facts,
    )
)
def test_an_event_is_read_as_it_was_written(event: Event) -> None:
    assert parse_event(json.loads(json.dumps(event.as_json()))) == event


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"member": "n", "seq": 1, "at": "x"},
        {"member": "n", "seq": 1, "at": "x", "event": "Nonsense"},
        {"member": "n", "seq": "1", "at": "x", "event": "RunStarted"},
        {"member": "n", "seq": 1, "at": "x", "event": "RunStarted", "epoch": "high"},
    ],
)
def test_what_is_not_an_event_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_event(value)


def test_a_fact_cannot_hide_a_fixed_field() -> None:
    with pytest.raises(ValueError, match="cannot be called seq"):
        Event(member=MemberName("n"), seq=1, at="x", event=EventName.RUN_STARTED, facts={"seq": 2})
