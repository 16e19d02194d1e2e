"""Uploads get their visible name in one step, and what broke off can be gone on with."""

import hashlib
from pathlib import Path

import pytest
from homes import GO_ON, NEW, HomeSite, send

from mftgit.adapters.home import HomeError, Refusal, Traits


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
    older.write(0, b"OLD")
    with pytest.raises(HomeError) as refused:
        older.close()
    assert refused.value.refusal is Refusal.BUSY
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
