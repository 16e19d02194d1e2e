"""Uploads get their visible name in one step, and what broke off can be gone on with."""

import errno
import hashlib
import os
import random
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from homes import GO_ON, NEW, HomeSite, refused, send

from mftgit.adapters.home.contract import HomeError, OpenFile, Opening, Refusal, Traits
from mftgit.adapters.home.session import MAX_OPEN
from mftgit.adapters.local import rename as local_rename
from mftgit.adapters.local.endpoint import LocalEndpoint
from mftgit.model.inbound.finished import Finished
from mftgit.model.inbound.permission import FULL, Act, Rule


@pytest.fixture
def site(tmp_path: Path) -> HomeSite:
    return HomeSite(tmp_path / "home")


def test_an_upload_is_seen_once_it_is_closed(site: HomeSite) -> None:
    home = site.open()
    file = home.open_write("/a.bin", NEW, Traits())
    file.write(0, b"one ")
    file.write(4, b"two")
    assert site.seen() == {}
    done = file.close()
    assert done is not None
    assert site.seen() == {"a.bin": b"one two"}
    assert site.hidden() == []
    assert done.digest == hashlib.sha256(b"one two").hexdigest()
    assert (done.path, done.size_bytes, done.overwrote, done.resumed) == ("/a.bin", 7, False, False)
    assert done.file == str(site.root / "a.bin")
    assert site.finished == [done]


def test_what_broke_off_is_gone_on_with_by_another_session(site: HomeSite) -> None:
    first = site.open()
    file = first.open_write("/a.bin", NEW, Traits())
    file.write(0, b"half")
    first.close()
    assert site.seen() == {}
    second = site.open()
    assert second.stat("/a.bin").size_bytes == 4
    again = second.open_write("/a.bin", GO_ON, Traits())
    again.write(4, b" done")
    done = again.close()
    assert done is not None
    assert done.resumed
    assert done.digest == hashlib.sha256(b"half done").hexdigest()
    assert site.seen() == {"a.bin": b"half done"}


def test_the_newest_session_wins_and_the_older_one_publishes_nothing(site: HomeSite) -> None:
    older = site.open().open_write("/a", NEW, Traits())
    older.write(0, b"old old old")
    newer = site.open().open_write("/a", NEW, Traits())
    newer.write(0, b"new")
    assert refused(lambda: older.write(0, b"OLD")) is Refusal.BUSY
    assert refused(older.close) is Refusal.BUSY
    assert site.seen() == {}
    newer.close()
    assert site.seen() == {"a": b"new"}
    assert site.hidden() == []


def test_a_listing_tells_what_is_there_without_the_clusters_own_names(site: HomeSite) -> None:
    home = site.open()
    home.make_folder("/in", Traits())
    send(home, "/in/a", b"abc")
    home.open_write("/in/b", NEW, Traits()).write(0, b"x")
    assert [(name, found.size_bytes) for name, found in home.list("/in")] == [("a", 3)]
    file = home.open_read("/in/a")
    assert file.read(1, 10) == b"bc"
    assert file.close() is None


CHANGE = Opening()
EXCLUSIVE = Opening(create=True, exclusive=True)


def test_a_visible_file_changes_in_one_step(site: HomeSite) -> None:
    home = site.open()
    send(home, "/a", b"0123456789")
    (site.root / "a").chmod(0o640)
    file = home.open_write("/a", CHANGE, Traits())
    file.write(2, b"XX")
    assert site.content("a") == b"0123456789"
    done = file.close()
    assert done is not None
    assert done.overwrote
    assert done.digest == hashlib.sha256(b"01XX456789").hexdigest()
    assert site.content("a") == b"01XX456789"
    assert (site.root / "a").stat().st_mode & 0o777 == 0o640
    file = home.open_write("/a", CHANGE, Traits())
    file.write(0, b"never")
    file.abandon()
    assert site.seen() == {"a": b"01XX456789"}
    assert site.hidden() == []


def test_a_file_that_others_changed_meanwhile_is_not_put_back(site: HomeSite) -> None:
    home = site.open()
    send(home, "/a", b"0123456789")
    file = home.open_write("/a", GO_ON, Traits())
    file.write(0, b"more")
    (site.root / "a").write_bytes(b"theirs")
    assert refused(file.close) is Refusal.BUSY
    assert site.seen() == {"a": b"theirs"}
    assert site.hidden() == []


