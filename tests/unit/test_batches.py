"""Which files are delivered together."""

from clocks import SetClock
from hypothesis import given
from hypothesis import strategies as st

from mftgit.member.outbound.batches import File, together
from mftgit.member.outbound.digests import SMALL_BYTES
from mftgit.model.run import MOST_TOGETHER

files = st.lists(st.integers(0, SMALL_BYTES + 2), max_size=300).map(
    lambda sizes: [(f"{at}", (size, 0)) for at, size in enumerate(sizes)]
)


@given(files, st.lists(st.floats(0, 10), min_size=1), st.integers(1, 5))
def test_every_file_comes_once_and_in_order_and_large_ones_by_as_many_as_go_in_parallel(
    wanted: list[File], taken_s: list[float], parallel: int
) -> None:
    clock = SetClock()
    given_so_far: list[File] = []
    for number, some in enumerate(together(iter(wanted), clock, parallel=parallel)):
        assert 1 <= len(some) <= MOST_TOGETHER
        large = [size > SMALL_BYTES for _, (size, _) in some]
        assert all(large) or not any(large)
        assert not any(large) or len(some) <= parallel
        given_so_far += some
        clock.pass_s(taken_s[number % len(taken_s)])
    assert given_so_far == wanted
