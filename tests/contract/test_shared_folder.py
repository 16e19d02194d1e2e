"""Sessions and leases as files: what the storage may do to them, and what members that freeze may."""

import errno
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from clocks import SetClock
from coordination import TTL_S, Member, Site, shared_folder_site

from mftgit.adapters.coordinator import CoordinatorUnavailableError, SessionLostError, Wish
from mftgit.adapters.durable import write_file
from mftgit.adapters.shared import epochs as shared_epochs
from mftgit.adapters.shared import folder as shared_folder
from mftgit.adapters.shared.folder import SharedFolderCoordinator
from mftgit.model.names import Epoch, MemberName, TransferName
from mftgit.model.ownership.lease import deadline
from mftgit.model.ownership.standing import Handover, Standing
from mftgit.model.ownership.view import FREE

T = TransferName("t")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return shared_folder_site(tmp_path)


def sessions(root: Path) -> list[Path]:
    return sorted((root / "coordination" / "sessions").iterdir())


def lease(root: Path) -> Path:
    return root / "coordination" / "leases" / "lease-t"


def test_a_watcher_with_a_shorter_ttl_waits_for_the_owner_s_own(tmp_path: Path) -> None:
    clock = SetClock()

    def member(name: str, ttl_s: float) -> Member:
        return Member(
            SharedFolderCoordinator(tmp_path, member=MemberName(name), ttl_s=ttl_s, clock=clock)
        )

    owner, watcher = member("one", 10.0), member("two", 2.0)
    owner.take(T)
    assert watcher.take(T) is None
    clock.pass_s(deadline(0, 10.0))  # the owner may go on until here
    assert watcher.take(T) is None
    clock.pass_s(10.0 - deadline(0, 10.0))
    assert watcher.take(T) == 2


def test_a_watcher_that_freezes_before_it_ends_a_session_does_not_end_one_that_went_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = site.member("one"), site.member("two")
    one.take(T)
    two.view(T)
    site.pass_s(TTL_S)
    real_link = os.link
    renewals: list[int] = []

    def renew_then_link(old: Path, new: Path) -> None:
        if "beat" in Path(new).name and Path(old).name != "own":
            monkeypatch.setattr(os, "link", real_link)
            renewals.append((1, 2, 40)[len(renewals)])  # of 40 the first are swept: free again
            for _ in range(renewals[-1]):
                one.renew()  # late, and in the last moment
        real_link(old, new)

    for _ in range(3):
        monkeypatch.setattr(os, "link", renew_then_link)
        assert two.view(T).owner == "one"
        assert two.take(T) is None
        one.renew()
        two.view(T)
        site.pass_s(TTL_S)
    assert renewals == [1, 2, 40]
    assert two.take(T) == 2
    with pytest.raises(SessionLostError, match="another member has ended"):
        one.renew()


