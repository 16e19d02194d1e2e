"""How long to wait after a failure, and when a file is given up."""

from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.transfers.retry import Retry


def test_each_failure_in_a_row_doubles_the_wait_up_to_the_longest() -> None:
    retry = Retry()
    assert [retry.wait_s(count, 0.5) for count in (1, 2, 3)] == [10, 20, 40]
    assert retry.wait_s(1000, 0.5) == 600


@given(st.integers(1, 10_000), st.floats(0, 1), st.floats(0, 0.5))
def test_chance_moves_a_wait_by_no_more_than_its_share(
    failures: int, chance: float, jitter: float
) -> None:
    plain = Retry(jitter=0).wait_s(failures, chance)
    moved = Retry(jitter=jitter).wait_s(failures, chance)
    assert plain * (1 - jitter) - 1e-6 <= moved <= plain * (1 + jitter) + 1e-6


def test_a_file_is_given_up_after_so_many_failures_or_never() -> None:
    assert not Retry().is_spent(1_000_000)
    assert [Retry(attempts=2).is_spent(count) for count in (1, 2, 3)] == [False, True, True]
