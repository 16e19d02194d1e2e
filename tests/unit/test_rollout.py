"""A roll-out goes on only as its cohorts allow, halts by itself, and can always be ended."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.members.messages import SILENT_AFTER_S, RolloutState
from mftgit.model.names import MemberName, Revision
from mftgit.model.rollout.advance import LINE_DOWN_S, advance
from mftgit.model.rollout.cohorts import REST, Cohort, Rollout
from mftgit.model.rollout.orders import NothingToDoError, abort, pause, promote, resume
from mftgit.model.rollout.rollout import (
    Outcome,
    Peer,
    Progress,
    Report,
    begin,
    forget,
    format_progress,
    parse_progress,
    report,
    start_anew,
    went_on,
)
from mftgit.model.rollout.told import describe, tell_unseen, turns, unseen

OLD, NEW, NEWER = (Revision(each * 40) for each in "abc")
A, B, C, D = (MemberName(each) for each in "abcd")
TWO_STEPS = Rollout(cohorts=(Cohort(name="canary", members=(A,), soak_s=60.0), Cohort(name=REST)))


@dataclass
class Play:
    """A controller's side of one roll-out, with a clock that the test moves."""

    settings: Rollout | None = TWO_STEPS
    names: tuple[MemberName, ...] = (A, B, C)
    now_s: float = 1000.0
    closed: str | None = None
    progress: Progress = field(default_factory=lambda: begin(begin(None, OLD), NEW))
    heard: dict[MemberName, float] = field(default_factory=dict)
    cut_off: dict[MemberName, float] = field(default_factory=dict)
    runs: dict[MemberName, Revision] = field(default_factory=dict)

    def go(self, seconds: float = 0.0) -> "Play":
        self.now_s += seconds
        peers = [
            Peer(
                name=each,
                heard_s=self.heard.get(each, self.now_s),
                cut_off_s=self.cut_off.get(each),
                runs=self.runs.get(each),
            )
            for each in self.names
        ]
        self.progress = advance(
            self.progress, self.settings, peers, now_s=self.now_s, closed=self.closed
        )
        assert parse_progress(format_progress(self.progress)) == self.progress
        return self

    def tell(self, name: MemberName, outcome: Outcome, reason: str | None = None) -> "Play":
        told = Report(outcome=outcome, reason=reason, own=True)
        self.progress = report(self.progress, name, NEW, told)
        return self.go()

    def say(self, verb: Callable[[Progress], Progress]) -> "Play":
        self.progress = verb(self.progress)
        return self.go()

    @property
    def due(self) -> set[MemberName]:
        return set(self.progress.due)

    @property
    def may(self) -> set[MemberName]:
        found = turns(self.progress, self.names)
        return {name for name, turn in found.items() if turn.due}

    def reason(self, name: MemberName) -> str | None:
        return turns(self.progress, self.names)[name].reason

    @property
    def state(self) -> RolloutState:
        return self.progress.state


ACTIVATED, REFUSED, ROLLED_BACK = Outcome


def promoted(progress: Progress) -> Progress:
    return promote(progress, regardless=False)


def test_cohorts_come_one_after_the_other_with_the_soak_between_them() -> None:
    play = Play().go()
    assert (play.due, play.may, play.state) == ({A}, {A}, RolloutState.RUNNING)
    assert play.reason(B) == "it is the turn of the cohort canary; this member is in rest"
    play.tell(A, ACTIVATED)
    assert (play.due, play.state) == (set(), RolloutState.SOAKING)
    play.go(59)
    assert play.due == set()
    play.go(1)
    assert (play.due, play.may) == ({B}, {A, B})
    play.tell(B, ACTIVATED)
    assert play.due == {C}
    play.tell(C, ACTIVATED)
    assert (play.state, play.progress.base, play.may) == (RolloutState.DONE, NEW, {A, B, C})


def test_without_settings_everybody_takes_it_at_once() -> None:
    play = Play(settings=None).go()
    assert (play.state, play.may, play.progress.base) == (RolloutState.DONE, {A, B, C}, NEW)


