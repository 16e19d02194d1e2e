"""What several tests share: three etcds, started once, and a partner's sshd for each module that asks for one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cut_line import CutLine, cut_line
from etcd_cluster import Cluster, etcd_cluster
from sshd import Sshd, running_sshd


@pytest.fixture(scope="session")
def started_etcds() -> Iterator[Cluster]:
    """Give three etcds for all tests of this process."""
    with etcd_cluster() as cluster:
        yield cluster


@pytest.fixture
def etcds(started_etcds: Cluster) -> Iterator[Cluster]:
    """Give three etcds that work, whatever the test before did to them."""
    yield started_etcds
    started_etcds.hang_up()
    started_etcds.heal()


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """Give an OpenSSH server on loopback."""
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def line(sshd: Sshd) -> Iterator[CutLine]:
    """Give a line to that server, which can be cut."""
    with cut_line(sshd.port) as made:
        yield made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give a folder with a source and a target in it, both empty."""
    for folder in ("source", "target"):
        (tmp_path / folder).mkdir()
    return tmp_path
