"""Members die, sleep and are cut off in turn: nothing is lost, repeated or torn; without the fence, something is."""

import os
import random
from collections.abc import Mapping
from pathlib import Path

import pytest
from chaos import Chaos
from fault_site import NO_DEADLINE, NO_FENCE, TRANSFERS, fault_site

pytestmark = [
    pytest.mark.needs("sshd"),
    pytest.mark.needs("ip"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make network namespaces"),
]

SLOW_RENAME_MS = 150
"""So that who is stopped by chance is often stopped while its rename is at the partner."""

ETCD = pytest.param(True, id="etcd", marks=pytest.mark.needs("etcd"))
FOLDER = pytest.param(False, id="shared folder")


def run(
    root: Path,
    *,
    etcd: bool,
    for_s: float,
    faults: int = 0,
    variables: Mapping[str, str] | None = None,
) -> Chaos:
    with fault_site(root, nodes=3, etcd=etcd) as site:
        for node in site.nodes if variables else ():
            site.restart_with(node, variables or {})
        site.hold.slow(SLOW_RENAME_MS)
        chaos = Chaos(site, random.Random())
        chaos.run(for_s, faults=faults)
        site.put(*TRANSFERS)
        site.check(within_s=180)
        return chaos


@pytest.mark.long
@pytest.mark.parametrize("etcd", [FOLDER])
def test_three_members_that_die_and_sleep_in_turn_lose_and_repeat_nothing(
    tmp_path: Path, *, etcd: bool
) -> None:
    chaos = run(tmp_path, etcd=etcd, for_s=8.0, faults=2)
    assert chaos.kills + chaos.stops >= 2


@pytest.mark.soak
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("etcd", [FOLDER, ETCD])
def test_three_members_that_die_and_sleep_in_turn_for_ten_minutes_lose_and_repeat_nothing(
    tmp_path: Path, *, etcd: bool
) -> None:
    chaos = run(tmp_path, etcd=etcd, for_s=600.0)
    assert chaos.kills + chaos.stops >= 250
    assert len(chaos.site.arrivals.sent) >= 1_000
    (tmp_path / "told").write_text(chaos.told(), encoding="utf-8")


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_the_fence_alone_holds_in_the_same_chaos(tmp_path: Path) -> None:
    """Owners never ask for their deadline."""
    chaos = run(tmp_path, etcd=False, for_s=180.0, variables=NO_DEADLINE)
    assert chaos.kills + chaos.stops >= 50


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_without_the_fence_the_same_chaos_repeats_a_file(tmp_path: Path) -> None:
    """The negative control; see injected/sitecustomize.py."""
    with fault_site(tmp_path, nodes=3) as site:
        for node in site.nodes:
            site.restart_with(node, NO_FENCE)
        site.hold.slow(SLOW_RENAME_MS)
        Chaos(site, random.Random()).run(300.0, until=site.arrivals.repeated)
        assert site.arrivals.repeated()
