"""Virtual folders, quotas, room, and what is swept away."""

import os
import stat
import threading
from pathlib import Path

import pytest
from clocks import SetClock
from homes import GO_ON, NEW, HomeSite, refused, rule, send
from small_disk import small_disk

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.home import usage as home_usage
from mftgit.adapters.home.contract import Home, HomeError, Opening, Refusal, Traits
from mftgit.adapters.home.sweep import Sweep, Swept
from mftgit.adapters.home.usage import Usages
from mftgit.model.inbound.account import Quota
from mftgit.model.inbound.permission import FULL, READ_ONLY, Act, Rule


@pytest.fixture
def site(tmp_path: Path) -> HomeSite:
    return HomeSite(tmp_path / "home")


def names(home: Home, path: str) -> list[str]:
    return sorted(name for name, _ in home.list(path))


# Virtual folders


@pytest.fixture
def shared(site: HomeSite) -> Path:
    folder = site.root.parent / "shared"
    folder.mkdir()
    (folder / "file").write_bytes(b"shared")
    return folder


def test_a_virtual_folder_is_seen_where_it_was_put_also_without_folders_on_disk(
    site: HomeSite, shared: Path
) -> None:
    home = site.open(folders={"/a/b/shared": shared})
    assert names(home, "/") == ["a"]
    assert names(home, "/a") == ["b"]
    assert names(home, "/a/b") == ["shared"]
    assert names(home, "/a/b/shared") == ["file"]
    assert all(stat.S_ISDIR(home.stat(each).mode) for each in ("/a", "/a/b", "/a/b/shared"))
    assert home.open_read("/a/b/shared/file").read(0, 99) == b"shared"
    done = send(home, "/a/b/shared/new", b"new")
    assert done is not None
    assert (done.path, done.file) == ("/a/b/shared/new", str(shared / "new"))
    assert (shared / "new").read_bytes() == b"new"
    assert refused(lambda: home.make_folder("/a/x", Traits())) is Refusal.MISSING
    assert refused(lambda: home.make_folder("/a/b", Traits())) is Refusal.EXISTS
    assert refused(lambda: home.list("/a/b/other")) is Refusal.MISSING


def test_a_virtual_folder_covers_what_is_on_disk_there(site: HomeSite, shared: Path) -> None:
    (site.root / "a").mkdir(parents=True)
    (site.root / "a" / "shared").write_bytes(b"covered")
    (site.root / "a" / "beside").write_bytes(b"")
    home = site.open(folders={"/a/shared": shared})
    assert names(home, "/a") == ["beside", "shared"]
    assert names(home, "/a/shared") == ["file"]
    assert home.open_read("/a/shared/file").read(0, 99) == b"shared"


def test_virtual_folders_stay_where_they_are(site: HomeSite, shared: Path) -> None:
    home = site.open(folders={"/a/shared": shared})
    for path in ("/", "/a", "/a/shared"):
        for call in (
            home.remove,
            home.remove_folder,
            lambda path: home.rename(path, "/other", replace=True),
            lambda path: home.open_write(path, NEW, Traits()),
            lambda path: home.set(path, Traits(mode=0o700)),
        ):
            assert refused(lambda call=call, path=path: call(path)) is Refusal.DENIED  # type: ignore[misc]


def test_nothing_is_renamed_from_one_storage_to_another(site: HomeSite, shared: Path) -> None:
    home = site.open(folders={"/shared": shared})
    send(home, "/a", b"a")
    assert refused(lambda: home.rename("/a", "/shared/a", replace=True)) is Refusal.ACROSS
    home.rename("/shared/file", "/shared/other", replace=False)
    assert names(home, "/shared") == ["other"]


