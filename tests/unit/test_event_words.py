"""Every event is said in plain words, whatever its facts are."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.events.event import Event, EventName, Fact
from mftgit.model.events.words import say
from mftgit.model.names import MemberName, Revision


def said(name: EventName, **facts: Fact) -> str:
    return say(
        Event(
            member=MemberName("node-1"),
            seq=1,
            at="",
            event=name,
            revision=Revision("ab" * 20),
            facts=facts,
        )
    )


@pytest.mark.parametrize(
    ("name", "facts", "words"),
    [
        (
            EventName.DELIVERY_SUCCEEDED,
            {"transfer": "t", "path": "a.pdf", "destination": "bank", "size_bytes": 1_234_000},
            "t delivered a.pdf to bank, 1.23 MB",
        ),
        (EventName.RUN_FAILED, {"transfer": "t", "errors": ["a", "b"]}, "a run of t failed: a; b"),
        (
            EventName.RUN_FINISHED,
            {"transfer": "t", "outcome": "succeeded", "files": 1, "size_bytes": 6},
            "a run of t ended: succeeded, 1 file, 6 B",
        ),
        (
            EventName.DRIFT_FOUND,
            {"count": 2},
            "2 files of abababababab edited on node-1 put right",
        ),
        (
            EventName.OPERATOR_LOGGED_IN,
            {"operator": "eve", "client": "192.0.2.1"},
            "the operator eve logged in from 192.0.2.1",
        ),
        (EventName.REVISION_ACTIVATED, {}, "node-1 runs abababababab"),
        (
            EventName.ORDER_CARRIED_OUT,
            {"by": "eve", "order": "drain", "argument": None},
            "node-1 did what eve ordered: drain",
        ),
        (
            EventName.EVENTS_DROPPED,
            {"dropped": {"info": 7, "notice": 0, "error": 1}},
            "the event log of node-1 was full: 7 info, 1 error were dropped",
        ),
        (EventName.SESSION_OPENED, {}, "- logged in at - from -"),
    ],
)
def test_an_event_is_said_with_what_matters_of_it(
    name: EventName, facts: dict[str, Fact], words: str
) -> None:
    assert said(name, **facts) == words


def test_what_is_long_or_would_act_on_a_terminal_is_shown_short_and_safe() -> None:
    text = said(EventName.RUN_FAILED, transfer="t", errors=["\x1b[2J" + "x" * 1000])
    assert len(text) < 300
    assert text.isprintable()


@given(
    name=st.sampled_from(EventName),
    facts=st.dictionaries(
        st.sampled_from(["transfer", "path", "errors", "reason", "size_bytes", "dropped", "by"]),
        st.none()
        | st.text()
        | st.integers(min_value=-1)
        | st.just(10**400)
        | st.floats()
        | st.lists(st.text()),
    ),
)
def test_every_event_is_one_line(name: EventName, facts: dict[str, Fact]) -> None:
    text = said(name, **facts)
    assert text
    assert text.isprintable()


@pytest.mark.parametrize("name", list(EventName))
def test_every_event_has_words_of_its_own(name: EventName) -> None:
    assert said(name) != " ".join(re.findall("[A-Z][a-z]*", name.value)).lower()
