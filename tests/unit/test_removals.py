"""Nobody removes many documents by accident: the revision before says how many may go, or this one that it is meant."""

from itertools import pairwise

import pytest
from config_tree import found, tree
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.documents.problem import Problem, format_problem
from mftgit.model.names import Revision
from mftgit.model.revisions.removals import (
    LEAST_LIMIT,
    MAX_BASES,
    Stock,
    check_removals,
    judge_removals,
    stock_of,
    take_stock,
)
from mftgit.model.trust.growth import History


def stock(count: int, settings: str = "", *, start: int = 0) -> Stock:
    paths = [f"transfers/t{number}.yaml" for number in range(start, start + count)]
    return take_stock(paths, f"name: a\n{settings}".encode())


@pytest.mark.parametrize(("documents", "limit"), [(0, 10), (100, 10), (110, 11), (10_000, 1000)])
def test_ten_documents_or_a_tenth_of_them_may_go(documents: int, limit: int) -> None:
    assert stock(documents).limit == limit
    assert LEAST_LIMIT == 10


def test_one_removal_beyond_the_limit_is_a_problem_with_what_goes_and_the_way_out() -> None:
    before = stock(50)
    assert check_removals(before, stock(40)) is None
    problem = check_removals(before, stock(39))
    assert problem is not None
    assert (problem.file, problem.line, problem.rule) == ("cluster.yaml", 1, "removal")
    told = format_problem(problem)
    assert "this removes 11 of 50 documents, and 10 may go at once: transfers/t39, " in told
    assert "transfers/t43, …" in told
    assert "write allow_removal: 11 in cluster.yaml in the same push" in told


def test_the_limit_that_counts_is_that_of_the_revision_before() -> None:
    strict, loose = "removal_limit: 0\n", "removal_limit: 50\n"
    assert check_removals(stock(50, loose), stock(0, strict)) is None
    problem = check_removals(stock(50, strict), stock(49, loose))
    assert problem is not None
    assert "this removes 1 of 50 documents, and 0 may go at once: transfers/t49;" not in str(
        problem
    )


def test_a_revision_that_says_how_many_it_removes_may_remove_so_many() -> None:
    before = stock(50)
    assert check_removals(before, stock(10, "allow_removal: 40\n")) is None
    problem = check_removals(before, stock(9, "allow_removal: 40\n"))
    assert problem is not None
    assert (problem.line, problem.pointer) == (2, "/allow_removal")
    assert "allow_removal: 40 is not enough" in problem.message


def test_an_allowance_that_stays_is_used_up() -> None:
    before = stock(50, "allow_removal: 40\n")
    problem = check_removals(before, stock(10, "allow_removal: 40\n"))
    assert problem is not None
    assert "allow_removal: 40 stood there before, and is used up" in problem.message
    assert "write allow_removal: 41 " in problem.hint
    assert check_removals(before, stock(10, "allow_removal: 41\n")) is None


def test_a_document_that_is_renamed_is_removed_and_one_with_another_ending_is_not() -> None:
    strict = b"name: a\nremoval_limit: 0\n"
    before = take_stock(["transfers/a.yaml", "notes/b.yaml", "README.md"], strict)
    assert check_removals(before, take_stock(["transfers/a.json"], strict)) is None
    for path in ("transfers/b.yaml", "locations/a.yaml", "transfers/deep/a.yaml", "transfers/a"):
        assert check_removals(before, take_stock([path], strict)) is not None


def test_what_cannot_be_read_allows_nothing() -> None:
    for cluster in (b"", b"name: [", b"allow_removal: true\n", b"allow_removal: lots\n"):
        after = take_stock([], cluster)
        problem = check_removals(stock(11), after)
        assert problem is not None
        assert problem.file == "cluster.yaml"
    assert check_removals(take_stock([f"members/m{n}.json" for n in range(11)], b""), stock(0))
    assert stock_of({}).count == 0
    assert stock_of(tree({"cluster.yaml": "removal_limit: 7\n"})).limit == 7


