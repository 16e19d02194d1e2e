"""A member's record moves only as the table says, and whatever happens it runs one revision that was decided for."""

import json
from contextlib import suppress
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mftgit.model.events.event import EventName
from mftgit.model.members import activation
from mftgit.model.members.activation import MAX_STARTS, NEXT, Move, OutOfOrderError
from mftgit.model.members.record import (
    MAX_EARLIER,
    MAX_QUARANTINED,
    Outcome,
    Quarantined,
    Record,
    Stage,
    Wait,
    format_record,
    parse_record,
)
from mftgit.model.names import Revision

A, B, C, D = (Revision(digit * 40) for digit in "abcd")


def confirming(oid: Revision, *, seq: int = 1, on: Record | None = None) -> Record:
    record = activation.activating(activation.attempt(on or Record(), oid=oid, seq=seq))
    return activation.confirming(record, until=30.0, boot_id="boot")


def active(oid: Revision, *, seq: int = 1, on: Record | None = None) -> Record:
    return activation.confirmed(confirming(oid, seq=seq, on=on))


def failed(record: Record, *, checker: str = "1") -> Record:
    return activation.failed(record, reason="storage: no answer", checker=checker)


# One candidate after the other


def test_a_confirmed_candidate_is_active_anchor_and_last_known_good() -> None:
    record = active(A)
    assert (record.active, record.anchor, record.lkg, record.stage) == (A, A, A, Stage.CONFIRMED)
    assert (record.until, record.boot_id, record.starts) == (None, None, 0)


def test_what_is_not_confirmed_runs_after_a_restart_and_moves_neither_anchor_nor_last_known_good() -> (
    None
):
    record = confirming(B, seq=2, on=active(A))
    assert (record.active, record.anchor, record.lkg) == (B, A, A)
    assert (record.until, record.boot_id) == (30.0, "boot")


@pytest.mark.parametrize("ending", ["refused", "diverged"])
def test_a_candidate_that_does_not_come_through_changes_nothing_that_runs(ending: str) -> None:
    attempted = activation.attempt(active(A), oid=B, seq=2)
    if ending == "refused":
        after = activation.refused(attempted, reason="a typo", checker="1")
    else:
        after = activation.diverged(attempted, reason="history was rewritten")
    assert (after.active, after.anchor, after.lkg) == (A, A, A)
    assert (after.attempted, after.seq) == (B, 2)
    assert after.reason


def test_what_fails_goes_back_to_the_last_known_good_one_and_into_quarantine() -> None:
    back = failed(confirming(B, seq=2, on=active(A)))
    assert (back.active, back.lkg, back.stage) == (A, A, Stage.ROLLING_BACK)
    assert activation.in_quarantine(back, B, checker="1")
    returned = activation.returned(back)
    assert (returned.stage, returned.reason) == (Stage.ROLLED_BACK, "storage: no answer")
    assert not activation.is_news(returned, oid=B, seq=2, checker="1")


def test_the_first_candidate_of_all_goes_back_to_nothing() -> None:
    assert activation.returned(failed(confirming(A))).active is None


def test_a_member_whose_last_known_good_revision_fails_too_is_in_safe_mode_until_it_does_not() -> (
    None
):
    safe = activation.stranded(failed(confirming(B, seq=2, on=active(A))), reason="both")
    assert (safe.stage, safe.active, safe.reason) == (Stage.SAFE_MODE, A, "both")
    assert activation.returned(safe).stage is Stage.ROLLED_BACK
    assert activation.is_news(safe, oid=C, seq=3, checker="1")


def test_a_newer_revision_may_end_the_wait_and_what_it_ended_is_not_gone_back_to() -> None:
    newer = activation.superseding(confirming(B, seq=2, on=active(A)), oid=C, seq=3)
    assert (newer.stage, newer.active, newer.lkg, newer.seq) == (Stage.ACTIVATING, C, A, 3)
    assert failed(newer).active == A


def test_the_anchor_stays_where_the_member_goes_to_an_older_revision() -> None:
    record = active(B, seq=2, on=active(A))
    older = activation.confirmed(confirming(A, seq=2, on=record), grown=False)
    assert (older.active, older.lkg, older.anchor) == (A, A, B)