def test_who_goes_on_while_the_older_session_still_writes_goes_on_with_a_copy(
    site: HomeSite,
) -> None:
    older = site.open().open_write("/a", NEW, Traits())
    older.write(0, b"0123")
    second = site.open()
    assert second.stat("/a").size_bytes == 4
    older.write(4, b"45")
    newer = second.open_write("/a", GO_ON, Traits())
    assert newer.attributes().size_bytes == 4  # what the client was told, and not what came since
    assert refused(lambda: older.write(0, b"Z")) is Refusal.BUSY
    newer.write(4, b"4567")
    assert refused(older.close) is Refusal.BUSY
    newer.close()
    assert site.seen() == {"a": b"01234567"}
    assert site.hidden() == []


def test_what_has_shrunk_since_the_client_looked_is_not_gone_on_with(site: HomeSite) -> None:
    first = site.open()
    first.open_write("/a", NEW, Traits()).write(0, b"0123")
    first.close()
    second = site.open()
    assert second.stat("/a").size_bytes == 4
    third = site.open()
    third.open_write("/a", NEW, Traits()).write(0, b"0")
    third.close()
    assert refused(lambda: second.open_write("/a", GO_ON, Traits())) is Refusal.BUSY


def test_what_an_earlier_session_left_does_not_get_behind_a_shorter_file(site: HomeSite) -> None:
    first = site.open()
    first.open_write("/a", NEW, Traits()).write(0, b"a long one")
    first.close()
    file = site.open().open_write("/a", Opening(create=True), Traits())
    file.write(0, b"short")
    file.close()
    assert site.seen() == {"a": b"short"}


def test_only_what_came_without_a_gap_is_gone_on_with(site: HomeSite) -> None:
    home = site.open()
    file = home.open_write("/a", NEW, Traits())
    file.write(0, b"01")
    file.write(500_000, b"behind")
    file.abandon()
    assert home.stat("/a").size_bytes == 2
    again = home.open_write("/b", NEW, Traits())
    again.write(500_000, b"behind")
    again.abandon()
    assert refused(lambda: home.stat("/b")) is Refusal.MISSING
    assert len(site.hidden()) == 1


def test_what_a_killed_session_wrote_behind_a_gap_does_not_count(site: HomeSite) -> None:
    site.open()
    code = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[1] / "support")!r})
from pathlib import Path
from homes import NEW, HomeSite
from mftgit.adapters.local import rename as local_rename
from mftgit.adapters.home.contract import Traits
file = HomeSite(Path({str(site.root)!r})).open().open_write("/a", NEW, Traits())
file.write(0, b"x" * 65536)
file.write(10_000_000, b"x" * 65536)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (-9, b"")
    assert site.seen() == {}
    home = site.open()
    assert home.stat("/a").size_bytes == 65536
    file = home.open_write("/a", GO_ON, Traits())
    file.write(65536, b"end")
    file.close()
    assert site.content("a") == b"x" * 65536 + b"end"


def test_the_digest_is_right_whatever_the_order(site: HomeSite) -> None:
    chance = random.Random(7)
    content = chance.randbytes(3_000_000)
    pieces = [(at, content[at : at + 30_000]) for at in range(0, len(content), 30_000)]
    chance.shuffle(pieces)
    file = site.open().open_write("/a", NEW, Traits())
    for at, piece in [*pieces, pieces[0]]:
        file.write(at, memoryview(piece))
    done = file.close()
    assert done is not None
    assert done.digest == hashlib.sha256(content).hexdigest()
    assert site.content("a") == content


def test_the_digest_is_of_what_was_written_last(site: HomeSite) -> None:
    file = site.open().open_write("/a", NEW, Traits())
    for at, piece in ((0, b"0123"), (1, b"XX"), (4, b"45")):
        file.write(at, piece)
    done = file.close()
    assert done is not None
    assert done.digest == hashlib.sha256(b"0XX345").hexdigest()
    assert site.content("a") == b"0XX345"


def test_what_has_to_be_read_back_is_left_to_who_may_wait(site: HomeSite) -> None:
    file = site.open().open_write("/a.bin", NEW, Traits())
    assert file.writes_at_once(0)
    file.write(0, b"one ")
    assert file.writes_at_once(4)
    assert not file.writes_at_once(0)
    file.write(8, b"three")
    assert not file.writes_at_once(4)  # what comes behind would be read back with it
    assert file.publish() is None
    file.write(4, b"two ")
    assert file.writes_at_once(13)
    done = file.publish()
    assert done is not None
    assert done.digest == hashlib.sha256(b"one two three").hexdigest()