def test_the_fields_are_part_of_the_schema() -> None:
    assert found({"cluster.yaml": "name: a\nremoval_limit: 0\nallow_removal: 1\n"}) == []
    wrong = "name: a\nremoval_limit: -1\nallow_removal: 0\n"
    assert {at for _, at, _ in found({"cluster.yaml": wrong})} == {
        "/removal_limit",
        "/allow_removal",
    }


# A member that was away


def revisions(count: int) -> list[Revision]:
    return [Revision(f"{number:040}") for number in range(count)]


def followed(*stocks: Stock) -> bool:
    anchor, *branch = revisions(len(stocks))
    by_revision = dict(zip([anchor, *branch], stocks, strict=True))
    line = {new: (old,) for old, new in pairwise([anchor, *branch])}
    told = judge_removals(
        line, anchor=anchor, tip=[anchor, *branch][-1], stock=by_revision.__getitem__
    )
    return told is None


def test_a_member_follows_many_small_removals() -> None:
    assert followed(*(stock(100 - 10 * step) for step in range(11)))
    assert not followed(stock(100), stock(100), stock(0))
    assert followed(stock(100))


def test_a_member_follows_a_removal_that_was_allowed_on_the_way() -> None:
    meant = stock(10, "allow_removal: 90\n")
    assert followed(stock(100), meant, stock(10))
    assert followed(stock(100), stock(10), meant)  # both came with one push
    assert not followed(stock(100), stock(10), stock(10))
    assert not followed(stock(100, "allow_removal: 90\n"), meant)


def test_a_member_that_was_away_for_long_looks_back_so_far_and_no_further() -> None:
    meant, gone = stock(10, "allow_removal: 90\n"), stock(10)
    assert followed(stock(100), *[stock(100)] * MAX_BASES, gone, meant, *[gone] * 300)


@given(st.lists(st.integers(0, 60), min_size=2, max_size=8))
def test_a_member_follows_whatever_the_gate_let_pass(counts: list[int]) -> None:
    published = [stock(counts[0])]
    for number, count in enumerate(counts[1:]):
        meant = stock(count, f"allow_removal: {60 + number}\n")
        plain = stock(count)
        published.append(plain if check_removals(published[-1], plain) is None else meant)
    assert followed(*published)


def test_a_member_follows_a_merge_that_has_the_published_revisions_as_its_second_parent() -> None:
    anchor, *published, local, merge = revisions(6 + MAX_BASES)
    line = {new: (old,) for old, new in pairwise([anchor, *published])}
    pulled = {**line, local: (anchor,), merge: (local, published[-1])}
    stocks = {anchor: stock(30), local: stock(30), merge: stock(14)}
    stocks |= dict.fromkeys(published, stock(22)) | {published[-1]: stock(14)}

    def told(history: History) -> Problem | None:
        return judge_removals(history, anchor=anchor, tip=merge, stock=stocks.__getitem__)

    assert told(pulled) is None
    assert told(pulled | {merge: (published[-1], local)}) is None
    assert told({local: (anchor,), merge: (local,)}) is not None


@given(st.data())
def test_a_member_follows_if_and_only_if_some_division_into_pushes_passes(
    data: st.DataObject,
) -> None:
    anchor, *others = known = revisions(data.draw(st.integers(2, 7)))
    tip = others.pop()
    history: dict[Revision, tuple[Revision, ...]] = {}
    for number, each in enumerate(others, 1):
        drawn = st.lists(st.sampled_from(known[:number]), min_size=1, max_size=3, unique=True)
        history[each] = tuple(data.draw(drawn))
    history[tip] = tuple(data.draw(st.permutations(known[:-1])))
    allowed = st.sampled_from(["", "", "allow_removal: 20\n", "allow_removal: 21\n"])
    stocks = {each: stock(data.draw(st.integers(0, 40)), data.draw(allowed)) for each in known}

    def behind(revision: Revision) -> set[Revision]:
        return {revision}.union(*(behind(each) for each in history.get(revision, ())))

    published = [anchor]
    for old in published:
        published += [
            new
            for new in history
            if new not in published
            and old in behind(new)
            and check_removals(stocks[old], stocks[new]) is None
        ]
    told = judge_removals(history, anchor=anchor, tip=tip, stock=stocks.__getitem__)
    assert (told is None) == (tip in published)