def test_an_illegal_move_raises() -> None:
    with pytest.raises(OutOfOrderError, match="no way to confirm a revision that is none"):
        activation.confirmed(Record())


# News


def test_a_replayed_head_is_not_news() -> None:
    assert not activation.is_news(active(B, seq=5), oid=A, seq=4, checker="1")


def test_what_was_confirmed_is_not_news_again() -> None:
    assert not activation.is_news(active(A), oid=A, seq=2, checker="1")
    assert activation.is_news(active(A), oid=B, seq=2, checker="1")


def test_what_was_refused_is_tried_again_only_when_it_would_be_judged_otherwise() -> None:
    record = activation.refused(
        activation.attempt(Record(), oid=A, seq=1), reason="no", checker="1"
    )
    assert not activation.is_news(record, oid=A, seq=1, checker="1")
    assert activation.is_news(record, oid=A, seq=1, checker="2")
    assert activation.is_news(activation.released(record), oid=A, seq=1, checker="1")


def test_what_lacks_approvals_is_in_quarantine_until_it_is_approved() -> None:
    record = activation.unapproved(
        activation.attempt(active(A), oid=B, seq=2), reason="nobody approved", checker="1"
    )
    assert record.stage is Stage.REFUSED
    assert not activation.is_news(record, oid=B, seq=2, checker="1")
    assert activation.is_news(record, oid=B, seq=2, checker="2")
    assert activation.lacks_approvals(record, B, checker="1")
    assert not activation.lacks_approvals(record, B, checker="2")
    assert not activation.lacks_approvals(record, C, checker="1")
    assert activation.is_news(activation.approved(record, oid=B), oid=B, seq=2, checker="1")
    assert activation.approved(record, oid=C) == record


def test_what_is_in_quarantine_stays_there_while_others_come_and_go() -> None:
    record = active(C, seq=3, on=activation.returned(failed(confirming(B, seq=2, on=active(A)))))
    assert not activation.is_news(record, oid=B, seq=4, checker="1")
    for number in range(MAX_QUARANTINED):
        oid = Revision(f"{number:040x}")
        record = activation.refused(
            activation.attempt(record, oid=oid, seq=4), reason="no", checker="1"
        )
    assert len(record.quarantine) == MAX_QUARANTINED
    assert activation.is_news(record, oid=B, seq=4, checker="1")


def test_what_diverged_stays_so_until_another_revision_comes_or_a_person_sets_the_anchor() -> None:
    record = activation.diverged(activation.attempt(active(A), oid=B, seq=2), reason="rewritten")
    assert not activation.is_news(record, oid=B, seq=9, checker="2")
    assert activation.is_news(record, oid=C, seq=3, checker="1")
    anew = activation.reanchored(record, anchor=D)
    assert (anew.anchor, anew.active, anew.lkg) == (D, A, A)
    assert activation.is_news(anew, oid=B, seq=1, checker="1")


def test_what_is_being_proved_is_not_attempted_again_and_a_person_does_not_disturb_it() -> None:
    record = confirming(B, seq=2, on=active(A))
    assert not activation.is_news(record, oid=B, seq=2, checker="2")
    assert activation.released(record) == record


def test_where_nothing_was_attempted_nothing_is_set_apart() -> None:
    assert failed(Record(stage=Stage.CONFIRMING)).quarantine == ()


def test_an_anchor_that_a_person_set_while_a_revision_was_being_proved_stays() -> None:
    record = activation.confirmed(activation.reanchored(confirming(B, on=active(A)), anchor=D))
    assert (record.active, record.anchor) == (B, D)


def test_what_runs_well_is_not_attempted_anew_when_an_operator_says_that_all_goes_on() -> None:
    record = active(A)
    assert activation.released(record) == record
    assert activation.reanchored(record, anchor=B).attempted == A


def test_a_member_that_is_let_in_again_has_all_its_time_to_prove_what_it_did_not() -> None:
    again = activation.let_in(activation.removed(confirming(A)))
    assert (again.until, again.boot_id, again.active) == (None, None, A)


def test_what_waits_is_looked_at_again_and_forgets_why_once_it_is_decided() -> None:
    record = activation.attempt(active(A), oid=B, seq=2)
    record = activation.put_off(record, reason="no gpg", wait=Wait.CHECK)
    assert (record.active, record.anchor, record.reason) == (A, A, "no gpg")
    assert activation.is_news(record, oid=B, seq=2, checker="1")
    again = activation.attempt(record, oid=B, seq=2)
    assert (again.reason, again.wait) == (None, None)