def test_of_owner_and_watcher_that_meet_in_the_last_moment_one_wins(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = site.member("one"), site.member("two")
    one.take(T)
    two.view(T)
    site.pass_s(TTL_S)
    real_link = os.link

    def end_then_link(old: Path, new: Path) -> None:
        if Path(old).name == "own":
            monkeypatch.setattr(os, "link", real_link)
            assert two.view(T).owner is None
        real_link(old, new)

    monkeypatch.setattr(os, "link", end_then_link)
    with pytest.raises(SessionLostError):
        one.renew()
    assert two.take(T) == 2


def test_who_sees_a_session_ended_by_another_need_not_wait(site: Site) -> None:
    one, two = site.member("one"), site.member("two")
    one.take(T)
    two.view(T)
    site.pass_s(TTL_S)
    assert two.view(T).owner is None
    assert site.member("three").take(T) == 2


@pytest.mark.parametrize("what", ["beat", "epoch"])
def test_a_link_whose_reply_was_lost_counts(
    site: Site, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    one = site.member("one")
    real_link = os.link

    def link_and_fail(old: Path, new: Path) -> None:
        real_link(old, new)
        if what in Path(new).name:
            raise OSError(5, "reply lost")

    monkeypatch.setattr(os, "link", link_and_fail)
    one.renew()
    assert one.take(T) == 1


def test_storage_that_cannot_link_is_told_and_nothing_is_taken(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one = site.member("one")

    def refuse(_old: Path, _new: Path) -> None:
        raise OSError(1, "operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(CoordinatorUnavailableError, match="operation not permitted"):
        one.take(T)
    assert not lease(tmp_path).exists()
    with pytest.raises(CoordinatorUnavailableError, match="operation not permitted"):
        one.renew()


def test_storage_that_is_away_is_told_by_every_call_and_recovers(
    site: Site, tmp_path: Path
) -> None:
    one = site.member("one")
    one.take(T)
    folder = tmp_path / "coordination"
    folder.rename(tmp_path / "away")
    folder.write_bytes(b"in the way")
    calls: list[Callable[[], object]] = [
        lambda: one.coordinator.take(one.session, {TransferName("u"): Wish(why="")}),
        one.renew,
        one.coordinator.look,
        lambda: one.coordinator.give_back(one.session, {T: Handover(epoch=Epoch(1))}),
        lambda: one.coordinator.tell(one.session, Standing(draining=True)),
        lambda: site.make("two").open(Standing()),
    ]
    for call in calls:
        with pytest.raises(CoordinatorUnavailableError, match="does not answer"):
            call()
    folder.unlink()
    (tmp_path / "away").rename(folder)
    one.renew()
    assert one.view(T).owner == "one"
    assert site.member("two").view(T).owner == "one"
    one.coordinator.give_back(one.session, {T: Handover(epoch=Epoch(1))})
    assert site.member("three").take(T) == 2


@pytest.mark.parametrize("key", ["..", "../../x", "/etc/x", "a/b", "", ".", "ü\0\n", "x" * 400])
def test_no_key_leaves_the_folder(site: Site, tmp_path: Path, key: str) -> None:
    assert site.member("one").take(TransferName(key)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["coordination"]
    (only,) = (tmp_path / "coordination" / "leases").iterdir()
    assert [path.name for path in only.iterdir()] == ["epoch-000000000001"]


def test_old_epochs_and_beats_are_swept_and_the_last_ones_kept(site: Site, tmp_path: Path) -> None:
    one = site.member("one")
    for _ in range(30):
        epoch = site.taken_at_once(one, T)
        one.coordinator.give_back(one.session, {T: Handover(epoch=epoch)})
        one.renew()
    epochs = sorted(path.name for path in lease(tmp_path).iterdir())
    assert epochs == [f"epoch-{number:012d}" for number in range(26, 31)]
    (session,) = sessions(tmp_path)
    beats = sorted(path.name for path in session.glob("beat-*"))
    assert beats == [f"beat-{number:012d}" for number in range(12, 32)]


def test_sessions_that_ended_are_swept_and_one_that_was_swept_is_waited_for(
    site: Site, tmp_path: Path
) -> None:
    one, two = site.member("one"), site.member("two")
    one.take(T)
    two.view(T)
    site.until(lambda: two.view(T).owner is None, renewing=[two])
    assert len(sessions(tmp_path)) == 2
    site.pass_s(10 * TTL_S)
    two.renew()
    two.view(T)
    assert [path.name.partition(".")[0] for path in sessions(tmp_path)] == ["two"]
    assert two.view(T) == FREE or two.view(T).owner is None
    three = site.member("three")
    assert three.take(T) is None  # the file of its epoch names nobody that it knows
    site.pass_s(TTL_S)
    assert three.take(T) == 2


def test_an_owner_that_wakes_while_its_session_is_swept_has_lost_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = site.member("one"), site.member("two")
    one.take(T)
    two.view(T)
    site.until(lambda: two.view(T).owner is None, renewing=[two])
    site.pass_s(10 * TTL_S)
    woken: list[Path] = []
    real_rmtree = shutil.rmtree

    def remove_signs_then_wake(path: Path, *, ignore_errors: bool) -> None:
        for beat in path.glob("beat-*"):  # the order is the storage's own
            beat.unlink()
        if path.name.lstrip(".") == one.session.id and path.exists():
            with pytest.raises(SessionLostError):
                one.renew()
            woken.append(path)
        real_rmtree(path, ignore_errors=ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", remove_signs_then_wake)
    two.renew()
    two.view(T)
    assert woken


def test_what_was_taken_and_could_not_be_told_is_free_for_others_once_it_is_not_wanted(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = site.member("one"), site.member("two")

    def full(path: Path, content: bytes) -> None:
        if path.name == "told.json":
            raise OSError(errno.ENOSPC, "no space left on device", str(path))
        write_file(path, content)

    monkeypatch.setattr(shared_folder, "write_file", full)
    with pytest.raises(CoordinatorUnavailableError, match="no space"):
        one.take(T)
    one.view(T)
    monkeypatch.setattr(shared_folder, "write_file", write_file)
    assert two.take(T) is None  # one may ask for it again
    for _ in range(6):
        site.pass_s(TTL_S / 4)
        one.renew()
        two.renew()
        one.view(T)  # it is drained, or has another revision: it does not
    assert two.take(T) == 2
    assert two.view(T).owner == "two"
    assert one.view(T).owner == "two"


def test_a_session_whose_folder_is_removed_is_lost_and_waited_for(
    site: Site, tmp_path: Path
) -> None:
    one, two = site.member("one"), site.member("two")
    one.take(T)
    two.view(T)
    (folder,) = (path for path in sessions(tmp_path) if path.name.startswith("one"))
    shutil.rmtree(folder)
    with pytest.raises(SessionLostError, match="is gone"):
        one.renew()
    with pytest.raises(SessionLostError, match="is gone"):
        one.coordinator.tell(one.session, Standing(draining=True))
    assert two.take(T) is None
    assert two.view(T).owner == "one"
    site.pass_s(TTL_S)
    assert two.take(T) == 2


def test_a_lease_whose_folder_was_removed_goes_on_above_what_was_seen(
    site: Site, tmp_path: Path
) -> None:
    one, two = site.member("one"), site.member("two")
    for _ in range(3):
        epoch = site.taken_at_once(one, T)
        one.coordinator.give_back(one.session, {T: Handover(epoch=epoch)})
    two.view(T)
    shutil.rmtree(lease(tmp_path))
    assert two.take(T) == 4


def test_a_key_that_nobody_saw_goes_on_above_what_other_traces_tell(tmp_path: Path) -> None:
    coordinator = SharedFolderCoordinator(
        tmp_path,
        member=MemberName("one"),
        ttl_s=TTL_S,
        clock=SetClock(),
        remembered=lambda key: Epoch(len(key) * 10),
    )
    assert Member(coordinator).take(T) == 11


@pytest.mark.parametrize("content", [b"", b"\xff", b"{}", b'{"holds": 3}'])
def test_a_session_that_tells_nonsense_keeps_what_the_epochs_say(
    site: Site, tmp_path: Path, content: bytes
) -> None:
    one, two = site.member("one"), site.member("two")
    one.take(T)
    (folder,) = (path for path in sessions(tmp_path) if path.name.startswith("one"))
    (folder / "told.json").write_bytes(content)
    assert two.view(T).owner is None
    assert two.take(T) is None
    one.renew()
    assert two.take(T) is None


@pytest.mark.parametrize("content", [b"", b"\xff", b"../x", b"two\nlines"])
def test_an_epoch_that_names_no_session_is_waited_for(
    site: Site, tmp_path: Path, content: bytes
) -> None:
    one = site.member("one")
    lease(tmp_path).mkdir(parents=True)
    (lease(tmp_path) / "epoch-000000000007").write_bytes(content)
    assert one.take(T) is None
    site.pass_s(TTL_S)
    assert one.take(T) == 8


def test_who_takes_under_a_frozen_listing_does_not_win_an_epoch_long_past(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = site.member("one"), site.member("two")
    real_link = os.link

    def take_meanwhile(old: Path, new: Path) -> None:
        monkeypatch.setattr(os, "link", real_link)
        for _ in range(8):  # so that the name that is made now is free again
            epoch = site.taken_at_once(two, T)
            two.coordinator.give_back(two.session, {T: Handover(epoch=epoch)})
        site.taken_at_once(two, T)
        real_link(old, new)

    one.view(T)
    monkeypatch.setattr(os, "link", take_meanwhile)
    assert one.coordinator.take(one.session, {T: Wish(why="")}) == {}
    assert one.view(T).owner == "two"
    assert one.view(T).epoch == 9


def test_more_leases_are_taken_than_a_file_may_have_names(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_epochs, "_LINKS", 10)
    one, two = site.member("one"), site.member("two")
    names = [TransferName(f"t-{number}") for number in range(25)]
    assert two.take(names[7]) == 1
    one.coordinator.look()

    taken = one.coordinator.take(one.session, {name: Wish(why="a test") for name in names})

    assert set(names) - taken.keys() == {names[7]}
    proofs = sessions(tmp_path)[0].glob("proof-*")
    assert sorted(path.stat().st_nlink for path in proofs) == [5, 11, 11]  # with its own name
    assert {view.owner for view in two.coordinator.look().views.values()} == {"one", "two"}


def test_of_several_leases_those_are_taken_whose_folders_the_storage_lets_be_written(
    site: Site, tmp_path: Path
) -> None:
    one = site.member("one")
    lease(tmp_path).parent.mkdir(parents=True)
    lease(tmp_path).write_bytes(b"no folder")
    wishes = {name: Wish(why="a test") for name in (T, TransferName("u"), TransferName("v"))}
    assert one.coordinator.take(one.session, wishes) == {"u": 1, "v": 1}
    with pytest.raises(CoordinatorUnavailableError, match="the lease t"):
        one.take(T)


def test_a_session_is_seen_whole_or_not_at_all_and_a_half_made_one_is_removed(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = site.member("two")
    seen: list[set[str]] = []
    real_link = os.link

    def look_then_link(old: Path, new: Path) -> None:
        seen.append(set(two.coordinator.look().members))
        real_link(old, new)

    def die(_old: Path, _new: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "link", die)
    with pytest.raises(KeyboardInterrupt):
        site.make("one").open(Standing())
    monkeypatch.setattr(os, "link", look_then_link)
    site.member("one")
    assert seen == [{"two"}]
    assert two.coordinator.look().members.keys() == {"one", "two"}
    assert [path.name.partition(".")[0] for path in sessions(tmp_path)] == ["one", "two"]


def test_it_is_told_when_a_session_will_have_been_silent_for_long_enough(site: Site) -> None:
    one = site.member("one")
    one.coordinator.look()
    assert one.coordinator.due_in_s() == math.inf
    two, three = site.member("two"), site.member("three")
    one.coordinator.look()
    site.pass_s(0.5)
    two.renew()
    one.coordinator.look()
    assert one.coordinator.due_in_s() == pytest.approx(TTL_S - 0.5)  # that of three
    three.renew()
    one.coordinator.look()
    site.pass_s(TTL_S - 0.1)
    assert one.coordinator.due_in_s() == pytest.approx(0.1)
    site.pass_s(one.coordinator.due_in_s())
    assert len(one.coordinator.look().members) == 1
    assert one.coordinator.due_in_s() == math.inf