@pytest.mark.parametrize("outcome", [REFUSED, ROLLED_BACK])
def test_what_a_member_cannot_run_halts_it_and_nobody_else_takes_it(outcome: Outcome) -> None:
    play = Play().go().tell(A, outcome, "no such host")
    reason = f"a of the cohort canary: {outcome.value}: no such host"
    assert play.progress.halt is not None
    assert (play.state, play.progress.halt.reason, play.may) == (
        RolloutState.HALTED, reason, set(),
    )  # fmt: skip
    assert play.reason(C) == f"the roll-out is halted: {reason}"
    play.go(10_000)
    assert play.may == set()


def test_a_member_that_fails_before_its_turn_halts_it_too() -> None:
    play = Play().go().tell(C, REFUSED)
    assert (play.state, play.due) == (RolloutState.HALTED, set())


def test_who_leaves_the_revision_for_another_one_halts_it_until_it_is_back() -> None:
    play = Play().go().tell(A, ACTIVATED)
    play.progress = went_on(play.progress, A, OLD)
    assert play.go(60).state is RolloutState.HALTED
    assert "a of the cohort canary: rolled back: went on to aaaaaaaaaaaa" in str(play.progress.halt)
    assert play.tell(A, ACTIVATED).say(resume).go(60).due == {B}


def test_what_a_member_activated_before_it_told_of_the_revision_does_not_count() -> None:
    play = Play(runs={A: NEW}).go()  # its status came before its events
    for name, oid in ((A, OLD), (B, OLD), (A, None)):
        assert went_on(play.progress, name, oid) is play.progress
    play.tell(A, ACTIVATED)
    assert went_on(play.progress, A, NEW) is play.progress
    failed = play.tell(A, REFUSED).progress
    assert went_on(failed, A, OLD) is failed  # it never ran it


def test_what_was_kept_before_reports_said_whose_they_are_is_read() -> None:
    kept = format_progress(Play().go().tell(A, ACTIVATED).progress).replace(', "own": true', "")
    assert parse_progress(kept).reports == {A: Report(outcome=ACTIVATED)}


def test_who_is_due_and_tells_nothing_halts_it_also_if_it_was_silent_before() -> None:
    play = Play(heard={A: 0.0}).go()
    assert play.due == {A}
    assert play.go(120).state is RolloutState.RUNNING
    assert play.go(1).state is RolloutState.HALTED
    assert "no outcome within 120 s" in str(play.progress.halt)


def test_who_took_it_and_is_not_heard_of_any_more_halts_it_during_the_soak() -> None:
    soak_s = 2 * SILENT_AFTER_S
    cohorts = tuple(replace(each, soak_s=soak_s) for each in TWO_STEPS.cohorts)
    settings = Rollout(cohorts=cohorts, silence_s=5)
    play = Play(settings=settings).go().tell(A, ACTIVATED)
    play.heard[A] = play.now_s
    states = [play.go(seconds).state for seconds in (SILENT_AFTER_S, 1)]
    assert states == [RolloutState.SOAKING, RolloutState.HALTED]
    assert "not heard of" in str(play.progress.halt)
    assert play.say(resume).go().state is RolloutState.SOAKING
    assert play.go(soak_s).due == {B}


def test_who_took_it_and_whose_line_is_down_halts_it_also_during_a_short_soak() -> None:
    play = Play().go().tell(A, ACTIVATED)
    play.cut_off[A] = play.go(40).now_s
    states = [play.go(seconds).state for seconds in (LINE_DOWN_S, 1)]
    assert states == [RolloutState.SOAKING, RolloutState.HALTED]
    assert "its line has been down for 45 s" in str(play.progress.halt)
    assert play.say(resume).go(60).due == {B}  # who halted it is passed over, whatever its line


def test_no_soak_ends_while_a_line_is_down() -> None:
    play = Play().go().tell(A, ACTIVATED).go(55)
    play.cut_off[A] = play.now_s
    assert play.go(9).due == set()
    del play.cut_off[A]  # it was heard of again
    assert play.go().due == {B}