def test_an_attempt_keeps_its_number_until_its_outcome() -> None:
    first = activation.attempt(Record(), oid=A, seq=1)
    again = activation.attempt(first, oid=A, seq=1)
    waited = activation.attempt(activation.put_off(again, reason="x", wait=Wait.TURN), oid=A, seq=2)
    assert first.attempts == again.attempts == waited.attempts == 1
    refused = activation.refused(waited, reason="no", checker="1")
    assert activation.attempt(refused, oid=A, seq=2).attempts == 2
    assert activation.attempt(refused, oid=B, seq=3).attempts == 2


def test_a_new_attempt_has_a_number_above_every_one_that_a_lost_record_had() -> None:
    first = activation.attempt(Record(), oid=A, seq=1, number=1000)
    assert first.attempts == 1000
    assert activation.attempt(first, oid=A, seq=1, number=2000).attempts == 1000
    assert activation.attempt(first, oid=B, seq=2, number=2000).attempts == 2000
    assert activation.attempt(first, oid=B, seq=2, number=10).attempts == 1001  # a clock set back


# Starts


def test_two_processes_that_end_under_an_unconfirmed_revision_are_borne_and_no_more() -> None:
    record = confirming(B, on=active(A))
    for _ in range(MAX_STARTS):
        assert not activation.ended_too_often(record)
        record = activation.started(record)
    assert activation.ended_too_often(record)
    assert not activation.ended_too_often(active(A))


def test_a_process_that_ends_in_order_is_not_held_against_the_revision() -> None:
    record = confirming(B, on=active(A))
    assert activation.stopped(activation.started(record)) == record
    assert activation.stopped(record) == record


def test_starts_under_a_good_revision_are_not_counted() -> None:
    assert activation.started(active(A)) == active(A)


# Orders


def test_a_recall_goes_back_to_what_was_confirmed_before_and_sets_apart_what_it_leaves() -> None:
    record = active(C, seq=3, on=active(B, seq=2, on=active(A)))
    back = activation.returned(activation.recalled(record, reason="bad idea", checker="1"))
    assert (back.active, back.lkg, back.anchor, back.earlier) == (B, B, C, (A,))
    assert (back.attempted, back.recalled, back.reason) == (C, True, "bad idea")
    assert not activation.is_news(back, oid=C, seq=3, checker="1")
    assert not activation.attempt(back, oid=D, seq=4).recalled


def test_so_many_earlier_revisions_are_kept_and_one_that_is_confirmed_again_counts_once() -> None:
    record = active(A)
    for number in range(MAX_EARLIER + 3):
        record = active(Revision(f"{number:040x}"), seq=2, on=record)
    assert len(record.earlier) == MAX_EARLIER
    assert active(A, on=active(A)).earlier == ()


def test_a_removed_member_keeps_in_mind_what_it_ran() -> None:
    gone = activation.removed(active(A))
    assert (gone.removed, gone.active) == (True, A)
    assert activation.let_in(gone) == active(A)


# Whatever happens


