"""What every coordinator promises; run over each implementation there is."""

import multiprocessing
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.coordinator import (
    Coordinator,
    CoordinatorUnavailableError,
    Grant,
    LeaseLostError,
    View,
)
from mftgit.adapters.shared_folder import SharedFolderCoordinator
from mftgit.model.lease import deadline, wait_s
from mftgit.model.names import Epoch, MemberName

TTL_S = 10.0


class Clock(SystemClock):
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.at = 1000.0

    def boottime(self) -> float:
        return self.at


Make = Callable[[str, Clock], Coordinator]


@pytest.fixture(params=["shared-folder"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Return what makes a member's coordinator; all of one test share what they coordinate over."""
    assert request.param == "shared-folder"

    def build(member: str, clock: Clock) -> Coordinator:
        return SharedFolderCoordinator(
            tmp_path / "leases", member=MemberName(member), ttl_s=TTL_S, clock=clock
        )

    return build


def acquired(coordinator: Coordinator, key: str = "t") -> Grant:
    grant = coordinator.try_acquire(key)
    assert grant is not None
    return grant


def test_a_free_lease_is_given_to_the_first_and_to_nobody_else(make: Make) -> None:
    clock = Clock()
    one, two = make("one", clock), make("two", clock)
    assert two.observe("t") == View(owner=None, epoch=Epoch(0))

    grant = acquired(one)

    assert (grant.key, grant.epoch, grant.sent_at, grant.ttl_s) == ("t", 1, 1000.0, TTL_S)
    assert two.try_acquire("t") is None
    assert two.observe("t") == View(owner=MemberName("one"), epoch=Epoch(1))


def test_leases_of_different_keys_have_nothing_to_do_with_each_other(make: Make) -> None:
    clock = Clock()
    one, two = make("one", clock), make("two", clock)
    assert acquired(one, "a").epoch == 1
    assert acquired(two, "b").epoch == 1


def test_a_lease_that_is_renewed_is_never_taken(make: Make) -> None:
    clock = Clock()
    one, two = make("one", clock), make("two", clock)
    grant = acquired(one)
    for _ in range(20):
        clock.at += TTL_S / 3
        grant = one.renew(grant)
        assert two.try_acquire("t") is None
        assert grant.sent_at == clock.at
        assert grant.epoch == 1


def test_a_silent_owner_is_succeeded_after_the_wait_and_not_before(make: Make) -> None:
    clock = Clock()
    one, two = make("one", clock), make("two", clock)
    acquired(one)
    assert two.try_acquire("t") is None  # only now does it begin to watch
    clock.at += wait_s(TTL_S) - 0.01
    assert two.try_acquire("t") is None
    clock.at += 0.02
    assert two.observe("t").owner is None
    assert acquired(two).epoch == 2


def test_a_watcher_that_has_just_come_waits_from_its_own_first_look(make: Make) -> None:
    clock = Clock()
    acquired(make("one", clock))
    clock.at += 10 * TTL_S
    two = make("two", clock)
    assert two.try_acquire("t") is None
    clock.at += wait_s(TTL_S) + 0.01
    assert acquired(two).epoch == 2


def test_a_watcher_with_a_shorter_ttl_waits_for_the_owner_s_own(tmp_path: Path) -> None:
    clock = Clock()
    owner = SharedFolderCoordinator(tmp_path, member=MemberName("one"), ttl_s=TTL_S, clock=clock)
    watcher = SharedFolderCoordinator(tmp_path, member=MemberName("two"), ttl_s=2.0, clock=clock)
    grant = acquired(owner)
    assert watcher.try_acquire("t") is None
    clock.at = deadline(grant.sent_at, grant.ttl_s)  # the owner may go on until here
    assert watcher.try_acquire("t") is None
    clock.at = 1000.0 + wait_s(TTL_S) + 0.01
    assert acquired(watcher).epoch == 2


def test_a_lease_that_is_released_is_taken_at_once(make: Make) -> None:
    clock = Clock()
    one, two = make("one", clock), make("two", clock)
    one.release(acquired(one))
    assert two.observe("t") == View(owner=None, epoch=Epoch(1))
    assert acquired(two).epoch == 2


def test_an_owner_is_told_that_a_higher_epoch_has_taken_over(make: Make) -> None:
    clock = Clock()
    one, two = make("one", clock), make("two", clock)
    grant = acquired(one)
    two.try_acquire("t")
    clock.at += wait_s(TTL_S) + 0.01
    assert acquired(two).epoch == 2
    with pytest.raises(LeaseLostError, match="from epoch 1 to 2"):
        one.renew(grant)


def test_a_late_release_does_not_free_the_lease_of_the_successor(make: Make) -> None:
    clock = Clock()
    one, two, three = (make(name, clock) for name in ("one", "two", "three"))
    grant = acquired(one)
    two.try_acquire("t")
    clock.at += wait_s(TTL_S) + 0.01
    acquired(two)
    one.release(grant)
    assert three.try_acquire("t") is None


def test_epochs_only_rise_over_releases_and_restarts(make: Make) -> None:
    clock = Clock()
    epochs = []
    for turn in range(12):
        fresh = make("one" if turn % 2 else "two", clock)
        grant = acquired(fresh)
        epochs.append(grant.epoch)
        fresh.release(fresh.renew(grant))
    assert epochs == list(range(1, 13))


def test_a_restarted_member_waits_for_its_own_lease_like_any_other(make: Make) -> None:
    clock = Clock()
    acquired(make("one", clock))
    again = make("one", clock)
    assert again.try_acquire("t") is None
    clock.at += wait_s(TTL_S) + 0.01
    assert acquired(again).epoch == 2


def test_of_racing_threads_one_wins(make: Make) -> None:
    clock = Clock()
    for turn in range(20):
        members = [make(f"m{number}", clock) for number in range(8)]
        with ThreadPoolExecutor(8) as pool:
            grants = list(
                pool.map(
                    lambda member, key=f"t{turn}": member.try_acquire(key),
                    members,
                )
            )
        assert [grant.epoch for grant in grants if grant is not None] == [1]


def race(folder: Path, number: int, barrier: Barrier, won: "Queue[tuple[int, int]]") -> None:
    member = SharedFolderCoordinator(
        folder, member=MemberName(f"m{number}"), ttl_s=TTL_S, clock=SystemClock()
    )
    for turn in range(10):
        barrier.wait()
        grant = member.try_acquire("t")
        barrier.wait()
        if grant is not None:
            won.put((turn, grant.epoch))
            member.release(grant)


def test_of_racing_processes_one_wins_every_epoch(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier, won = context.Barrier(4), context.Queue()
    processes = [
        context.Process(target=race, args=(tmp_path, number, barrier, won)) for number in range(4)
    ]
    for process in processes:
        process.start()
    results = sorted(won.get(timeout=30) for _ in range(10))
    for process in processes:
        process.join()
    assert results == [(turn, turn + 1) for turn in range(10)]
    won.close()
    won.join_thread()


def test_an_epoch_is_higher_than_what_is_asked_for(make: Make) -> None:
    clock = Clock()
    one, two = make("one", clock), make("two", clock)
    grant = one.try_acquire("t", above=Epoch(7))
    assert grant is not None
    assert grant.epoch == 8
    one.release(one.renew(grant))
    assert acquired(two).epoch == 9


# What follows is about files in a folder.


def folder_member(folder: Path, name: str, clock: Clock) -> SharedFolderCoordinator:
    return SharedFolderCoordinator(folder, member=MemberName(name), ttl_s=TTL_S, clock=clock)


def test_a_beat_between_look_and_epoch_holds_the_taker_back_until_it_has_run_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    one, two = folder_member(tmp_path, "one", clock), folder_member(tmp_path, "two", clock)
    grant = acquired(one)
    two.try_acquire("t")
    clock.at += wait_s(TTL_S) + 0.01
    real_link = os.link
    renewed: list[Grant] = []

    def renew_then_link(old: Path, new: Path) -> None:
        renewed.append(one.renew(grant))  # the owner, late, in the last moment
        real_link(old, new)

    monkeypatch.setattr(os, "link", renew_then_link)
    assert two.try_acquire("t") is None
    monkeypatch.undo()

    ends = renewed[0].sent_at + wait_s(TTL_S)
    assert ends > deadline(renewed[0].sent_at, TTL_S)
    while clock.at < ends:
        assert two.try_acquire("t") is None
        assert folder_member(tmp_path, "three", clock).try_acquire("t") is None
        clock.at += TTL_S / 10
    with pytest.raises(LeaseLostError):
        one.renew(grant)
    granted = acquired(two)
    assert granted.epoch == 2
    assert granted.sent_at == clock.at


def test_a_taker_that_dies_while_it_is_held_back_is_succeeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    one, two, three = (folder_member(tmp_path, name, clock) for name in ("one", "two", "three"))
    grant = acquired(one)
    two.try_acquire("t")
    clock.at += wait_s(TTL_S) + 0.01
    real_link = os.link

    def renew_then_link(old: Path, new: Path) -> None:
        one.renew(grant)
        real_link(old, new)

    monkeypatch.setattr(os, "link", renew_then_link)
    assert two.try_acquire("t") is None
    monkeypatch.undo()
    assert three.try_acquire("t") is None
    clock.at += wait_s(TTL_S) + 0.01
    assert acquired(three).epoch == 3
    assert two.try_acquire("t") is None  # it gives its epoch up


def test_a_link_whose_reply_was_lost_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_link = os.link

    def link_and_fail(old: Path, new: Path) -> None:
        real_link(old, new)
        raise OSError(5, "reply lost")

    monkeypatch.setattr(os, "link", link_and_fail)
    assert acquired(folder_member(tmp_path, "one", Clock())).epoch == 1


def test_storage_that_cannot_link_is_told_and_nothing_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_old: Path, _new: Path) -> None:
        raise OSError(1, "operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(CoordinatorUnavailableError, match="operation not permitted"):
        folder_member(tmp_path, "one", Clock()).try_acquire("t")
    assert [path.name for path in tmp_path.glob("*/*")] == []


def test_storage_that_is_away_is_told_by_every_call_and_recovers(tmp_path: Path) -> None:
    clock = Clock()
    folder = tmp_path / "leases"
    one = folder_member(folder, "one", clock)
    grant = acquired(one)
    folder.rename(tmp_path / "away")
    folder.write_bytes(b"in the way")
    for call in (
        lambda: one.try_acquire("t"),
        lambda: one.renew(grant),
        lambda: one.observe("t"),
        lambda: one.release(grant),
    ):
        with pytest.raises(CoordinatorUnavailableError, match="does not answer"):
            call()
    folder.unlink()
    (tmp_path / "away").rename(folder)
    assert one.renew(grant).epoch == 1


@pytest.mark.parametrize("key", ["..", "../../x", "/etc/x", "a/b", "", ".", "ü\0\n", "x" * 400])
def test_no_key_leaves_the_folder(tmp_path: Path, key: str) -> None:
    folder = tmp_path / "leases"
    assert acquired(folder_member(folder, "one", Clock()), key).epoch == 1
    assert [path.name for path in tmp_path.iterdir()] == ["leases"]
    (only,) = folder.iterdir()
    assert only.is_dir()
    assert sorted(path.name for path in only.iterdir()) == [
        "beat-000000000001",
        "epoch-000000000001",
    ]


def test_long_keys_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    one = folder_member(tmp_path, "one", Clock())
    assert acquired(one, "x" * 400).epoch == 1
    assert acquired(one, "x" * 401).epoch == 1


def test_old_epochs_are_swept_and_the_last_ones_kept(tmp_path: Path) -> None:
    one = folder_member(tmp_path, "one", Clock())
    for _ in range(30):
        one.release(acquired(one))
    names = sorted(path.name for path in (tmp_path / "lease-t").iterdir())
    assert len(names) == 10
    assert names[-1] == "epoch-000000000030"


def test_a_removed_lease_folder_ends_the_ownership(tmp_path: Path) -> None:
    one = folder_member(tmp_path, "one", Clock())
    grant = acquired(one)
    (tmp_path / "lease-t" / "epoch-000000000001").unlink()
    with pytest.raises(LeaseLostError):
        one.renew(grant)


def test_a_lease_whose_folder_was_removed_goes_on_above_and_after_a_wait(tmp_path: Path) -> None:
    clock = Clock()
    one, two = folder_member(tmp_path, "one", clock), folder_member(tmp_path, "two", clock)
    for _ in range(3):
        one.release(acquired(one))
    grant = acquired(one)
    assert two.observe("t").owner == "one"
    shutil.rmtree(tmp_path / "lease-t")
    assert two.try_acquire("t") is None  # the owner may not have noticed
    with pytest.raises(LeaseLostError, match="from epoch 4 to 0"):
        one.renew(grant)
    clock.at += wait_s(TTL_S) - 0.01
    assert two.try_acquire("t") is None
    clock.at += 0.02
    assert acquired(two).epoch == 5
    assert one.try_acquire("t") is None


@pytest.mark.parametrize("content", [b"", b"\xff", b"../x", b"two\nlines"])
def test_a_file_of_an_epoch_that_names_nobody_has_no_owner_to_tell(
    tmp_path: Path, content: bytes
) -> None:
    clock = Clock()
    acquired(folder_member(tmp_path, "one", clock))
    (tmp_path / "lease-t" / "epoch-000000000001").write_bytes(content)
    watcher = folder_member(tmp_path, "two", clock)
    assert watcher.observe("t") == View(owner=None, epoch=Epoch(1))
    assert watcher.try_acquire("t") is None  # it has not run out