def test_resumed_it_passes_over_who_halted_it() -> None:
    play = Play().go().tell(A, REFUSED).say(resume)
    assert play.state is RolloutState.SOAKING
    assert A in play.may  # which may try again
    assert play.go(60).due == {B}
    assert play.go(121).progress.halt is not None  # b was silent
    assert play.say(resume).due == {C}
    assert play.tell(C, ACTIVATED).state is RolloutState.DONE


def test_paused_nobody_begins_and_the_pause_goes_on_over_a_newer_revision() -> None:
    play = Play().go().say(pause)
    assert (play.state, play.may, play.due) == (RolloutState.PAUSED, set(), set())
    assert play.reason(A) == "the roll-out is paused"
    play.progress = begin(play.progress, NEWER)
    assert play.go().state is RolloutState.PAUSED
    assert play.say(resume).due == {A}
    with pytest.raises(NothingToDoError, match="nothing to resume"):
        resume(play.progress)


def test_a_roll_out_that_ends_while_it_is_paused_leaves_the_pause_for_the_next() -> None:
    play = Play(names=(A,)).go().tell(A, ACTIVATED).say(pause).go(60)
    assert (play.state, play.progress.base) == (RolloutState.DONE, NEW)
    assert begin(play.progress, NEWER).state is RolloutState.PAUSED
    assert begin(resume(play.progress), NEWER).state is RolloutState.RUNNING


def test_aborted_nobody_else_takes_it_until_a_newer_revision_comes() -> None:
    play = Play().go().tell(A, ACTIVATED).say(abort).go(1000)
    assert (play.state, play.may, play.progress.base) == (RolloutState.ABORTED, {A}, OLD)
    for verb in (pause, resume):
        with pytest.raises(NothingToDoError, match="was aborted"):
            verb(play.progress)
    play.progress = begin(play.progress, NEWER)
    assert (play.go().due, play.progress.base) == ({A}, OLD)
    with pytest.raises(NothingToDoError, match="nothing to abort"):
        abort(promoted(play.progress))


@pytest.mark.parametrize(
    ("verb", "state"), [(pause, RolloutState.PAUSED), (abort, RolloutState.ABORTED)]
)
def test_without_settings_nobody_takes_what_was_paused_or_aborted(
    verb: Callable[[Progress], Progress], state: RolloutState
) -> None:
    play = Play(settings=None).say(verb)
    assert (play.state, play.may, play.progress.base) == (state, set(), OLD)
    assert play.say(promoted).may == {A, B, C}


def test_without_settings_what_is_resumed_is_taken_by_all() -> None:
    play = Play(settings=None)
    play.progress = begin(pause(begin(None, OLD)), NEW)
    assert (play.go().state, play.may) == (RolloutState.PAUSED, set())
    assert (play.say(resume).state, play.may) == (RolloutState.DONE, {A, B, C})


def test_an_abort_outlasts_that_settings_without_cohorts_become_readable() -> None:
    play = Play(closed="cannot be read").go().say(abort)
    play.settings, play.closed = None, None
    assert (play.go().state, play.may) == (RolloutState.ABORTED, set())
    assert describe(play.progress)["reason"] is None


def test_a_pause_takes_the_turns_of_a_promotion_back() -> None:
    play = Play().go().tell(A, ACTIVATED)
    play.progress = promote(play.progress, regardless=True)
    play.say(pause)
    found = turns(play.progress, play.names)
    assert (play.state, play.may, found[B].regardless) == (RolloutState.PAUSED, {A}, False)
    assert play.say(resume).go(60).due == {B}


@pytest.mark.parametrize("stop", [pause, abort, lambda progress: report(
    progress, A, NEW, Report(outcome=REFUSED))], ids=["paused", "aborted", "halted"])  # fmt: skip
def test_promoted_everybody_takes_it_whatever_stopped_it(
    stop: Callable[[Progress], Progress],
) -> None:
    play = Play(closed="shut").go().say(stop).say(promoted)
    assert (play.state, play.may, play.progress.base) == (RolloutState.PROMOTED, {A, B, C}, NEW)
    assert not any(each.regardless for each in turns(play.progress, play.names).values())
    play.progress = promote(play.progress, regardless=True)
    assert all(each.regardless for each in turns(play.progress, play.names).values())
    assert not begin(play.progress, NEWER).regardless