def test_rules_are_those_of_the_accounts_paths(site: HomeSite, shared: Path) -> None:
    home = site.open(
        Rule(path="/", allow=FULL),
        Rule(path="/shared", allow=READ_ONLY),
        folders={"/shared": shared, "/shut/away": shared},
    )
    assert refused(lambda: send(home, "/shared/x", b"")) is Refusal.DENIED
    shut = site.open(rule("/"), Rule(path="/shared", allow=READ_ONLY), folders={"/shut": shared})
    assert names(shut, "/") == []
    assert refused(lambda: shut.stat("/shut")) is Refusal.MISSING
    assert refused(lambda: shut.open_read("/shut/file")) is Refusal.MISSING


def test_storage_that_is_not_there_is_told_to_who_goes_there(site: HomeSite) -> None:
    far = site.root.parent / "not" / "mounted"
    home = site.open(folders={"/far": far})
    assert names(home, "/") == ["far"] or names(home, "/") == []
    assert refused(lambda: list(home.list("/far"))) is Refusal.FAILED
    assert refused(lambda: send(home, "/far/x", b"")) is Refusal.FAILED
    assert refused(HomeSite(far).open) is Refusal.FAILED


# Quotas and room


def test_no_more_is_written_than_the_quota_leaves(site: HomeSite) -> None:
    home = site.open(quota=Quota(size_bytes=100))
    send(home, "/a", b"x" * 60)
    file = home.open_write("/b", NEW, Traits())
    file.write(0, b"x" * 40)
    assert refused(lambda: file.write(40, b"x")) is Refusal.OVER_QUOTA
    assert refused(lambda: file.set(Traits(size_bytes=41))) is Refusal.OVER_QUOTA
    file.set(Traits(size_bytes=40))
    file.write(0, b"y" * 40)
    file.close()
    home.remove("/a")
    file = home.open_write("/c", NEW, Traits())
    assert refused(lambda: file.write(60, b"x")) is Refusal.OVER_QUOTA  # far behind the end counts
    file.write(0, b"x" * 60)
    file.set(Traits(size_bytes=10))
    file.write(10, b"x" * 50)
    file.abandon()
    assert refused(lambda: home.open_write("/b", GO_ON, Traits())) is Refusal.OVER_QUOTA
    assert site.seen() == {"b": b"y" * 40}


def test_no_more_files_and_folders_are_made_than_the_quota_leaves(site: HomeSite) -> None:
    home = site.open(quota=Quota(files=2))
    send(home, "/a", b"")
    home.make_folder("/d", Traits())
    assert refused(lambda: home.open_write("/b", NEW, Traits())) is Refusal.OVER_QUOTA
    assert refused(lambda: home.make_folder("/e", Traits())) is Refusal.OVER_QUOTA
    assert refused(lambda: home.make_folder("/d", Traits())) is Refusal.OVER_QUOTA
    home.remove_folder("/d")
    assert refused(lambda: home.make_folder("/a", Traits())) is Refusal.EXISTS
    home.open_write("/b", NEW, Traits()).abandon()
    send(home, "/b", b"")
    home.rename("/b", "/a", replace=True)
    home.make_folder("/d", Traits())


def test_a_quota_counts_what_is_there_and_what_others_write_meanwhile(site: HomeSite) -> None:
    site.open().make_folder("/d", Traits())
    send(site.open(), "/d/a", b"x" * 60)
    (site.root / "d" / "link").symlink_to("/")
    clock = SetClock()
    usages = Usages(clock)
    first = site.open(quota=Quota(size_bytes=100), usages=usages)
    second = site.open(quota=Quota(size_bytes=100), usages=usages)
    send(first, "/b", b"x" * 30)
    assert refused(lambda: send(second, "/c", b"x" * 11)) is Refusal.OVER_QUOTA
    (site.root / "b").unlink()
    assert refused(lambda: send(second, "/c", b"x" * 11)) is Refusal.OVER_QUOTA
    clock.pass_s(31)
    send(second, "/c", b"x" * 11)


