"""What goes over the wire comes out as it went in, and nothing else comes out."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.configuration.config import Role
from mftgit.model.members.messages import (
    CUT_OFF_AFTER_S,
    MAX_TRANSFERS,
    SILENT_AFTER_S,
    Head,
    LineStatus,
    MemberState,
    MemberStatus,
    RolloutState,
    Turn,
    judge_silence,
    parse_head,
    parse_member_status,
)
from mftgit.model.names import Epoch, MemberName, Revision, TransferName
from mftgit.model.transfers.pause import Pause
from mftgit.model.transfers.status import (
    LastRun,
    TransferState,
    TransferStatus,
    Waiting,
    parse_transfer_status,
)

OID = Revision("a" * 40)

names = st.from_regex(r"[a-z]([a-z0-9]{0,5})", fullmatch=True)
transfers = st.builds(
    TransferStatus,
    name=names.map(TransferName),
    owner=st.none() | names.map(MemberName),
    epoch=st.none() | st.integers(1, 99).map(Epoch),
    state=st.sampled_from(TransferState),
    last_run=st.none()
    | st.builds(
        LastRun,
        outcome=st.sampled_from(["succeeded", "failed"]),
        at=st.just("2026-11-23T08:00:00.000Z"),
        files=st.integers(0, 9),
        size_bytes=st.integers(0, 1 << 40),
        due_at=st.none() | st.just("2026-11-23T08:00:00.000Z"),
        caught_up=st.booleans(),
    ),
    delivered=st.integers(0, 1 << 30),
    reason=st.none() | st.text(max_size=500),
    retry_at=st.none() | st.just("2026-11-23T08:00:00.000Z"),
    paused=st.none() | st.builds(Pause, by=st.text(max_size=9), member=names, at=names),
    waiting=st.builds(Waiting, too_fresh=st.integers(0, 9), failed=st.integers(0, 9)),
)
statuses = st.builds(
    MemberStatus,
    name=names.map(MemberName),
    role=st.sampled_from(Role),
    state=st.sampled_from(MemberState),
    active_revision=st.none() | st.just(OID),
    attempted_revision=st.none() | st.just(OID),
    reason=st.none() | st.text(max_size=50),
    line=st.none()
    | st.builds(
        LineStatus,
        url=st.just("https://mft.example"),
        ca=st.lists(st.just("0" * 64), max_size=8).map(tuple),
    ),
    transfers=st.lists(transfers, max_size=3).map(tuple),
)


@given(statuses)
def test_a_status_is_read_as_it_was_sent(status: MemberStatus) -> None:
    sent = json.loads(json.dumps(status.as_json(last_seen_s=None)))
    assert parse_member_status(sent) == status


TRANSFER = {"name": "t", "owner": None, "state": "idle", "last_run": None, "delivered": 0}


def test_a_run_that_an_older_member_tells_of_is_for_no_firing() -> None:
    run = {"outcome": "failed", "at": "2026-11-23T08:00:00.000Z", "files": 0, "bytes": 0}
    status = parse_transfer_status(TRANSFER | {"epoch": None, "last_run": run})
    assert status.last_run == LastRun(
        outcome="failed", at="2026-11-23T08:00:00.000Z", files=0, size_bytes=0
    )


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../x"},
        {"role": "king"},
        {"state": "happy"},
        {"active_revision": "main"},
        {"transfers": None},
        {"transfers": [None] * (MAX_TRANSFERS + 1)},
        {"transfers": [{}]},
        {"controller": "https://mft.example"},
        {"controller": {"url": "https://mft.example"}},
        {"controller": {"url": "https://mft.example", "ca": ["0" * 64] * 9}},
        {"transfers": [TRANSFER | {"epoch": float("inf")}]},
        {"services": None},
        {"services": [{"name": "sftp"}]},
        {"event_handlers": None},
        {"event_handlers": [{"name": "oncall"}]},
    ],
)
def test_a_status_of_another_shape_is_refused(change: dict[str, Any]) -> None:
    good = MemberStatus(
        name=MemberName("n"),
        role=Role.NODE,
        state=MemberState.ACTIVE,
        active_revision=OID,
        attempted_revision=OID,
        reason=None,
    ).as_json(last_seen_s=1.234)
    with pytest.raises(ValueError, match=r".+"):
        parse_member_status(good | change)


turns = st.builds(
    Turn,
    member=names.map(MemberName),
    cohort=st.none() | names,
    due=st.booleans(),
    state=st.sampled_from(RolloutState),
    reason=st.none() | st.text(max_size=50),
    regardless=st.booleans(),
)
heads = st.builds(
    Head,
    oid=st.just(OID),
    seq=st.integers(1, 1 << 40),
    issued_at=st.just("2026-11-23T08:00:00.000Z"),
    turn=st.none() | turns,
)


@given(heads)
def test_a_head_is_read_as_it_was_sent(head: Head) -> None:
    read = parse_head(json.loads(json.dumps(head.as_json())))
    assert (read, read.tag) == (head, head.tag)


@given(heads, heads)
def test_heads_have_the_same_tag_only_if_they_are_the_same(first: Head, second: Head) -> None:
    assert (first.tag == second.tag) == (first == second)


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"ref": "refs/heads/other", "oid": OID, "seq": 1, "issued_at": "x"},
        {"ref": "refs/heads/main", "oid": OID, "seq": 0, "issued_at": "x"},
        {"ref": "refs/heads/main", "oid": "zz", "seq": 1, "issued_at": "x"},
        {"ref": "refs/heads/main", "oid": OID, "seq": 1, "issued_at": "x", "turn": {}},
    ],
)
def test_what_is_not_a_head_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_head(value)


@pytest.mark.parametrize(
    ("state", "silent_s", "shown"),
    [
        (MemberState.ACTIVE, 1.0, MemberState.ACTIVE),
        (MemberState.ACTIVE, SILENT_AFTER_S + 1, MemberState.SILENT),
        (MemberState.ACTIVE, None, MemberState.STOPPED),
        (MemberState.STOPPED, 9999.0, MemberState.STOPPED),
        (MemberState.NEVER_SEEN, None, MemberState.NEVER_SEEN),
    ],
)
def test_a_member_that_was_not_heard_of_is_shown_as_silent(
    state: MemberState, silent_s: float | None, shown: MemberState
) -> None:
    status = MemberStatus(
        name=MemberName("n"),
        role=Role.NODE,
        state=state,
        active_revision=None,
        attempted_revision=None,
        reason=None,
    )
    assert judge_silence(status, silent_s).state is shown


@pytest.mark.parametrize(
    ("silent_s", "cut_off_s", "shown"),
    [
        (CUT_OFF_AFTER_S + 2, CUT_OFF_AFTER_S + 1, MemberState.SILENT),
        (CUT_OFF_AFTER_S + 1, CUT_OFF_AFTER_S + 1, MemberState.SILENT),
        (CUT_OFF_AFTER_S, CUT_OFF_AFTER_S, MemberState.ACTIVE),  # it may be about to come back
        (1.0, CUT_OFF_AFTER_S + 1, MemberState.ACTIVE),  # it was heard of since
    ],
)
def test_a_member_whose_line_has_ended_is_shown_as_silent_soon_unless_it_is_heard_of(
    silent_s: float, cut_off_s: float, shown: MemberState
) -> None:
    status = MemberStatus(
        name=MemberName("n"),
        role=Role.NODE,
        state=MemberState.ACTIVE,
        active_revision=None,
        attempted_revision=None,
        reason=None,
    )
    assert judge_silence(status, silent_s, cut_off_s=cut_off_s).state is shown