def test_a_large_file_is_replaced_by_who_may_wait(site: HomeSite) -> None:
    send(site.open(), "/a.bin", b"")
    os.truncate(site.root / "a.bin", 1 << 30)
    file = site.open().open_write("/a.bin", NEW, Traits())
    file.write(0, b"small")
    assert file.publish() is None
    assert (site.root / "a.bin").stat().st_size == 1 << 30
    done = file.close()
    assert done is not None
    assert done.overwrote
    assert site.seen() == {"a.bin": b"small"}
    assert site.hidden() == []


def test_what_broke_off_and_is_large_is_removed_by_who_may_wait(site: HomeSite) -> None:
    file = site.open().open_write("/a.bin", NEW, Traits())
    file.write(0, b"begun")
    file.abandon()
    (left,) = site.hidden()
    os.truncate(site.root / left, 1 << 30)

    assert site.open().open_write_at_once("/a.bin", NEW, Traits()) is None
    assert (site.root / left).stat().st_size == 1 << 30
    os.truncate(site.root / left, 1 << 20)
    opened = site.open().open_write_at_once("/a.bin", NEW, Traits())
    assert opened is not None
    opened.write(0, b"anew")
    opened.close()
    assert site.seen() == {"a.bin": b"anew"}
    assert site.hidden() == []
    for opening in (GO_ON, replace(NEW, append=True)):
        assert site.open().open_write_at_once("/a.bin", opening, Traits()) is None


def test_what_is_cut_or_grown_has_the_digest_of_what_it_is(site: HomeSite) -> None:
    home = site.open()
    file = home.open_write("/a", NEW, Traits())
    file.write(0, b"0123456789")
    file.set(Traits(size_bytes=4))
    file.set(Traits(size_bytes=6))
    done = file.close()
    assert done is not None
    assert done.digest == hashlib.sha256(b"0123\0\0").hexdigest()
    home.set("/a", Traits(size_bytes=2, mtime_s=9, atime_s=9))
    assert site.content("a") == b"01"
    assert home.stat("/a").mtime_s == 9
    assert [each.size_bytes for each in site.finished] == [6, 2]
    assert refused(lambda: home.set("/a", Traits(size_bytes=2**62))) is Refusal.TOO_LARGE
    assert site.hidden() == []


def test_an_exclusive_upload_replaces_nothing(site: HomeSite) -> None:
    home = site.open()
    send(home, "/a", b"a")
    assert refused(lambda: home.open_write("/a", EXCLUSIVE, Traits())) is Refusal.EXISTS
    file = home.open_write("/b", EXCLUSIVE, Traits())
    other = site.open()
    assert refused(lambda: other.open_write("/b", EXCLUSIVE, Traits())) is Refusal.EXISTS
    (site.root / "b").write_bytes(b"theirs")
    assert refused(file.close) is Refusal.EXISTS
    assert site.seen() == {"a": b"a", "b": b"theirs"}


def test_without_create_nothing_is_made(site: HomeSite) -> None:
    assert refused(lambda: site.open().open_write("/a", CHANGE, Traits())) is Refusal.MISSING


def test_times_and_mode_are_set_before_and_after_the_close(site: HomeSite) -> None:
    home = site.open()
    send(home, "/a", b"old")
    file = home.open_write("/a", NEW, Traits())
    file.write(0, b"new")
    home.set("/a", Traits(mode=0o604))
    file.set(Traits(atime_s=1, mtime_s=2))
    file.close()
    found = home.stat("/a")
    assert (found.mode & 0o777, found.mtime_s) == (0o604, 2)
    home.set("/a", Traits(mode=0o600, mtime_s=3))
    assert (home.stat("/a").mode & 0o777, home.stat("/a").mtime_s) == (0o600, 3)
    reading = home.open_read("/a")
    reading.set(Traits(mtime_s=4))
    assert reading.attributes().mtime_s == 4
    assert refused(lambda: reading.set(Traits(size_bytes=0))) is Refusal.DENIED
    assert refused(lambda: reading.write(0, b"x")) is Refusal.DENIED


def test_an_upload_is_read_only_where_that_was_asked_for(site: HomeSite) -> None:
    home = site.open()
    file = home.open_write("/a", Opening(create=True, truncate=True, read=True), Traits())
    file.write(0, b"abc")
    assert file.read(1, 5) == b"bc"
    assert file.read(2**63, 5) == b""
    file.close()
    assert refused(lambda: file.read(0, 1)) is Refusal.FAILED
    blind = home.open_write("/a", CHANGE, Traits())
    assert refused(lambda: blind.read(0, 1)) is Refusal.DENIED


