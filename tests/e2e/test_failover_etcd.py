"""Three etcds die, or lose each other or their members, each in a network namespace: every file arrives once."""

import os
from collections.abc import Iterator

import pytest
from etcd_parts import Etcds
from fault_site import TRANSFERS, FaultSite, fault_site

pytestmark = [
    pytest.mark.long,
    pytest.mark.needs("sshd"),
    pytest.mark.needs("ip"),
    pytest.mark.needs("etcd"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make network namespaces"),
]

NO_SUCH_FILE = 2  # a status of SFTP


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultSite]:
    """A controller, two nodes and three etcds; each test leaves them well."""
    with fault_site(tmp_path_factory.mktemp("faults"), etcd=True) as made:
        yield made


@pytest.fixture
def site(running: FaultSite) -> Iterator[FaultSite]:
    running.hold.forget()
    yield running
    running.heal()


@pytest.fixture
def etcds(site: FaultSite) -> Etcds:
    assert site.etcds is not None
    return site.etcds


def finish(site: FaultSite) -> None:
    """Let all be well again, and see that what was put out, and one file more of each transfer, arrives once."""
    site.heal()
    site.put(*TRANSFERS)
    site.check()


def test_an_owner_that_dies_together_with_the_leader_of_etcd_is_followed_by_another(
    site: FaultSite, etcds: Etcds
) -> None:
    owner = site.until_owned("free")
    site.put(*TRANSFERS, files=5)
    etcds.kill(etcds.leader())
    site.made.kill(owner)
    site.until_owned("free", but=owner)
    site.until_all_arrived()
    finish(site)


def test_without_quorum_nobody_owns_anything_and_with_it_again_all_goes_on(
    site: FaultSite, etcds: Etcds
) -> None:
    site.put(*TRANSFERS, files=5)
    for name in sorted(etcds.parts)[:2]:
        etcds.kill(name)
    site.made.until(
        "nobody owns anything", lambda: not any(site.owner(transfer) for transfer in TRANSFERS)
    )
    names = site.put(*TRANSFERS, files=3)
    site.let_sleep(site.nodes[0], ttls=1.0)
    assert not any(site.has(transfer, name) for transfer in TRANSFERS for name in names)
    finish(site)


@pytest.mark.parametrize("way", ["to", "from", "both"])
def test_an_owner_that_is_cut_off_from_etcd_in_the_middle_of_a_rename_stands_down_and_repeats_nothing(
    site: FaultSite, etcds: Etcds, way: str
) -> None:
    name, owner = site.hold_back("request")
    for part in etcds.parts.values():
        if way in {"to", "both"}:
            site.net.cut_one_way(site.parts[owner], part)
        if way in {"from", "both"}:
            site.net.cut_one_way(part, site.parts[owner])
    site.until_owned("free", but=owner)
    site.made.until("the file arrives", lambda: site.has("free", name))
    site.hold.let_go()
    site.made.until("the rename has come to its end", lambda: site.hold.outcome is not None)
    assert site.hold.outcome == NO_SUCH_FILE
    finish(site)


def test_a_leader_of_etcd_that_is_cut_off_from_the_others_and_not_from_the_owner_keeps_no_ownership_alive(
    site: FaultSite, etcds: Etcds
) -> None:
    leader = etcds.leader()
    others = [part for name, part in etcds.parts.items() if name != leader]
    site.put(*TRANSFERS, files=5)
    site.net.cut(etcds.parts[leader], *others)
    owner = site.until_owned("free")
    site.let_sleep(owner, ttls=1.5)
    site.put(*TRANSFERS, files=5)
    site.until_all_arrived()
    finish(site)