def test_while_the_windows_are_shut_nobody_begins_and_nobody_counts_as_silent() -> None:
    play = Play().go()
    play.closed = "outside of the change windows; opens: then"
    assert (play.go().due, play.state) == (set(), RolloutState.WAITING)
    assert play.reason(A) == play.closed
    play.go(10_000)
    play.closed = None
    assert (play.go().due, play.state) == ({A}, RolloutState.RUNNING)


def test_a_window_that_shuts_just_when_silence_shows_halts_nothing() -> None:
    play = Play().go()
    play.closed = "shut"
    assert play.go(121).state is RolloutState.WAITING


@pytest.mark.parametrize("closed", [None, "shut"])
def test_who_took_it_and_is_gone_halts_it_also_while_nobody_begins(closed: str | None) -> None:
    cohorts = tuple(replace(each, soak_s=1000.0) for each in TWO_STEPS.cohorts)
    play = Play(settings=Rollout(cohorts=cohorts)).go().tell(A, ACTIVATED)
    play.heard[A] = play.now_s
    play.closed = closed
    if closed is None:
        play.say(pause)
    assert play.go(SILENT_AFTER_S + 1).state is RolloutState.HALTED


def test_a_newer_revision_starts_with_the_first_cohort_by_the_settings_of_what_was_rolled_out() -> (
    None
):
    play = Play().go().tell(A, ACTIVATED).go(60)
    assert play.due == {B}
    play.progress = begin(play.progress, NEWER)
    assert turns(play.progress, [B])[B].reason == "the roll-out begins"
    assert (play.go().due, play.progress.base) == ({A}, OLD)
    assert report(play.progress, A, NEW, Report(outcome=REFUSED)) is play.progress
    assert begin(play.progress, NEWER) is play.progress


def test_who_runs_it_already_counts() -> None:
    play = Play(runs={A: NEW, B: OLD}).go().go(60)
    assert play.due == {B}


def test_a_member_that_comes_into_a_cohort_that_was_over_is_waited_for() -> None:
    settings = Rollout(cohorts=(Cohort(name="first", members=(A, D)), Cohort(name=REST)))
    play = Play(settings=settings).go().tell(A, ACTIVATED)
    assert play.due == {B}
    play.names = (*play.names, D)
    assert play.go().due == {D}
    assert play.tell(D, ACTIVATED).due == {B}


@pytest.mark.parametrize("outcome", [ACTIVATED, None])
def test_a_cohort_whose_members_are_removed_while_it_is_under_way_waits_out_its_soak(
    outcome: Outcome | None,
) -> None:
    play = Play().go()
    if outcome is not None:
        play.tell(A, outcome)
    play.names = (B, C)
    assert play.go(0).state is RolloutState.SOAKING
    assert play.go(59).due == set()
    assert play.go(1).due == {B}


def test_an_emptied_cohort_soaks_also_after_a_halt_and_one_that_was_always_empty_does_not() -> None:
    play = Play().go().tell(A, REFUSED)
    play.names = (B, C)
    assert play.go().say(resume).state is RolloutState.SOAKING
    assert Play(names=(B, C)).go().due == {B}


def test_a_machine_under_the_name_of_one_that_was_removed_takes_the_revision_itself() -> None:
    play = Play().go().tell(A, REFUSED).say(resume)
    play.progress = forget(play.progress, (B, C))
    assert (play.progress.reports, play.progress.excused) == ({}, frozenset())
    assert play.go().due == {A}
    done = play.say(promoted).tell(A, ACTIVATED).progress
    assert forget(done, ()) is done


def test_after_a_start_of_the_controller_soak_and_silence_begin_anew() -> None:
    play = Play().go()
    play.progress = start_anew(play.progress, play.now_s + 500)
    assert play.go(500).state is RolloutState.RUNNING
    play.tell(A, ACTIVATED).go(50)
    play.progress = start_anew(play.progress, play.now_s)
    assert play.go(59).due == set()
    assert play.go(1).due == {B}


