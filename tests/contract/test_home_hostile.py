"""Clients that mean harm, or whose requests come at the worst moment: nothing half, hidden or uncounted comes of it."""

import errno
import os
from contextlib import suppress
from pathlib import Path

import pytest
from clocks import SetClock
from homes import GO_ON, NEW, HomeSite, refused, rule, send

from mftgit.adapters.home.contract import Opening, Refusal, Traits
from mftgit.adapters.home.usage import Usages
from mftgit.model.inbound.account import Quota
from mftgit.model.inbound.permission import FULL, READ_ONLY, Rule

OPEN = Path("/proc/self/fd")


@pytest.fixture
def site(tmp_path: Path) -> HomeSite:
    return HomeSite(tmp_path / "home")


def test_setting_the_size_of_what_broke_off_makes_no_half_file_visible(site: HomeSite) -> None:
    first = site.open()
    first.open_write("/a", NEW, Traits()).write(0, b"first half")
    first.close()
    home = site.open()
    home.stat("/a")
    home.set("/a", Traits(size_bytes=5))
    assert site.seen() == {}
    assert site.finished == []
    assert home.stat("/a").size_bytes == 5


def test_what_was_refused_in_the_middle_of_appended_pieces_is_not_forgotten(
    site: HomeSite,
) -> None:
    home = site.open(quota=Quota(size_bytes=100))
    file = home.open_write("/a", Opening(create=True, append=True), Traits())
    file.write(0, b"a" * 60)
    assert refused(lambda: file.write(60, b"b" * 60)) is Refusal.OVER_QUOTA
    file.write(120, b"c" * 40)
    assert refused(file.close) is Refusal.FAILED
    assert site.seen() == {}


def test_what_nobody_can_see_any_more_takes_no_room_beside_the_quota(site: HomeSite) -> None:
    clock = SetClock()
    home = site.open(quota=Quota(size_bytes=100), usages=Usages(clock), clock=clock)
    files = []
    for _ in range(3):
        clock.pass_s(31)
        file = home.open_write("/a", NEW, Traits())
        file.write(0, b"x" * 80)
        files.append(file)
    clock.pass_s(31)
    home.remove("/a")
    assert sum(each.attributes().size_bytes for each in files) == 0
    for each in files:
        assert refused(lambda each=each: each.write(0, b"x" * 10)) is Refusal.BUSY  # type: ignore[misc]
        assert refused(each.close) in {Refusal.BUSY, Refusal.FAILED}


def test_who_begins_anew_gets_the_room_back_of_what_broke_off(site: HomeSite) -> None:
    first = site.open(quota=Quota(size_bytes=100))
    first.open_write("/a", NEW, Traits()).write(0, b"x" * 80)
    first.close()
    home = site.open(quota=Quota(size_bytes=100))
    send(home, "/a", b"y" * 90)
    assert site.seen() == {"a": b"y" * 90}


def test_who_goes_on_beside_the_older_session_leaves_it_nothing(site: HomeSite) -> None:
    older = site.open()
    file = older.open_write("/a", NEW, Traits())
    file.write(0, b"half")
    newer = site.open().open_write("/a", GO_ON, Traits())
    assert file.attributes().size_bytes == 0
    newer.write(4, b" done")
    newer.close()
    assert site.seen() == {"a": b"half done"}
    assert refused(file.close) in {Refusal.BUSY, Refusal.FAILED}


def test_another_spelling_of_a_path_that_storage_may_fold_gets_round_no_rule(
    site: HomeSite,
) -> None:
    home = site.open(
        Rule(path="/", allow=FULL), rule("/private"), Rule(path="/Ärger", allow=READ_ONLY)
    )
    for spelling in (
        "/PRIVATE",
        "/Private.",
        "/private ",
        "/\uff50rivate",
        "/priv\u200bate",
        "/PRIVATE/x",
    ):
        assert refused(lambda path=spelling: home.stat(path)) is Refusal.MISSING  # type: ignore[misc]
        assert refused(lambda path=spelling: send(home, path, b"")) is Refusal.MISSING  # type: ignore[misc]
    assert refused(lambda: send(home, "/A\u0308rger/x", b"")) is Refusal.DENIED
    send(home, "/privates", b"x")


def test_a_listing_that_nobody_takes_leaves_no_folder_open(site: HomeSite) -> None:
    home = site.open()
    before = open_below(site.root)
    for _ in range(3):
        home.list("/")
    assert open_below(site.root) == before
    with (site.root / "a").open("wb"):
        assert open_below(site.root) == [*before, str(site.root / "a")]


def open_below(folder: Path) -> list[str]:
    """Return what this process has open there; others come and go with what earlier tests left."""
    found = []
    for each in OPEN.iterdir():
        with suppress(OSError):
            found.append(str(each.readlink()))
    return sorted(each for each in found if Path(each).is_relative_to(folder))


def test_a_file_that_is_renamed_to_its_own_name_counts_as_before(site: HomeSite) -> None:
    home = site.open(quota=Quota(size_bytes=100))
    send(home, "/a", b"x" * 90)
    home.rename("/a", "/a", replace=True)
    assert refused(lambda: send(home, "/b", b"x" * 90)) is Refusal.OVER_QUOTA
    assert site.seen() == {"a": b"x" * 90}


def test_what_the_client_was_told_of_is_begun_anew_also_without_create(site: HomeSite) -> None:
    """As sshfs does, for which there is a file already."""
    first = site.open()
    first.open_write("/a", NEW, Traits()).write(0, b"first half")
    first.close()
    home = site.open()
    home.stat("/a")
    send(home, "/a", b"anew", Opening(truncate=True))
    assert site.seen() == {"a": b"anew"}


def test_a_file_that_another_machine_has_removed_ends_no_session(
    site: HomeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS says so of a file that is open (ESTALE)."""

    def fail(_descriptor: int) -> os.stat_result:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    file = site.open().open_write("/a", NEW, Traits())
    for call in (lambda: file.write(0, b"x"), lambda: file.set(Traits(size_bytes=1)), file.close):
        with monkeypatch.context() as patched:
            patched.setattr(os, "fstat", fail)
            assert refused(call) is Refusal.BUSY


@pytest.mark.parametrize("opening", [Opening(append=True), GO_ON, Opening(create=True)])
def test_nobody_goes_on_with_what_was_swept_after_it_was_told(
    site: HomeSite, opening: Opening
) -> None:
    home = site.open()
    begun = home.open_write("/a", NEW, Traits())
    begun.write(0, b"first half")
    begun.abandon()
    assert home.stat("/a").size_bytes == 10
    for name in site.hidden():
        (site.root / name).unlink()
    assert refused(lambda: home.open_write("/a", opening, Traits())) is Refusal.MISSING
    assert site.seen() == {}
    send(home, "/a", b"all of it", Opening(create=True))
    assert site.content("a") == b"all of it"


def test_nobody_goes_on_with_a_file_that_another_session_finished_after_its_size_was_told(
    site: HomeSite,
) -> None:
    home, other = site.open(), site.open()
    begun = home.open_write("/a", NEW, Traits())
    begun.write(0, b"first half")
    begun.abandon()
    assert home.stat("/a").size_bytes == 10
    send(other, "/a", b"first half and the second")
    assert refused(lambda: home.open_write("/a", GO_ON, Traits())) is Refusal.EXISTS
    assert home.stat("/a").size_bytes == 25
    send(home, "/a", b", added", GO_ON)
    assert site.content("a") == b"first half and the second, added"