class Member(RuleBasedStateMachine):
    """Any moves in any order, with a restart wherever one likes."""

    def __init__(self) -> None:
        super().__init__()
        self.record = Record()
        self.confirmed: set[Revision] = set()
        self.decided: set[Revision | None] = {None}
        self.seq = 0

    def step(self, move: Move, after: Record) -> None:
        assert NEXT[self.record.stage, move] is after.stage
        self.record = after

    @precondition(lambda self: (self.record.stage, Move.ATTEMPT) in NEXT)
    @rule(oid=st.sampled_from([A, B, C, D]), checker=st.sampled_from(["1", "2"]))
    def attempt(self, oid: Revision, checker: str) -> None:
        self.seq += 1
        news = activation.is_news(self.record, oid=oid, seq=self.seq, checker=checker)
        assert not (news and activation.in_quarantine(self.record, oid, checker=checker))
        if news:
            self.step(Move.ATTEMPT, activation.attempt(self.record, oid=oid, seq=self.seq))

    @precondition(lambda self: self.record.stage is Stage.ATTEMPTED)
    @rule(ending=st.sampled_from(["put off", "refused", "diverged", "activating"]))
    def decide(self, ending: str) -> None:
        match ending:
            case "put off":
                put_off = activation.put_off(self.record, reason="x", wait=Wait.TURN)
                self.step(Move.PUT_OFF, put_off)
            case "refused":
                refused = activation.refused(self.record, reason="x", checker="1")
                self.step(Move.REFUSE, refused)
            case "diverged":
                self.step(Move.DIVERGE, activation.diverged(self.record, reason="x"))
            case _:
                self.decided.add(self.record.attempted)
                self.step(Move.ACTIVATE, activation.activating(self.record))

    @precondition(lambda self: self.record.stage is Stage.ACTIVATING)
    @rule()
    def apply(self) -> None:
        self.step(Move.APPLY, activation.confirming(self.record, until=1.0, boot_id="b"))

    @precondition(lambda self: self.record.stage is Stage.CONFIRMING)
    @rule(grown=st.booleans())
    def confirm(self, grown: bool) -> None:  # noqa: FBT001  hypothesis gives it
        before = self.record
        after = activation.confirmed(before, grown=grown)
        assert after.anchor == (before.active if grown else before.anchor)
        assert after.active is not None
        self.confirmed.add(after.active)
        self.step(Move.CONFIRM, after)

    @precondition(lambda self: self.record.stage is Stage.CONFIRMING)
    @rule(oid=st.sampled_from([A, B, C, D]))
    def supersede(self, oid: Revision) -> None:
        self.seq += 1
        self.decided.add(oid)
        self.step(Move.SUPERSEDE, activation.superseding(self.record, oid=oid, seq=self.seq))

    @precondition(lambda self: activation.is_unconfirmed(self.record))
    @rule()
    def fail(self) -> None:
        before = self.record
        after = failed(before)
        assert (after.active, after.lkg, after.anchor) == (before.lkg, before.lkg, before.anchor)
        self.step(Move.FAIL, after)

    @precondition(lambda self: (self.record.stage, Move.RECALL) in NEXT and self.record.earlier)
    @rule()
    def recall(self) -> None:
        after = activation.recalled(self.record, reason="x", checker="1")
        assert after.active == self.record.earlier[-1]
        self.step(Move.RECALL, after)

    @precondition(lambda self: (self.record.stage, Move.RETURN) in NEXT)
    @rule()
    def come_back(self) -> None:
        self.step(Move.RETURN, activation.returned(self.record))

    @precondition(lambda self: (self.record.stage, Move.STRAND) in NEXT)
    @rule()
    def strand(self) -> None:
        self.step(Move.STRAND, activation.stranded(self.record, reason="x"))

    @rule()
    def restart(self) -> None:
        record = activation.started(parse_record(format_record(self.record)))
        if activation.ended_too_often(record):
            record = failed(record)
        self.record = record

    @rule(change=st.sampled_from([activation.released, activation.removed, activation.let_in]))
    def besides(self, change: object) -> None:
        assert callable(change)
        after = change(self.record)
        assert (after.stage, after.active, after.lkg) == (
            self.record.stage,
            self.record.active,
            self.record.lkg,
        )
        self.record = after

    @invariant()
    def runs_what_was_decided_for(self) -> None:
        assert self.record.active in self.decided

    @invariant()
    def goes_back_to_what_was_confirmed_only(self) -> None:
        known = {self.record.lkg, self.record.anchor, *self.record.earlier}
        assert known <= self.confirmed | {None}

    @invariant()
    def runs_the_last_known_good_one_unless_it_is_proving_another(self) -> None:
        if not activation.is_unconfirmed(self.record):
            assert self.record.active == self.record.lkg

    @invariant()
    def stays_within_its_bounds(self) -> None:
        assert len(self.record.quarantine) <= MAX_QUARANTINED
        assert len(self.record.earlier) <= MAX_EARLIER
        assert self.record.starts < MAX_STARTS


TestMember = Member.TestCase


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("move", Move)
def test_a_move_is_in_the_table_or_changes_nothing(stage: Stage, move: Move) -> None:
    if (stage, move) in NEXT:
        assert activation.advance(stage, move) is NEXT[stage, move]
    else:
        with pytest.raises(OutOfOrderError):
            activation.advance(stage, move)