def test_what_is_shown_names_every_member_with_what_became_of_it() -> None:
    play = Play().go().tell(A, REFUSED, "no such host").say(resume).go(60)
    shown = describe(play.progress)
    assert (shown["state"], shown["cohort"], shown["base"]) == ("running", "rest", OLD)
    assert [(each["name"], [one["state"] for one in each["members"]]) for each in shown["cohorts"]] == [
        ("canary", ["refused"]), ("rest", ["due", "not yet"]),
    ]  # fmt: skip
    (canary,) = shown["cohorts"][0]["members"]
    assert (canary["reason"], canary["passed_over"]) == ("no such host", True)
    assert describe(play.tell(B, REFUSED).progress)["reason"] == "b of the cohort rest: refused"


def test_a_roll_out_that_is_done_names_those_who_were_not_seen_on_it() -> None:
    play = Play(settings=None)
    runs = {A: NEW, B: OLD, C: None}
    assert unseen(play.progress, runs) == ()
    done = play.go().progress
    assert describe(done, runs)["unseen"] == [B, C]
    assert "unseen" not in describe(done)
    assert tell_unseen([]) == ""
    assert tell_unseen([B]) == ", but b has not been seen on it"
    assert tell_unseen([B, C]) == ", but b, c have not been seen on it"
    assert tell_unseen(list("abcdefg")) == ", but a, b, c, d, e and 2 more have not been seen on it"


# Properties

NAMES = tuple(MemberName(f"m{number}") for number in range(8))
cohorts = st.lists(
    st.builds(
        Cohort,
        name=st.sampled_from(["one", "two", "three"]),
        members=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(tuple),
        max_unavailable=st.integers(1, 3),
        soak_s=st.sampled_from([0.0, 30.0]),
    ),
    max_size=3,
    unique_by=lambda each: each.name,
)
rollouts = st.builds(
    lambda given, most: Rollout(cohorts=(*given, Cohort(name=REST, max_unavailable=most))),
    cohorts,
    st.integers(1, 4),
)
steps = st.lists(
    st.tuples(
        st.sampled_from(["go", "activated", "refused", "pause", "resume", "shut", "open"]),
        st.integers(0, 7),
        st.sampled_from([0.0, 10.0, 31.0, 121.0]),
    ),
    max_size=40,
)


def order(settings: Rollout) -> Mapping[MemberName, int]:
    sorted_out = settings.sort_out((name, {}) for name in NAMES)
    return {name: place for place, (_, names) in enumerate(sorted_out) for name in names}


def check(play: Play, settings: Rollout) -> None:
    progress, places = play.progress, order(settings)
    if progress.done:
        return
    assert len({places[name] for name in play.due}) <= 1
    for name in play.due:
        cohort = settings.cohorts[places[name]]
        assert len(play.due) <= cohort.max_unavailable
        assert all(progress.is_through(each) for each in NAMES if places[each] < places[name])
    failed = any(
        told.outcome is not ACTIVATED and name not in progress.excused
        for name, told in progress.reports.items()
    )
    if failed or not progress.begins:
        assert play.due == set()
        assert all(progress.has(name) for name in play.may)


def step(play: Play, what: str, number: int, seconds: float) -> None:
    waiting = sorted(play.due) or NAMES
    match what:
        case "activated" | "refused":
            play.tell(waiting[number % len(waiting)], Outcome(what))
        case "pause":
            play.say(pause)
        case "resume":
            if play.progress.halt or play.state is RolloutState.PAUSED:
                play.say(resume)
        case "shut" | "open":
            play.closed = "shut" if what == "shut" else None
        case _:
            pass
    play.go(seconds)


@given(rollouts, steps)
def test_whatever_happens_cohorts_keep_their_order_and_their_bounds_and_there_is_a_way_to_the_end(
    settings: Rollout, taken: list[tuple[str, int, float]]
) -> None:
    play = Play(settings=settings, names=NAMES).go()
    for what, number, seconds in taken:
        step(play, what, number, seconds)
        check(play, settings)
    if not play.progress.done:
        play.closed = None
        if play.progress.halt or play.state is RolloutState.PAUSED:
            play.say(resume)
        for _ in range(3 * len(NAMES)):
            for name in play.due:
                play.tell(name, ACTIVATED)
            play.go(30)
    assert play.progress.done
    assert play.may == set(NAMES)
