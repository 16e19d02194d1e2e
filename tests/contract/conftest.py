"""What several tests share: three etcds, started once."""

from collections.abc import Iterator

import pytest
from etcd_cluster import Cluster, etcd_cluster


@pytest.fixture(scope="session")
def started_etcds() -> Iterator[Cluster]:
    """Give three etcds for all tests of this process."""
    with etcd_cluster() as cluster:
        yield cluster


@pytest.fixture
def etcds(started_etcds: Cluster) -> Iterator[Cluster]:
    """Give three etcds that work, whatever the test before did to them."""
    yield started_etcds
    started_etcds.heal()
