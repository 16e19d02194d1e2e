"""Which files are delivered together."""

from hypothesis import given
from hypothesis import strategies as st

from mftgit.member.outbound.places.digests import SMALL_BYTES
from mftgit.member.outbound.taking.batches import File, together
from mftgit.model.transfers.run import MOST_TOGETHER

files = st.lists(st.integers(0, SMALL_BYTES + 2), max_size=300).map(
    lambda sizes: [(f"{at}", (size, 0)) for at, size in enumerate(sizes)]
)


@given(files, st.lists(st.floats(0, 10), min_size=1), st.integers(1, 5))
def test_every_file_comes_once_and_in_order_and_large_ones_by_as_many_as_go_in_parallel(
    wanted: list[File], taken_s: list[float], parallel: int
) -> None:
    given_so_far: list[File] = []
    for number, lot in enumerate(together(iter(wanted), parallel=parallel)):
        some = lot.files
        assert 1 <= len(some) <= MOST_TOGETHER
        large = [size > SMALL_BYTES for _, (size, _) in some]
        assert all(large) or not any(large)
        assert not any(large) or len(some) <= parallel
        assert lot.is_alone == any(large)
        given_so_far += some
        lot.took(taken_s[number % len(taken_s)])
    assert given_so_far == wanted
