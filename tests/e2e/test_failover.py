"""Owners die, sleep and are cut off, each in its own network namespace: every file arrives once, and whole."""

import os
from collections.abc import Iterator

import pytest
from fault_site import (
    LOCAL,
    NO_DEADLINE,
    NO_FENCE,
    TRANSFERS,
    FaultSite,
    clock_rate,
    fault_site,
    wall_clock,
)

pytestmark = [
    pytest.mark.long,
    pytest.mark.needs("sshd"),
    pytest.mark.needs("ip"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make network namespaces"),
]

WELL, NO_SUCH_FILE = 0, 2  # of the statuses of SFTP


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultSite]:
    """A controller and two nodes; each test leaves them well."""
    with fault_site(tmp_path_factory.mktemp("faults")) as made:
        yield made


@pytest.fixture
def site(running: FaultSite) -> Iterator[FaultSite]:
    running.hold.forget()
    running.undo()
    yield running
    running.heal()


def finish(site: FaultSite) -> None:
    """Let all be well again, and see that what was put out, and one file more of each transfer, arrives once."""
    site.heal()
    site.put(*TRANSFERS)
    site.check()


@pytest.mark.parametrize(
    ("what", "first_awake", "outcome"),
    [
        ("request", "partner", NO_SUCH_FILE),
        ("request", "owner", NO_SUCH_FILE),
        ("reply", "partner", WELL),
    ],
)
def test_an_owner_that_sleeps_in_the_middle_of_a_rename_and_wakes_after_the_takeover_repeats_nothing(
    site: FaultSite, what: str, first_awake: str, outcome: int
) -> None:
    assert site.sleep_mid_rename(what, wakes_first=first_awake == "owner") == outcome
    finish(site)


def test_an_owner_that_dies_while_the_controller_is_away_is_followed_by_another(
    site: FaultSite,
) -> None:
    site.made.kill("controller")
    for transfer in ("free", LOCAL):
        owner = site.until_owned(transfer)
        site.put(*TRANSFERS, files=10)
        site.made.kill(owner)
        site.until_owned(transfer, but=owner)
        site.start(owner)
    site.until_all_arrived()
    assert "controller" not in site.made.running
    finish(site)


def test_an_owner_that_sleeps_for_longer_than_its_lease_again_and_again_repeats_nothing(
    site: FaultSite,
) -> None:
    """Where it is caught is left to chance; nothing holds a rename back on the members' own storage."""
    for _ in range(2):
        owner = site.until_owned(LOCAL)
        site.put(*TRANSFERS, files=20)
        site.let_sleep(owner, ttls=1.5)
    finish(site)


@pytest.mark.parametrize("way", ["to", "from", "both"])
def test_an_owner_that_is_cut_off_from_the_partner_in_the_middle_of_its_work_goes_on_later(
    site: FaultSite, way: str
) -> None:
    """The rename that was held back meanwhile is lost with its reply, or carried out when nobody listens."""
    _, owner = site.hold_back("request" if way == "to" else "reply")
    partner, node = site.parts["partner"], site.parts[owner]
    if way in {"to", "both"}:
        site.net.cut_one_way(node, partner)
    if way in {"from", "both"}:
        site.net.cut_one_way(partner, node)
    site.hold.let_go()
    names = site.put("free", LOCAL, files=3)
    site.made.until("what is local arrives", lambda: site.has(LOCAL, *names))
    site.made.until(
        "the member has noticed, or another one has the transfer and delivers",
        lambda: site.says(owner, "free").get("state") == "failing" or not site.arrivals.lost(),
    )
    finish(site)


def test_nodes_that_are_cut_off_from_the_controller_deliver_and_take_over_as_ever(
    site: FaultSite,
) -> None:
    controller = site.parts["controller"]
    nodes = [site.parts[name] for name in site.nodes]
    for ways in ([(each, controller) for each in nodes], [(controller, each) for each in nodes]):
        site.net.mend()
        for way in ways:
            site.net.cut_one_way(*way)
        site.put(*TRANSFERS)
        site.until_all_arrived()
    site.net.cut(controller, *nodes)
    owner = site.until_owned("free")
    site.put(*TRANSFERS, files=5)
    site.made.kill(owner)
    site.until_owned("free", but=owner)
    site.until_all_arrived()
    finish(site)


@pytest.mark.needs("faketime")
def test_clocks_that_are_an_hour_off_and_run_too_fast_lose_and_repeat_nothing(
    site: FaultSite,
) -> None:
    fast, slow = site.nodes
    site.restart_with(fast, wall_clock(3600) | clock_rate(1.05))
    site.restart_with(slow, wall_clock(-3600))
    for odd in (fast, slow):
        site.put(*TRANSFERS, files=5)
        site.until_all_arrived()
        site.let_sleep(odd, ttls=1.5)
    finish(site)


def test_the_fence_alone_repeats_nothing_where_owners_never_ask_for_their_deadline(
    site: FaultSite,
) -> None:
    for node in site.nodes:
        site.restart_with(node, NO_DEADLINE)
    assert site.sleep_mid_rename("request") == NO_SUCH_FILE
    site.put(*TRANSFERS, files=20)
    site.let_sleep(site.until_owned(LOCAL), ttls=1.5)
    finish(site)


def test_without_the_fence_the_same_sleep_in_the_middle_of_a_rename_repeats_a_file(
    site: FaultSite,
) -> None:
    """The negative control; see injected/sitecustomize.py."""
    for node in site.nodes:
        site.restart_with(node, NO_FENCE)
    assert site.sleep_mid_rename("request") == WELL
    assert sorted(site.arrivals.repeated().values()) == [2]
    site.arrivals.forget()
