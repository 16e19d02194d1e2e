"""What was seen of the refs counts until this program moves one, and for a moment only."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dulwich.objects import Blob, ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo

from mftgit.adapters.git.objects import BrokenHistoryError
from mftgit.adapters.git.refs import HOLDS_S, Refs, SeenRefs
from mftgit.model.access import Kind

MAIN = Ref(b"refs/heads/main")
BLOBS = [Blob.from_string(b"old"), Blob.from_string(b"new")]
OLD, NEW = (blob.id for blob in BLOBS)


class Time:
    """A clock and a count of moves, both set by the test."""

    now = 100.0
    moves = 0


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Repo]:
    with Repo.init_bare(str(tmp_path)) as made:
        made.object_store.add_objects([(blob, None) for blob in BLOBS])
        made.refs.set_symbolic_ref(Ref(b"HEAD"), MAIN)
        made.refs[MAIN] = OLD
        yield made


def seen_by(time: Time) -> SeenRefs:
    return SeenRefs(Kind.MEMBER, lambda: time.moves, now=lambda: time.now)


def test_nothing_counts_before_the_first_look() -> None:
    assert seen_by(Time()).recent() is None


def test_what_was_seen_counts_for_a_moment(repo: Repo) -> None:
    time = Time()
    seen = seen_by(time)
    state = seen.read(repo).state()
    time.now += HOLDS_S * 0.9
    assert seen.recent() == state
    time.now += HOLDS_S * 0.1
    assert [seen.recent() for _ in range(3)] == [None, state, state]
    time.now += HOLDS_S
    assert [seen.recent() for _ in range(2)] == [None, None]
    seen.read(repo)
    assert seen.recent() == state


def test_what_is_forgotten_counts_no_more(repo: Repo) -> None:
    seen = seen_by(Time())
    seen.read(repo)
    seen.forget()
    assert seen.recent() is None


def test_what_was_seen_before_a_move_counts_no_more(repo: Repo) -> None:
    time = Time()
    seen = seen_by(time)
    before = seen.read(repo).state()
    repo.refs[MAIN] = NEW
    time.moves += 1
    assert seen.recent() is None
    assert before != seen.read(repo).state() == seen.recent()


def test_a_look_that_a_move_overtakes_does_not_stand_for_the_time_after(repo: Repo) -> None:
    time = Time()
    overtaken = SeenRefs(Kind.MEMBER, lambda: time.moves, now=lambda: moved(time))

    def moved(time: Time) -> float:
        time.moves += 1  # between the count and the reading
        return time.now

    overtaken.read(repo)
    assert overtaken.recent() is None


def test_members_see_branches_and_tags_and_operators_where_members_stand_too(repo: Repo) -> None:
    for name in (b"refs/tags/v1", b"refs/members/node-1/active", b"refs/mftgit/fetched"):
        repo.refs[Ref(name)] = OLD
    member = {b"HEAD", b"refs/heads/main", b"refs/tags/v1"}
    assert Refs.of(repo, Kind.MEMBER).public.keys() == member
    assert Refs.of(repo, Kind.OPERATOR).public.keys() == member | {b"refs/members/node-1/active"}


def test_what_stands_for_another_ref_is_told_to_whoever_sees_it(repo: Repo) -> None:
    stands = Ref(b"refs/members/node-1/active")
    repo.refs[stands] = OLD  # makes its folder
    repo.refs.set_symbolic_ref(stands, MAIN)
    assert Refs.of(repo, Kind.MEMBER).symbolic == {b"HEAD": MAIN}
    assert Refs.of(repo, Kind.OPERATOR).symbolic == {b"HEAD": MAIN, stands: MAIN}


def test_a_ref_that_names_nothing_that_is_here_is_damage(repo: Repo) -> None:
    repo.refs[MAIN] = ObjectID(b"1" * 40)
    with pytest.raises(BrokenHistoryError, match="which is not here"):
        Refs.of(repo, Kind.MEMBER)