def test_what_fails_to_be_told_is_not_acknowledged(site: HomeSite) -> None:
    def fail(_done: Finished) -> None:
        raise HomeError(Refusal.FAILED, "no event")

    home = site.open(finished=fail)
    assert refused(lambda: send(home, "/a", b"")) is Refusal.FAILED


def test_the_end_of_a_session_keeps_what_was_sent_and_removes_what_was_not(
    site: HomeSite,
) -> None:
    home = site.open()
    home.open_write("/begun", NEW, Traits()).write(0, b"x")
    empty = home.open_write("/empty", NEW, Traits())
    home.close()
    assert len(site.hidden()) == 1
    assert site.seen() == {}
    assert refused(lambda: empty.write(0, b"x")) is Refusal.FAILED
    home.close()


def test_a_session_has_so_many_files_open_and_no_more(site: HomeSite) -> None:
    home = site.open()
    files = [home.open_write(f"/{number}", NEW, Traits()) for number in range(MAX_OPEN)]
    assert refused(lambda: home.open_write("/more", NEW, Traits())) is Refusal.BUSY
    files.pop().close()
    home.open_read(f"/{MAX_OPEN - 1}").close()
    home.close()


def test_the_own_unfinished_upload_is_removed(site: HomeSite) -> None:
    first = site.open()
    file = first.open_write("/a", NEW, Traits())
    file.write(0, b"x")
    assert refused(lambda: site.open(name="other").remove("/a")) is Refusal.MISSING
    first.remove("/a")
    assert refused(file.close) is Refusal.BUSY
    assert site.hidden() == []
    assert refused(lambda: first.remove("/a")) is Refusal.MISSING


def test_a_folder_with_nothing_but_what_broke_off_is_empty_for_its_account(
    site: HomeSite,
) -> None:
    home = site.open()
    home.make_folder("/d", Traits())
    file = home.open_write("/d/a", NEW, Traits())
    file.write(0, b"x")
    assert refused(lambda: home.remove_folder("/d")) is Refusal.NOT_EMPTY
    file.abandon()
    home.remove_folder("/d")
    assert list(home.list("/")) == []
    home.make_folder("/d", Traits())
    send(home, "/d/a", b"x")
    assert refused(lambda: home.remove_folder("/d")) is Refusal.NOT_EMPTY
    assert refused(lambda: home.remove("/d")) is Refusal.IS_FOLDER


def test_long_names_have_temporaries_too(site: HomeSite) -> None:
    home = site.open()
    name = "ä" * 127
    assert send(home, f"/{name}", b"x") is not None
    odd = b"\xff\xfe".decode(errors="surrogateescape")
    send(home, f"/{odd}", b"y")
    assert {each for each, _ in home.list("/")} == {name, odd}


@pytest.mark.parametrize(
    "path", ["/a\0b", "/" + "x" * 256, "/x" * 101, "/" + "x/" * 3000, "/\ud800"]
)
def test_a_path_that_no_file_can_have_is_refused(site: HomeSite, path: str) -> None:
    home = site.open()
    for call in (home.stat, home.resolve, home.open_read, home.remove):
        assert refused(lambda call=call: call(path)) is Refusal.BAD_NAME  # type: ignore[misc]


def test_of_sessions_that_send_to_one_name_at_once_each_file_seen_is_of_one_of_them(
    site: HomeSite,
) -> None:
    """Never a mixture, and never a half: each sends its own letter, 40,000 times, in pieces."""
    seen: list[str] = []

    def run(letter: bytes) -> None:
        for _ in range(25):
            home = site.open()
            try:
                file = home.open_write("/a", NEW, Traits())
                for at in range(0, 40_000, 10_000):
                    file.write(at, letter * 10_000)
                file.close()
                seen.append("closed")
            except HomeError as error:
                seen.append(error.refusal.value)
            finally:
                home.close()

    threads = [threading.Thread(target=run, args=(bytes([65 + each]),)) for each in range(4)]
    for each in threads:
        each.start()
    while any(each.is_alive() for each in threads):
        content = (site.root / "a").read_bytes() if (site.root / "a").exists() else b""
        assert content in {b""} | {bytes([65 + each]) * 40_000 for each in range(4)}
    assert set(seen) <= {"closed", "busy"}
    assert "closed" in seen
    assert site.finished
    assert {each.digest for each in site.finished} <= {
        hashlib.sha256(bytes([65 + each]) * 40_000).hexdigest() for each in range(4)
    }


