"""What an account may do at its paths, and what it sees of what it may not."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from clocks import SetClock
from homes import GO_ON, NEW, HomeSite, refused, rule, send

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.home.contract import Home, Opening, Refusal, Traits
from mftgit.model.inbound.permission import FULL, READ_ONLY, UPLOAD_ONLY, Act, Rule

CHANGE = Opening()


@pytest.fixture
def site(tmp_path: Path) -> HomeSite:
    site = HomeSite(tmp_path / "home")
    owner = site.open()
    owner.make_folder("/d", Traits())
    owner.make_folder("/d/empty", Traits())
    send(owner, "/d/old", b"old")
    return site


def append(home: Home) -> None:
    file = home.open_write("/d/old", GO_ON, Traits())
    file.write(0, b"more")
    file.close()


DONE: dict[Act, Callable[[Home], object]] = {
    Act.LIST: lambda home: {name for name, _ in home.list("/d")} == {"old", "empty"} or 1 / 0,
    Act.READ: lambda home: home.open_read("/d/old").close(),
    Act.WRITE: lambda home: send(home, "/d/new", b"new"),
    Act.OVERWRITE: lambda home: send(home, "/d/old", b"new"),
    Act.APPEND: append,
    Act.DELETE: lambda home: home.remove("/d/old"),
    Act.RENAME: lambda home: home.rename("/d/old", "/d/other", replace=True),
    Act.MAKE_FOLDER: lambda home: home.make_folder("/d/f", Traits()),
    Act.REMOVE_FOLDER: lambda home: home.remove_folder("/d/empty"),
    Act.SET_TIMES: lambda home: home.set("/d/old", Traits(atime_s=1, mtime_s=1)),
    Act.SET_MODE: lambda home: home.set("/d/old", Traits(mode=0o640)),
}
NEEDS_SIGHT = {Act.SET_TIMES, Act.SET_MODE}
DOES_WITHOUT = {Act.LIST, Act.APPEND}
"""Without LIST less is listed, and who may overwrite may append."""


@pytest.mark.parametrize("act", Act)
def test_each_act_needs_its_own_permission_and_no_other(site: HomeSite, act: Act) -> None:
    if act not in DOES_WITHOUT:
        without = site.open(Rule(path="/", allow=FULL), Rule(path="/d", allow=FULL - {act}))
        assert refused(lambda: DONE[act](without)) is Refusal.DENIED
    sight = {Act.LIST} if act in NEEDS_SIGHT else set[Act]()
    DONE[act](site.open(rule("/d", act, *sight)))


@pytest.mark.parametrize("act", [each for each in Act if each is not Act.LIST])
def test_a_path_without_permissions_is_not_there_for_any_act(site: HomeSite, act: Act) -> None:
    home = site.open(Rule(path="/", allow=FULL), rule("/d"))
    assert refused(lambda: DONE[act](home)) is Refusal.MISSING
    assert refused(lambda: home.stat("/d")) is Refusal.MISSING
    assert refused(lambda: home.list("/d")) is Refusal.MISSING
    assert list(home.list("/")) == []
    assert site.seen() == {"d/old": b"old"}


def test_who_may_only_append_changes_nothing_that_is_there(site: HomeSite) -> None:
    home = site.open(rule("/d", Act.APPEND))
    file = home.open_write("/d/old", CHANGE, Traits())
    assert refused(lambda: file.write(2, b"X")) is Refusal.DENIED
    assert refused(lambda: file.set(Traits(size_bytes=1))) is Refusal.DENIED
    file.abandon()
    file = home.open_write("/d/old", CHANGE, Traits())
    file.write(3, b"er")
    file.close()
    assert site.content("d/old") == b"older"
    assert refused(lambda: home.open_write("/d/old", NEW, Traits())) is Refusal.DENIED


def test_who_may_not_overwrite_does_not_in_a_race_either(site: HomeSite) -> None:
    home = site.open(rule("/", *(FULL - {Act.OVERWRITE})))
    file = home.open_write("/new", NEW, Traits())
    file.write(0, b"mine")
    (site.root / "new").write_bytes(b"theirs")
    assert refused(file.close) is Refusal.EXISTS
    assert site.content("new") == b"theirs"
    send(home, "/more", b"more")
    assert refused(lambda: home.rename("/more", "/new", replace=True)) is Refusal.EXISTS
    assert site.content("new") == b"theirs"


def test_a_drop_box_takes_files_and_tells_nothing(site: HomeSite) -> None:
    box = site.open(Rule(path="/d", allow=UPLOAD_ONLY))
    assert stat.S_ISDIR(box.stat("/").mode)
    assert stat.S_ISDIR(box.stat("/d").mode)
    assert [name for name, _ in box.list("/")] == ["d"]
    assert list(box.list("/d")) == []
    assert refused(lambda: box.stat("/d/old")) is Refusal.MISSING
    for path in ("/d/old", "/d/none"):
        assert refused(lambda path=path: box.open_read(path)) is Refusal.DENIED  # type: ignore[misc]
        assert refused(lambda path=path: box.remove(path)) is Refusal.DENIED  # type: ignore[misc]
        assert (
            refused(lambda path=path: box.set(path, Traits(mode=0o600)))  # type: ignore[misc]
            is Refusal.MISSING
        )
    file = box.open_write("/d/mine", NEW, Traits())
    file.write(0, b"abc")
    assert box.stat("/d/mine").size_bytes == 3
    file.close()
    assert box.stat("/d/mine").size_bytes == 3
    box.set("/d/mine", Traits(atime_s=5, mtime_s=7))
    assert box.stat("/d/mine").mtime_s == 7
    assert refused(lambda: box.open_write("/d/mine", NEW, Traits())) is Refusal.DENIED


def test_a_drop_box_shows_what_the_account_has_just_sent_over_another_connection_and_to_nobody_else(
    site: HomeSite,
) -> None:
    rules = Rule(path="/d", allow=UPLOAD_ONLY)
    send(site.open(rules), "/d/mine", b"abc")
    clock = SetClock(moment=SystemClock().now())
    again = site.open(rules, clock=clock)
    again.set("/d/mine", Traits(atime_s=5, mtime_s=7))
    assert again.stat("/d/mine").mtime_s == 7
    other = site.open(rules, name="other")
    assert refused(lambda: other.stat("/d/mine")) is Refusal.MISSING
    clock.pass_s(3700)
    assert refused(lambda: again.stat("/d/mine")) is Refusal.MISSING
    assert refused(lambda: again.set("/d/mine", Traits(mode=0o600))) is Refusal.MISSING


def test_storage_that_keeps_no_mark_shows_a_sent_file_to_its_session_alone(
    site: HomeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "")

    monkeypatch.setattr(os, "setxattr", fail)
    rules = Rule(path="/d", allow=UPLOAD_ONLY)
    box = site.open(rules)
    send(box, "/d/mine", b"abc")
    assert box.stat("/d/mine").size_bytes == 3
    assert refused(lambda: site.open(rules).stat("/d/mine")) is Refusal.MISSING


def test_what_broke_off_in_a_drop_box_is_gone_on_with(site: HomeSite) -> None:
    rules = Rule(path="/d", allow=UPLOAD_ONLY)
    first = site.open(rules)
    first.open_write("/d/mine", NEW, Traits()).write(0, b"half")
    first.close()
    second = site.open(rules)
    assert second.stat("/d/mine").size_bytes == 4
    file = second.open_write("/d/mine", GO_ON, Traits())
    file.write(4, b"!")
    file.close()
    assert site.content("d/mine") == b"half!"
    assert refused(lambda: site.open(rules, name="other").stat("/d/mine")) is Refusal.MISSING


def test_folders_that_lead_to_what_is_allowed_are_seen_and_nothing_beside_them(
    site: HomeSite,
) -> None:
    home = site.open(Rule(path="/d/empty", allow=READ_ONLY))
    assert [name for name, _ in home.list("/")] == ["d"]
    assert [name for name, _ in home.list("/d")] == ["empty"]
    assert list(home.list("/d/empty")) == []
    assert refused(lambda: home.stat("/d/old")) is Refusal.MISSING
    assert refused(lambda: home.list("/d/old")) is Refusal.MISSING


def test_an_account_without_rules_sees_an_empty_folder(site: HomeSite) -> None:
    home = site.open(rule("/"))
    assert stat.S_ISDIR(home.stat("/").mode)
    assert list(home.list("/")) == []
    assert refused(lambda: send(home, "/x", b"")) is Refusal.MISSING


def test_a_rename_leads_to_no_place_where_more_is_allowed(site: HomeSite) -> None:
    moves = {Act.RENAME, Act.LIST}
    home = site.open(
        rule("/", *moves, Act.READ),
        rule("/d", *moves),
        rule("/d/empty", Act.LIST),
        rule("/x/inner", *FULL),
    )
    # To read it, beside where it lies; to write into what it holds, below another name.
    assert refused(lambda: home.rename("/d/old", "/old", replace=False)) is Refusal.DENIED
    send(site.open(), "/plain", b"")
    site.open().make_folder("/tree", Traits())
    site.open().make_folder("/tree/inner", Traits())
    assert refused(lambda: home.rename("/tree", "/x", replace=False)) is Refusal.DENIED
    # Nor does a folder take away what has to stay.
    assert refused(lambda: home.rename("/d", "/e", replace=False)) is Refusal.DENIED
    home.rename("/plain", "/d/plain", replace=False)
    home.rename("/tree", "/d/tree", replace=False)
    assert site.seen() == {"d/old": b"old", "d/plain": b""}


def test_the_owner_keeps_its_rights_whatever_mode_is_set(site: HomeSite) -> None:
    home = site.open()
    home.set("/d/old", Traits(mode=0o4001))
    home.set("/d", Traits(mode=0))
    file = home.open_write("/strict", NEW, Traits(mode=0o100400))
    file.close()
    modes = [stat.S_IMODE(home.stat(each).mode) for each in ("/d/old", "/d", "/strict")]
    assert modes == [0o601, 0o700, 0o600]
    send(home, "/d/old", b"newer")
    assert stat.S_IMODE(home.stat("/d/old").mode) == 0o601
    plain = site.open(rule("/", *(FULL - {Act.SET_MODE})))
    plain.open_write("/plain", NEW, Traits(mode=0o777)).close()
    plain.make_folder("/folder", Traits(mode=0o711))
    assert stat.S_IMODE(home.stat("/plain").mode) & 0o111 == 0
    assert stat.S_IMODE(home.stat("/folder").mode) != 0o711


@pytest.mark.parametrize("moment", [-(2**41), 2**63, 2**70])
def test_a_time_that_no_file_can_have_is_refused(site: HomeSite, moment: int) -> None:
    home = site.open()
    assert refused(lambda: home.set("/d/old", Traits(mtime_s=moment))) is Refusal.UNSUPPORTED