def test_a_home_that_cannot_be_counted_takes_no_more(
    site: HomeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in range(5):
        send(site.open(), f"/{each}", b"")
    monkeypatch.setattr(home_usage, "MAX_COUNTED", 4)
    home = site.open(quota=Quota(size_bytes=100))
    assert refused(lambda: send(home, "/a", b"")) is Refusal.OVER_QUOTA
    monkeypatch.undo()
    (site.root / "/".join("d" * 210)).mkdir(parents=True)
    assert refused(lambda: send(home, "/a", b"")) is Refusal.OVER_QUOTA


def test_no_file_gets_larger_than_the_account_may_send(site: HomeSite) -> None:
    home = site.open(max_file_bytes=10)
    file = home.open_write("/a", NEW, Traits())
    file.write(0, b"x" * 10)
    assert refused(lambda: file.write(10, b"x")) is Refusal.TOO_LARGE
    assert refused(lambda: file.set(Traits(size_bytes=11))) is Refusal.TOO_LARGE
    file.set(Traits(size_bytes=10))
    file.close()
    assert site.content("a") == b"x" * 10


@pytest.mark.parametrize("offset", [2**33, 2**63 - 2, 2**63, 2**64 - 1])
def test_nothing_is_written_far_behind_what_was_sent(site: HomeSite, offset: int) -> None:
    home = site.open()
    file = home.open_write("/a", NEW, Traits())
    assert refused(lambda: file.write(offset, b"x")) is Refusal.TOO_LARGE
    assert refused(lambda: file.set(Traits(size_bytes=offset))) is Refusal.TOO_LARGE
    assert refused(file.close) is Refusal.FAILED
    send(home, "/a", b"x")
    assert home.open_read("/a").read(offset, 10) == b""


def test_the_room_is_that_of_the_quota_where_it_is_less(site: HomeSite, tmp_path: Path) -> None:
    plain = site.open().space("/")
    assert plain.blocks * plain.block_bytes > 10_000_000
    home = site.open(quota=Quota(size_bytes=1_000_000, files=10), folders={"/far": tmp_path})
    send(home, "/a", b"x" * 400_000)
    room = home.space("/a")
    assert room.blocks == 1_000_000 // room.block_bytes
    assert room.blocks_free == 600_000 // room.block_bytes
    assert (room.files, room.files_free) == (10, 9)
    assert home.space("/far").blocks == plain.blocks


# Sweeping


def sweep(site: HomeSite, *, after_s: float, most: int = 1000) -> Swept:
    clock = SetClock(moment=SystemClock().now())
    clock.pass_s(after_s)
    return Sweep([str(site.root)], stalled_s=3600, clock=clock).go(most)


def test_what_broke_off_long_ago_is_removed(site: HomeSite) -> None:
    home = site.open()
    home.make_folder("/d", Traits())
    send(home, "/d/a", b"kept")
    file = home.open_write("/d/b", NEW, Traits())
    file.write(0, b"half")
    file.set(Traits(atime_s=1, mtime_s=1))  # says nothing of when it was sent
    file.abandon()
    assert sweep(site, after_s=3500).removed == 0
    assert sweep(site, after_s=3700) == Swept(looked_at=3, removed=1, removed_bytes=4, done=True)
    assert site.hidden() == []
    assert site.seen() == {"d/a": b"kept"}


def test_what_a_session_writes_to_is_not_swept_away(site: HomeSite) -> None:
    file = site.open().open_write("/b", NEW, Traits())
    file.write(0, b"half")
    assert sweep(site, after_s=10_000).removed == 0
    file.close()
    assert site.seen() == {"b": b"half"}


def test_a_sweep_follows_no_link_and_enters_no_folder_of_the_clusters_own(site: HomeSite) -> None:
    outside = HomeSite(site.root.parent / "outside")
    for each in (outside, site):
        home = each.open()
        home.open_write("/a", NEW, Traits()).write(0, b"x")
        home.close()
    (site.root / "link").symlink_to(outside.root)
    (site.root / ".mftgit").mkdir()
    assert sweep(site, after_s=10_000).removed == 1
    assert len(outside.hidden()) == 1


def test_a_sweep_takes_nothing_from_who_goes_on_just_then(site: HomeSite) -> None:
    site.open()
    clock = SetClock(moment=SystemClock().now())
    clock.pass_s(10_000)
    sweeping = Sweep([str(site.root)], stalled_s=3600, clock=clock)
    ended = threading.Event()

    def keep_sweeping() -> None:
        while not ended.is_set():
            sweeping.go(1000)

    sweeper = threading.Thread(target=keep_sweeping)
    sweeper.start()
    content = b"0123456789" * 100
    outcomes = []
    try:
        for number in range(300):
            home = site.open()
            file = home.open_write(f"/{number}", NEW, Traits())
            file.write(0, content[:500])
            file.abandon()
            outcomes.append(go_on(home, f"/{number}", content))
            home.close()
    finally:
        ended.set()
        sweeper.join()
    assert set(outcomes) <= {"swept before", "gone on with", Refusal.BUSY}
    assert "gone on with" in outcomes
    assert set(site.seen().values()) == {content}


def go_on(home: Home, path: str, content: bytes) -> object:
    """Go on as a client does: from the size that it is told, or from the begin where nothing is left."""
    try:
        size_bytes = home.stat(path).size_bytes
    except HomeError:
        send(home, path, content)
        return "swept before"
    try:
        send(home, path, content[size_bytes:], Opening(append=True))
    except HomeError as error:
        return "swept before" if error.refusal is Refusal.MISSING else error.refusal
    return "gone on with"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_full_disk_publishes_nothing_and_is_gone_on_with_when_there_is_room(
    tmp_path: Path,
) -> None:
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk", mib=1):
        site = HomeSite(tmp_path / "disk" / "home")
        home = site.open(flush=True)
        send(home, "/room", b"r" * 600_000)
        file = home.open_write("/a", NEW, Traits())
        written = 0

        def write_on() -> None:
            nonlocal written
            while True:
                file.write(written, b"x" * 30_000)
                written += 30_000

        assert refused(write_on) is Refusal.FULL
        assert refused(file.close) is Refusal.FAILED
        assert set(site.seen()) == {"room"}
        home.remove("/room")
        assert home.stat("/a").size_bytes == written
        send(home, "/a", b"end", GO_ON)
        assert site.content("a") == b"x" * written + b"end"


def test_a_sweep_is_done_a_part_at_a_time(site: HomeSite) -> None:
    home = site.open()
    for folder in ("/a", "/b", "/c"):
        home.make_folder(folder, Traits())
        home.open_write(f"{folder}/x", NEW, Traits()).write(0, b"x")
    home.close()
    clock = SetClock(moment=SystemClock().now())
    clock.pass_s(10_000)
    sweeping = Sweep([str(site.root), str(site.root / "not there")], stalled_s=3600, clock=clock)
    parts = [sweeping.go(1) for _ in range(4)]
    assert [each.removed for each in parts] == [0, 1, 1, 1]
    assert [each.done for each in parts] == [False, False, False, False]
    assert sweeping.go(1) == Swept(looked_at=0, removed=0, removed_bytes=0, done=True)
    assert sweeping.go(1).looked_at == 3


def test_acts_without_list_still_list_virtual_folders(site: HomeSite, shared: Path) -> None:
    home = site.open(rule("/", Act.WRITE), folders={"/shared": shared})
    assert names(home, "/") == ["shared"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a disk")
def test_a_home_is_near_with_all_that_is_mounted_in_it(site: HomeSite, shared: Path) -> None:
    within = site.root / "a" / "b"
    within.mkdir(parents=True)
    assert site.open().is_near
    with small_disk(within, mib=1):
        assert site.open().is_near
    with small_disk(within, mib=1, kind="ramfs"):  # which stands for any that is not known as local
        assert not site.open().is_near
        assert not site.open(quota=Quota(files=9)).is_near
    with small_disk(shared, mib=1, kind="ramfs"):
        assert site.open().is_near
        assert not site.open(folders={"/shared": shared}).is_near