def test_storage_that_renames_in_two_steps_alone_replaces_nothing_either(
    site: HomeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(errno.EINVAL, "")

    monkeypatch.setattr(local_rename, "_renameat2", fail)
    home = site.open(Rule(path="/", allow=FULL - {Act.OVERWRITE}))
    file = home.open_write("/a", NEW, Traits())
    file.write(0, b"mine")
    (site.root / "a").write_bytes(b"theirs")
    assert refused(file.close) is Refusal.EXISTS
    assert site.seen() == {"a": b"theirs"}
    send(home, "/b", b"b")
    send(site.open(), "/a", b"replaced")
    home.make_folder("/d", Traits())
    home.rename("/d", "/e", replace=False)
    home.rename("/b", "/e/b", replace=False)
    assert site.seen() == {"a": b"replaced", "e/b": b"b"}


def test_storage_that_copies_nothing_by_itself_is_copied_on(
    site: HomeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> int:
        raise OSError(errno.EXDEV, "")

    monkeypatch.setattr(os, "copy_file_range", fail)
    home = site.open()
    send(home, "/a", b"0123456789" * 300_000)
    send(home, "/a", b"end", GO_ON)
    assert site.content("a") == b"0123456789" * 300_000 + b"end"


def test_transfers_take_no_upload_before_it_is_finished(site: HomeSite) -> None:
    home = site.open()
    home.make_folder("/in", Traits())
    send(home, "/in/a", b"whole")
    home.open_write("/in/b", NEW, Traits()).write(0, b"half")
    source = LocalEndpoint(site.root)
    assert [each.path for each in source.list_files("in", recursive=True)] == ["a"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_what_storage_refuses_is_told_and_publishes_nothing(
    site: HomeSite, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = site.open().open_write("/a", NEW, Traits())
    file.write(0, b"fine")

    def fail(*_arguments: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", fail)
        why = refused(lambda: file.write(4, b"more"))
    assert why is (Refusal.FAILED if number == errno.EIO else Refusal.FULL)
    monkeypatch.setattr(os, "fsync", fail)
    assert refused(file.flush) is why
    monkeypatch.undo()
    assert refused(file.close) is Refusal.FAILED
    assert site.seen() == {}
    assert site.hidden() == []


def test_a_file_of_which_a_write_was_refused_gets_no_visible_name(
    site: HomeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSH closes its file after a write that failed, as it does after the last one."""
    home = site.open()
    written = os.pwrite

    def fail_at_4(descriptor: int, data: bytes, offset: int) -> int:
        if offset == 4:
            raise OSError(errno.ENOSPC, "")
        return written(descriptor, data, offset)

    def begin() -> OpenFile:
        file = home.open_write("/a", NEW, Traits())
        file.write(0, b"0123")
        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", fail_at_4)
            assert refused(lambda: file.write(4, b"45")) is Refusal.FULL
            file.write(6, b"67")
        return file

    assert refused(begin().close) is Refusal.FAILED
    assert site.seen() == {}
    assert home.stat("/a").size_bytes == 4
    file = begin()
    file.write(4, b"45")
    file.close()
    assert site.seen() == {"a": b"01234567"}
    file = begin()
    file.set(Traits(size_bytes=4))
    file.close()
    assert site.seen() == {"a": b"0123"}


def test_writes_that_are_refused_without_end_take_no_memory(site: HomeSite) -> None:
    file = site.open(max_file_bytes=10).open_write("/a", NEW, Traits())
    for at in range(2000):
        assert refused(lambda at=at: file.write(100 + at, b"x")) is Refusal.TOO_LARGE  # type: ignore[misc]
    file.set(Traits(size_bytes=0))
    assert refused(file.close) is Refusal.FAILED


def test_a_flush_that_fails_publishes_nothing(
    site: HomeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = site.open(flush=True).open_write("/a", NEW, Traits())
    file.write(0, b"fine")

    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "")

    monkeypatch.setattr(os, "fsync", fail)
    assert refused(file.close) is Refusal.FAILED
    assert site.seen() == {}
    monkeypatch.undo()
    send(site.open(flush=True), "/a", b"again")
    assert site.seen() == {"a": b"again"}


def test_a_session_that_is_killed_at_any_moment_leaves_no_half_file_under_a_visible_name(
    site: HomeSite,
) -> None:
    script = Path(__file__).parents[1] / "support" / "killed_uploads.py"
    command = [sys.executable, str(script), str(site.root), "40", "7"]
    done = subprocess.run(command, check=False, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    acknowledged, gone_on_with = map(int, done.stdout.split())
    assert acknowledged
    assert gone_on_with
