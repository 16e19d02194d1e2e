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


@given(files, st.lists(st.floats(0, 10), min_size=1))
def test_every_file_comes_once_and_in_order_and_a_large_one_alone(
    wanted: list[File], taken_s: list[float]
) -> None:
    clock = SetClock()
    given_so_far: list[File] = []
    for number, some in enumerate(together(iter(wanted), clock)):
        assert 1 <= len(some) <= MOST_TOGETHER
        assert len(some) == 1 or all(size <= SMALL_BYTES for _, (size, _) in some)
        given_so_far += some
        clock.pass_s(taken_s[number % len(taken_s)])
    assert given_so_far == wanted
