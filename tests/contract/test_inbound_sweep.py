"""A process of a service removes what is left of uploads, beside serving."""

import queue
from datetime import timedelta
from pathlib import Path

import pytest
from clocks import SetClock
from homes import NEW, HomeSite
from inbound_site import inbound_site

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.home.contract import Traits
from mftgit.adapters.home.records import HomeRecords
from mftgit.member.inbound.sweeping import Sweeping
from mftgit.model.inbound.left_homes import KEPT_S
from mftgit.model.inbound.service import Listen, SftpService
from mftgit.model.inbound.serving import Serving
from mftgit.model.names import MemberName, Revision, ServiceName

DAY_S = 86_400.0


def serving(*sites: HomeSite) -> Serving:
    served = {site.root.name: site.served(name=site.root.name) for site in sites}
    return Serving(
        revision=Revision("1" * 40),
        member=MemberName("node-1"),
        service=SftpService(name=ServiceName("sftp"), listen=Listen(port=22), host_keys=()),
        keys=(),
        accounts={each.account.name: each for each in served.values()},
    )


def break_off(site: HomeSite) -> None:
    home = site.open(name=site.root.name)
    home.open_write("/a", NEW, Traits()).write(0, b"half")
    home.close()


def test_folders_that_are_left_are_looked_through_too(
    tmp_path: Path, told: "queue.Queue[int]"
) -> None:
    there, left = HomeSite(tmp_path / "there"), HomeSite(tmp_path / "left")
    break_off(left)
    sweeping = Sweeping(SetClock(moment=SystemClock().now() + timedelta(days=2)))
    sweeping.begin(serving(there), told.put)
    assert told.get(timeout=60) == 0
    sweeping.begin(serving(there), told.put, left=[str(tmp_path / "gone"), str(left.root)])
    assert told.get(timeout=60) == 1
    assert left.hidden() == []


def test_what_was_served_is_known_after_a_restart(tmp_path: Path) -> None:
    path, clock = tmp_path / "homes.json", SetClock()
    assert HomeRecords(path, now=clock.now).follow({"/one": DAY_S, "/two": DAY_S}) == ()
    assert HomeRecords(path, now=clock.now).follow({"/one": DAY_S}) == ("/two",)
    assert HomeRecords(path, now=clock.now).follow({"/one": DAY_S}) == ("/two",)
    clock.pass_s(DAY_S + KEPT_S)
    assert HomeRecords(path, now=clock.now).follow({"/one": DAY_S}) == ()


@pytest.mark.parametrize(
    "content", ["", "[]", '{"served": [], "left": {}}', '{"served": {"a": "x"}}']
)
def test_records_that_cannot_be_read_or_written_are_done_without(
    tmp_path: Path, content: str
) -> None:
    path = tmp_path / "homes.json"
    path.write_text(content, encoding="utf-8")
    assert HomeRecords(path, now=SetClock().now).follow({"/one": DAY_S}) == ()
    nowhere = HomeRecords(tmp_path / "gone" / "homes.json", now=SetClock().now)
    assert nowhere.follow({"/one": DAY_S}) == ()
    assert nowhere.follow({}) == ("/one",)


@pytest.mark.needs("ssh-keygen")
def test_a_member_has_the_folders_of_removed_accounts_looked_through(tmp_path: Path) -> None:
    with inbound_site(tmp_path) as site:
        site.apply(site.documents("acme", "other"))
        assert site.inbound._left_homes() == ()
        site.apply(site.documents("acme"))
        assert site.inbound._left_homes() == (str(site.home("other")),)
        site.inbound.stop_all()
        assert site.inbound._left_homes() == ()  # what is served is not known
        site.apply(site.documents("acme", "other"))
        assert site.inbound._left_homes() == ()


@pytest.fixture
def told() -> "queue.Queue[int]":
    return queue.Queue()


def test_what_nobody_went_on_with_is_removed_in_all_folders_of_the_configuration_in_force(
    tmp_path: Path, told: "queue.Queue[int]"
) -> None:
    first, second = HomeSite(tmp_path / "first"), HomeSite(tmp_path / "second")
    break_off(first)
    break_off(second)
    clock = SetClock(moment=SystemClock().now())
    sweeping = Sweeping(clock)
    sweeping.begin(serving(first), told.put)
    assert told.get(timeout=60) == 0
    clock.pass_s(90_000)
    sweeping.begin(serving(first, second), told.put)
    assert told.get(timeout=60) == 2
    assert (first.hidden(), second.hidden()) == ([], [])
