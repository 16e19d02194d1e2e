"""How event handlers are, and when an event tells that one fails."""

import json
from dataclasses import replace

import pytest

from mftgit.model.handlers.status import (
    MAX_ERROR,
    TOLD_AFTER,
    TOLD_EVERY_S,
    Episode,
    EventHandlerStatus,
    HandlerState,
    Tell,
    parse_episode,
    parse_event_handler_status,
)
from mftgit.model.names import EventHandlerName

STATUS = EventHandlerStatus(
    name=EventHandlerName("mail"),
    type="email",
    state=HandlerState.FAILING,
    behind=3,
    last="node-1/7",
    last_at="2026-11-29T10:00:00.000Z",
    error="nobody there",
    failing_since="2026-11-29T10:01:00.000Z",
    handled=10,
    refused=1,
    missed=2,
)


def test_a_status_goes_over_the_wire_as_it_is() -> None:
    assert parse_event_handler_status(json.loads(json.dumps(STATUS.as_json()))) == STATUS
    bare = replace(STATUS, last=None, last_at=None, error=None, failing_since=None)
    assert parse_event_handler_status(bare.as_json()) == bare


def test_what_a_member_says_is_bounded_and_of_its_shape() -> None:
    long = parse_event_handler_status({**STATUS.as_json(), "error": "x" * 10**5})
    assert len(long.error or "") == MAX_ERROR
    for wrong in ({}, {**STATUS.as_json(), "behind": "3"}, {**STATUS.as_json(), "name": "A b"}):
        with pytest.raises(ValueError):  # noqa: PT011  of any words
            parse_event_handler_status(wrong)


def test_an_episode_is_told_once_and_so_is_its_end() -> None:
    told, episode = [], Episode()
    for failures in (1, 2, TOLD_AFTER, TOLD_AFTER + 1, 0, 0):
        episode, tell = episode.after(failures, now="t", now_s=1e9)
        told.append(tell)
    assert told == [None, None, Tell.FAILING, None, Tell.RECOVERED, None]


def test_a_short_trouble_is_not_told() -> None:
    episode, _ = Episode().after(1, now="t", now_s=1e9)
    assert episode.since == "t"
    assert episode.after(0, now="u", now_s=1e9) == (Episode(), None)


def test_trouble_that_comes_and_goes_is_told_seldom() -> None:
    episode, tells = Episode(), 0
    for second in range(0, 6000, 10):
        for failures in (TOLD_AFTER, 0):
            episode, tell = episode.after(failures, now="t", now_s=1e9 + second)
            tells += tell is Tell.FAILING
    assert tells == 6000 / TOLD_EVERY_S


def test_an_episode_outlives_a_process() -> None:
    episode, _ = Episode().after(TOLD_AFTER, now="t", now_s=1e9)
    assert parse_episode(json.loads(json.dumps(episode.as_json()))) == episode
    assert parse_episode(None) == parse_episode({"since": 3}) == Episode()
