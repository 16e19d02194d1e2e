"""The tables of a run and of a delivery."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.transfers.run import (
    LONGEST_TOGETHER_S,
    MOST_TOGETHER,
    NEXT_DELIVERY,
    NEXT_RUN,
    SHORTEST_TOGETHER_S,
    DeliveryState,
    DeliveryStep,
    OutOfOrderError,
    Pace,
    RunState,
    RunStep,
    SoFar,
    advance,
    advance_run,
)

ENDS = {RunState.SUCCEEDED, RunState.PARTLY, RunState.FAILED, RunState.IDLE, RunState.ENDED}


@given(state=st.sampled_from(DeliveryState), step=st.sampled_from(DeliveryStep))
def test_a_delivery_takes_the_steps_of_the_table_and_no_others(
    state: DeliveryState, step: DeliveryStep
) -> None:
    if (state, step) in NEXT_DELIVERY:
        assert advance(state, step) is NEXT_DELIVERY[state, step]
    else:
        with pytest.raises(OutOfOrderError, match=f"that is {state.value} cannot {step.value}"):
            advance(state, step)


@given(state=st.sampled_from(RunState), step=st.sampled_from(RunStep))
def test_a_run_takes_the_steps_of_the_table_and_no_others(state: RunState, step: RunStep) -> None:
    if (state, step) in NEXT_RUN:
        assert advance_run(state, step) is NEXT_RUN[state, step]
    else:
        with pytest.raises(OutOfOrderError, match=f"that is {state.value} cannot {step.value}"):
            advance_run(state, step)


def test_what_has_an_intent_is_never_sent_again_but_by_who_saw_it_vanish_untried() -> None:
    reached = {DeliveryState.READY}
    for _ in DeliveryState:
        reached |= {
            after
            for (before, step), after in NEXT_DELIVERY.items()
            if before in reached and step is not DeliveryStep.VANISH
        }
    assert reached.isdisjoint(
        {DeliveryState.TAKEN, DeliveryState.SENT, DeliveryState.LEFT, DeliveryState.GIVEN_UP}
    )


def test_every_delivery_can_come_to_an_end() -> None:
    ends = {DeliveryState.DONE, DeliveryState.LEFT, DeliveryState.GIVEN_UP}
    for _ in DeliveryState:
        ends |= {before for (before, _), after in NEXT_DELIVERY.items() if after in ends}
    assert ends == set(DeliveryState)


@given(steps=st.lists(st.sampled_from([RunStep.DELIVER, RunStep.FAIL])))
def test_how_a_run_ended_tells_what_happened_in_it(steps: list[RunStep]) -> None:
    state = advance_run(RunState.PENDING, RunStep.START)
    for step in steps:
        state = advance_run(state, step)
    assert advance_run(state, RunStep.LOSE) is RunState.ENDED
    end = advance_run(state, RunStep.FINISH)
    assert end in ENDS
    assert (
        end
        is {
            (False, False): RunState.IDLE,
            (True, False): RunState.SUCCEEDED,
            (False, True): RunState.FAILED,
            (True, True): RunState.PARTLY,
        }[RunStep.DELIVER in steps, RunStep.FAIL in steps]
    )


@given(st.lists(st.floats(0, 60)))
def test_however_long_it_took_there_is_always_a_file_to_take_and_never_too_many(
    taken: list[float],
) -> None:
    pace = Pace()
    for seconds in taken:
        before = pace.files
        pace.took(seconds)
        assert 1 <= pace.files <= MOST_TOGETHER
        assert (pace.files > before) <= (seconds < SHORTEST_TOGETHER_S)
        assert (pace.files < before) <= (seconds > LONGEST_TOGETHER_S)
        assert pace.size_bytes <= 8 << 20


def test_a_quick_partner_is_given_more_and_a_slow_one_fewer() -> None:
    pace = Pace()
    first = pace.files
    pace.took(0.1)
    assert pace.files == 2 * first
    pace.took(1.0)
    assert pace.files == 2 * first
    pace.took(9.0)
    assert pace.files == first


_WAYS = (RunState.EMPTY, RunState.GOOD, RunState.MIXED, RunState.BAD)


@given(states=st.lists(st.sampled_from(_WAYS), min_size=1))
def test_a_run_of_several_parts_has_come_to_what_they_have_come_to_together(
    states: list[RunState],
) -> None:
    whole = SoFar(state=states[0], files=1)
    for at, state in enumerate(states[1:]):
        part = SoFar(state=state, files=2, size_bytes=3, failed=1, error=f"error {at}")
        whole = whole.then(part)
    told = set(states) - {RunState.EMPTY}
    assert whole.state is (
        RunState.EMPTY if not told else told.pop() if len(told) == 1 else RunState.MIXED
    )
    more = len(states) - 1
    assert (whole.files, whole.size_bytes, whole.failed) == (1 + 2 * more, 3 * more, more)
    assert whole.error == ("error 0" if more else None)
