"""A process of a service removes what is left of uploads, beside serving."""

import queue
from pathlib import Path

import pytest
from clocks import SetClock
from homes import NEW, HomeSite

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.home import Traits
from mftgit.member.inbound.sweeping import Sweeping
from mftgit.model.names import MemberName, Revision, ServiceName
from mftgit.model.service import Listen, SftpService
from mftgit.model.serving import Serving


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