def test_every_stage_can_be_reached_and_left() -> None:
    assert {stage for stage, _ in NEXT} == set(Stage)
    assert {*NEXT.values(), Stage.NONE} == set(Stage)


# On disk

revisions = st.sampled_from([A, B, C])


@given(
    st.builds(
        Record,
        seq=st.integers(0, 9),
        stage=st.sampled_from(Stage),
        active=st.none() | revisions,
        anchor=st.none() | revisions,
        lkg=st.none() | revisions,
        earlier=st.lists(revisions, max_size=3).map(tuple),
        attempted=st.none() | revisions,
        attempts=st.integers(0, 9),
        reason=st.none() | st.text(),
        wait=st.none() | st.sampled_from(Wait),
        quarantine=st.lists(
            st.builds(Quarantined, oid=revisions, checker=st.text()), max_size=3
        ).map(tuple),
        recalled=st.booleans(),
        reanchored=st.booleans(),
        starts=st.integers(0, 2),
        until=st.none() | st.floats(0, 1e9),
        boot_id=st.none() | st.text(),
        policy_version=st.integers(0, 9),
        obeyed=st.integers(0, 9),
        removed=st.booleans(),
        untold=st.none()
        | st.builds(
            Outcome,
            attempt=st.integers(0, 9),
            event=st.sampled_from(EventName),
            revision=revisions,
            facts=st.dictionaries(st.text(), st.none() | st.text() | st.integers(), max_size=2),
        ),
    )
)
def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    assert parse_record(format_record(record)) == record


@pytest.mark.parametrize(("former", "now"), [("activated", "confirmed"), ("held", "diverged")])
def test_a_record_of_before_there_were_confirmations_is_read(former: str, now: str) -> None:
    value = json.loads(format_record(active(A)))
    known = {"seq", "stage", "active", "anchor", "lkg", "attempted", "reason"}
    for field in fields(Record):
        if field.name not in known:
            del value[field.name]
    record = parse_record(json.dumps(value | {"stage": former}).encode())
    assert (record.stage.value, record.active, record.removed) == (now, A, False)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"seq": 1}', b"\xff", b'{"seq": 1, "quarantine": [1]}']
)
def test_a_damaged_record_is_noticed(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_record(content)


def test_the_number_of_the_trust_policy_that_was_confirmed_never_falls() -> None:
    waits = confirming(A)
    assert activation.confirmed(waits, policy_version=3).policy_version == 3
    once = replace(waits, policy_version=5)
    assert activation.confirmed(once, policy_version=3).policy_version == 5


@given(st.data())
def test_a_record_of_which_the_disk_changed_a_piece_is_read_or_noticed(data: st.DataObject) -> None:
    content = format_record(failed(confirming(B, seq=2, on=active(A))))
    start = data.draw(st.integers(0, len(content) - 1))
    piece = data.draw(st.binary(max_size=12))
    end = data.draw(st.integers(start, len(content)))
    with suppress(ValueError):
        parse_record(content[:start] + piece + content[end:])


def test_what_has_no_outcome_yet_goes_on_under_its_number_when_all_is_judged_anew() -> None:
    waiting = activation.put_off(
        activation.attempt(active(A), oid=B, seq=2), reason="suspended", wait=Wait.SUSPENDED
    )
    for record in (waiting, confirming(B, seq=2, on=active(A)), failed(confirming(B))):
        assert activation.released(record).attempted == B
        anew = activation.reanchored(record, anchor=C)
        assert (anew.attempted, anew.seq, anew.floor) == (B, record.seq, 0)
    again = activation.attempt(activation.released(waiting), oid=B, seq=2)
    assert again.attempts == waiting.attempts


def test_after_a_reanchor_any_number_of_a_head_will_do_until_the_next_attempt() -> None:
    for record in (active(A), confirming(A, seq=5)):
        anew = activation.reanchored(replace(record, seq=5), anchor=D)
        assert anew.floor == 0
        if activation.is_unconfirmed(anew):
            following = activation.superseding(anew, oid=B, seq=2)
        else:
            following = activation.attempt(anew, oid=B, seq=2)
        assert (following.seq, following.floor) == (2, 2)
