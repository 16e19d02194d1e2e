"""A cluster of real processes, with OpenSSH's sshd as the partner."""

import getpass
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, cluster, copy_sample, sub
from sshd import Sshd, running_sshd

HERE = Path(__file__).parent
NODES = ["node-1", "node-2"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):  # this is asked about the tests of other folders, too
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.needs("git"))


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Cluster]:
    """A place for a cluster; nothing is made yet."""
    with cluster(tmp_path) as made:
        yield made


@pytest.fixture
def partner(tmp_path: Path) -> Iterator[Sshd]:
    """The partner's server; what arrives lies in ``partner.folder / "incoming"``."""
    (tmp_path / "partner").mkdir()
    with running_sshd(tmp_path / "partner") as server:
        (server.folder / "incoming").mkdir()
        yield server


@pytest.fixture
def running(empty: Cluster, partner: Sshd) -> Cluster:
    """The sample's cluster, its partner being the real sshd: a controller and two nodes, all active."""
    location = (copy_sample(empty.root / "documents") / "locations" / "partner.yaml").read_text(
        encoding="utf-8"
    )
    location = sub(location, r"(?m)^port: .*$", f"port: {partner.port}")
    location = sub(location, r"(?m)^username: .*$", f"username: {getpass.getuser()}")
    location = sub(location, r"(?m)^path: .*$", f"path: {partner.folder}/incoming")
    location = sub(location, r"SHA256:\S+", partner.host_keys["ed25519"])
    (empty.root / "documents" / "locations" / "partner.yaml").write_text(location, encoding="utf-8")
    empty.init(empty.root / "documents")
    give_key(empty, "controller", partner)
    empty.start_controller()
    for name in NODES:
        empty.join(name)
        give_key(empty, name, partner)
        empty.start(name)
    empty.until_active(empty.status()["revision"], "controller", *NODES)
    (empty.files / "inbox").mkdir(exist_ok=True)
    return empty


def give_key(made: Cluster, name: str, partner: Sshd) -> None:
    """Put the key that opens the partner's server into a member's secrets folder."""
    key = made.dir(name) / "secrets" / "partner.key"
    key.touch(mode=0o600)
    key.write_bytes((partner.secrets_dir / "client").read_bytes())
