"""A whole cluster whose members own transfers by etcd, while owners and etcds die in turn."""

import itertools
from collections import Counter
from collections.abc import Sequence

import pytest
from cluster import Cluster
from etcd_cluster import etcd_cluster

MEMBERS = ["controller", "node-1", "node-2"]
ROUNDS = 2


def written(urls: list[str]) -> dict[str, str]:
    """Return the documents of a cluster over an etcd at ``urls``."""
    etcd = f"{{endpoints: [{', '.join(urls)}]}}"
    return {
        "cluster.yaml": f"name: c\ncoordinator: {{type: etcd, ttl_s: 2, etcd: {etcd}}}\n",
        **{
            f"members/{name}.yaml": f"role: {'controller' if name == 'controller' else 'node'}\n"
            for name in MEMBERS
        },
        "locations/in.yaml": "type: local\npath: in\n",
        "locations/out.yaml": "type: local\npath: out\n",
        "transfers/t.yaml": (
            "active_on: nodes\nsource: {location: in, stable_s: 0}\n"
            "destination: {location: out}\ntrigger: {watch: {every_s: 0.2}}\n"
            "after_success: {action: delete}\n"
        ),
    }


def owner_after(empty: Cluster, nodes: list[str], epoch: int) -> tuple[str, int] | None:
    """Return who says of itself that it owns the transfer under an epoch above ``epoch``, and which one."""
    for name in nodes:
        found = empty.transfer("t", on=name)
        if found is not None and found["owner"] == name and found["epoch"] > epoch:
            return name, found["epoch"]
    return None


def until_owner_after(empty: Cluster, nodes: list[str], epoch: int) -> tuple[str, int]:
    """Wait for an `owner_after`, and return it; a moment later there may be none."""
    found: list[tuple[str, int]] = []

    def is_there() -> bool:
        owner = owner_after(empty, nodes, epoch)
        found.extend([owner] if owner else [])
        return bool(found)

    empty.until("there is another owner", is_there)
    return found[0]


def delivered(cluster: Cluster, nodes: Sequence[str]) -> Counter[str]:
    """Count deliveries by path; one that a killed owner told of may be told once more, by the same id."""
    each = (event for name in nodes for event in cluster.events(name))
    told = {one["id"]: one["path"] for one in each if one["event"] == "DeliverySucceeded"}
    return Counter(told.values())


@pytest.mark.long
@pytest.mark.needs("etcd")
def test_owners_and_etcds_die_in_turn_and_each_file_arrives_once(empty: Cluster) -> None:
    with etcd_cluster() as etcds:
        documents = written([str(each) for each in etcds.endpoints])
        for path, content in documents.items():
            place = empty.root / "documents" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(content, encoding="utf-8")
        for name in ("in", "out"):
            (empty.files / name).mkdir()
        empty.init(empty.root / "documents")
        empty.start_controller()
        nodes = MEMBERS[1:]
        for name in nodes:
            empty.add_node(name)
        number = itertools.count()
        sent: list[str] = []
        epochs: list[int] = []
        for turn in range(ROUNDS):
            last = epochs[-1] if epochs else 0
            owner, epoch = until_owner_after(empty, nodes, last)
            epochs.append(epoch)
            for _ in range(20):
                sent.append(f"file-{next(number):03d}")
                (empty.files / "in" / sent[-1]).write_text(sent[-1] * 1000, encoding="utf-8")
            leader = etcds.leader()
            empty.kill(owner)
            if turn % 2:
                leader.kill()
            empty.until(
                "all files have arrived",
                lambda: {path.name for path in (empty.files / "out").iterdir()} >= set(sent),
            )
            etcds.heal()
            empty.start(owner)
        for each in etcds.etcds[1:]:
            each.stop()
        empty.until("nobody owns it", lambda: owner_after(empty, nodes, 0) is None)
        sent.append("waits")
        (empty.files / "in" / "waits").write_text("waits", encoding="utf-8")
        etcds.clock.pass_s(1.0)
        assert not (empty.files / "out" / "waits").exists()
        etcds.heal()
        empty.until("it has arrived", (empty.files / "out" / "waits").exists)
        arrived = [
            path.name for path in (empty.files / "out").iterdir() if not path.name.startswith(".")
        ]
        assert Counter(arrived) == Counter(sent)
        assert len(epochs) == ROUNDS
        empty.until("the last one is told", lambda: delivered(empty, nodes)["waits"])
        assert delivered(empty, nodes) == Counter(sent)
        for name in nodes:
            empty.stop(name)
