"""A node of a controller in this process: what it runs, how it is restarted, how it is broken."""

from pathlib import Path

from controller_site import Node, Site
from waiting import until

PLACES = {
    "members/node-1.yaml": b"role: node\n",
    "locations/here.yaml": b"type: local\npath: here\n",
    "locations/there.yaml": b"type: local\npath: there\n",
}
TRANSFER = b"""source: {location: here, stable_s: 0}
destination: {location: there}
trigger: {watch: {every_s: 1}}
after_success: {action: delete}
active_on: nodes
"""
ONE = PLACES | {"transfers/one.yaml": TRANSFER}
TWO = ONE | {"transfers/two.yaml": TRANSFER.replace(b"location: here", b"location: here, path: b")}


def started(site: Site) -> Node:
    """A node that runs what is published."""
    node = site.node()
    node.intake.resume()
    node.look()
    assert node.intake.runs is not None, node.intake.reason()
    return node


def restarted(site: Site, node: Node) -> Node:
    node.close()
    site.nodes.remove(node)
    again = site.node()
    again.intake.resume()
    return again


def damage(folder: Path, pattern: str, content: bytes = b"\xff" * 5000) -> None:
    found = list(folder.glob(pattern))
    assert found
    for path in found:
        path.chmod(0o644)
        path.write_bytes(content)


def deliver(site: Site, name: str) -> None:
    files = site.folder.root.parent / "files"
    (files / "here").mkdir(parents=True, exist_ok=True)
    (files / "here" / name).write_text(name, encoding="utf-8")
    until((files / "there" / name).exists)
