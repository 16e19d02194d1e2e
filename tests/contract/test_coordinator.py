"""What every coordinator promises; run over each implementation there is."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from coordination import Member, Site, shared_folder_site
from etcd_cluster import Cluster
from waiting import WAIT_S

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.coordinator import SessionLostError, Wish
from mftgit.adapters.shared.folder import SharedFolderCoordinator
from mftgit.model.names import MemberName, TransferName
from mftgit.model.ownership.lease import deadline
from mftgit.model.ownership.standing import Handover, Standing
from mftgit.model.ownership.view import FREE, View

T, U = TransferName("t"), TransferName("u")
ONE, TWO = MemberName("one"), MemberName("two")


@pytest.fixture(params=["shared-folder", pytest.param("etcd", marks=pytest.mark.needs("etcd"))])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    """Members that coordinate over one place."""
    if request.param == "shared-folder":
        return shared_folder_site(tmp_path)
    etcds: Cluster = request.getfixturevalue("etcds")
    return etcds.site()


def test_a_free_key_is_taken_by_the_first_and_by_nobody_else(site: Site) -> None:
    one, two = site.member("one"), site.member("two")
    assert two.view(T) == FREE

    epoch = one.take(T)

    assert epoch is not None
    assert epoch >= 1
    assert two.take(T) is None
    seen = two.view(T)
    assert (seen.owner, seen.epoch, seen.why) == (ONE, epoch, "a test")
    assert seen.since is not None


def test_keys_have_nothing_to_do_with_each_other(site: Site) -> None:
    one, two = site.member("one"), site.member("two")
    assert one.take(T) is not None
    assert two.take(U) is not None
    assert one.view(U).owner == TWO


def test_of_several_wishes_those_that_are_free_are_granted(site: Site) -> None:
    one, two = site.member("one"), site.member("two")
    one.take(T)
    taken = two.coordinator.take(two.session, {T: Wish(why=""), U: Wish(why="")})
    assert taken.keys() == {U}


def test_what_one_has_is_given_to_it_again(site: Site) -> None:
    one = site.member("one")
    assert one.take(T) == one.take(T)


def test_a_session_that_is_renewed_keeps_all_that_it_has(site: Site) -> None:
    one, two = site.member("one"), site.member("two")
    one.take(T)
    one.take(U)
    for _ in range(6):
        site.pass_s(site.ttl_s / 3)
        before = site.now()
        one.renew()
        assert one.session.sent_at >= before
        two.renew()
        assert two.take(T) is None
        assert two.view(U).owner == ONE


def test_a_silent_owner_is_succeeded_after_its_deadline_and_not_before(site: Site) -> None:
    one, two = site.member("one"), site.member("two")
    epoch = site.taken_at_once(one, T)
    assert two.take(T) is None  # only now does it begin to watch
    while site.now() < deadline(one.session.sent_at, site.ttl_s):
        assert two.take(T) is None
        two.renew()
        site.pass_s(site.ttl_s / 20)
    taken = site.taken_by(two, T)
    assert taken > epoch
    assert site.now() > deadline(one.session.sent_at, site.ttl_s)
    assert one.session.id != two.session.id
    with pytest.raises(SessionLostError):
        one.renew()


def test_a_key_of_a_silent_owner_says_that_it_was_silent(site: Site) -> None:
    one, two = site.member("one"), site.member("two")
    epoch = one.take(T)
    two.view(T)
    site.until(lambda: two.view(T).owner is None, renewing=[two])
    handover = two.view(T).handover
    assert handover is not None
    assert handover.epoch == epoch
    assert handover.why == f"one was silent for {site.ttl_s:g} s"
    assert ONE not in two.coordinator.look().members


def test_a_watcher_that_has_just_come_waits_too(site: Site) -> None:
    one = site.member("one")
    one.take(T)
    site.pass_s(site.ttl_s / 2)
    one.renew()
    two = site.member("two")
    assert two.take(T) is None
    assert site.taken_by(two, T) > 0
    assert site.now() > deadline(one.session.sent_at, site.ttl_s)


def test_a_key_that_is_given_back_is_taken_at_once_and_the_words_are_read(site: Site) -> None:
    one, two = site.member("one"), site.member("two")
    epoch = one.take(T)
    one.take(U)
    assert epoch is not None
    words = Handover(epoch=epoch, why="two is preferred", to=TWO, stays=True)

    one.coordinator.give_back(one.session, {T: words})

    assert two.view(T) == View(epoch=epoch, handover=words)
    assert two.view(U).owner == ONE
    taken = two.take(T)
    assert taken is not None
    assert taken > epoch
    assert one.view(T).owner == TWO
    assert two.take(U) is None


def test_what_was_given_back_can_be_taken_again_under_a_higher_epoch(site: Site) -> None:
    one = site.member("one")
    epochs = []
    for _ in range(5):
        epoch = one.take(T)
        assert epoch is not None
        epochs.append(epoch)
        one.coordinator.give_back(one.session, {T: Handover(epoch=epoch)})
    assert epochs == sorted(set(epochs))


def test_an_epoch_is_above_what_is_asked_for_and_stays_above(site: Site) -> None:
    one, two = site.member("one"), site.member("two")
    epoch = one.take(T, above=1_000_000)
    assert epoch is not None
    assert epoch > 1_000_000
    one.coordinator.give_back(one.session, {T: Handover(epoch=epoch)})
    higher = two.take(T, above=epoch + 5)
    assert higher is not None
    assert higher > epoch + 5
    assert one.view(T).epoch == higher


def test_a_session_that_is_closed_frees_all_at_once_and_says_why(site: Site) -> None:
    one, two = site.member("one"), site.member("two")
    one.take(T)
    one.take(U)
    assert two.view(T).owner == ONE

    one.coordinator.close(one.session, "one was stopped")

    assert ONE not in two.coordinator.look().members
    handover = two.view(U).handover
    assert handover is not None
    assert handover.why == "one was stopped"
    assert two.take(T) is not None
    assert two.take(U) is not None
    with pytest.raises(SessionLostError):
        one.renew()


def test_what_a_member_tells_of_itself_is_seen_by_all(site: Site) -> None:
    one, two = site.member("one"), site.member("two")
    standing = Standing(draining=True, aside=frozenset({T, U}))
    one.coordinator.tell(one.session, standing)
    seen = two.coordinator.look().members
    assert seen.keys() == {ONE, TWO}
    assert seen[ONE] == standing
    assert seen[TWO] == Standing()
    assert one.coordinator.look().members == seen


def test_while_nothing_changes_a_look_returns_the_same_object(site: Site) -> None:
    one, two = site.member("one"), site.member("two")
    one.take(T)
    sight = two.coordinator.look()
    one.renew()
    assert two.coordinator.look() is sight
    one.take(U)
    assert two.coordinator.look() is not sight


def test_a_member_that_comes_back_waits_for_its_own_former_session(site: Site) -> None:
    one = site.member("one")
    epoch = site.taken_at_once(one, T)
    again = site.member("one")
    assert again.take(T) is None
    assert again.view(T).owner == ONE
    assert site.taken_by(again, T) > epoch


def test_a_session_that_was_lost_may_be_followed_by_another(site: Site) -> None:
    one, two = site.member("one"), site.member("two")
    epoch = site.taken_at_once(one, T)
    two.view(T)
    site.until(lambda: two.view(T).owner is None, renewing=[two])
    with pytest.raises(SessionLostError):
        one.renew()
    one.open()
    assert site.taken_at_once(one, T) > epoch


@pytest.mark.parametrize("key", ["..", "../../x", "/etc/x", "a/b", ".", "ü", "x" * 400, "a b"])
def test_whatever_a_key_is_it_is_one_key(site: Site, key: str) -> None:
    one, two = site.member("one"), site.member("two")
    name = TransferName(key)
    assert one.take(name) is not None
    assert two.take(name) is None
    assert two.view(name).owner == ONE
    assert two.take(TransferName(key + "x")) is not None


def test_of_racing_members_one_wins(site: Site) -> None:
    members = [site.member(f"m{number}") for number in range(5)]
    for turn in range(10):
        with ThreadPoolExecutor(len(members)) as pool:
            taken = list(
                pool.map(lambda each, key=f"t{turn}": each.take(TransferName(key)), members)
            )
        assert sum(epoch is not None for epoch in taken) == 1


def race(folder: Path, number: int, barrier: Barrier, won: "Queue[tuple[int, int]]") -> None:
    clock = SystemClock()
    member = Member(
        SharedFolderCoordinator(folder, member=MemberName(f"m{number}"), ttl_s=60.0, clock=clock)
    )
    for turn in range(10):
        barrier.wait()
        member.coordinator.look()
        epoch = member.take(T)
        barrier.wait()
        if epoch is not None:
            won.put((turn, epoch))
            member.coordinator.give_back(member.session, {T: Handover(epoch=epoch)})


def test_of_racing_processes_one_wins_every_epoch(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier, won = context.Barrier(4), context.Queue()
    processes = [
        context.Process(target=race, args=(tmp_path, number, barrier, won)) for number in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(WAIT_S)
    results = sorted(won.get(timeout=WAIT_S) for _ in range(10))
    assert results == [(turn, turn + 1) for turn in range(10)]
    won.close()
    won.join_thread()
