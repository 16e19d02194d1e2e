"""What a real node runs lies there as files, and who edits them while it is stopped is heard."""

from pathlib import Path
from typing import Any

from cluster import Cluster, cluster

REVISION = {
    "members/node-1.yaml": "role: node\n",
    "locations/inbox.yaml": "type: local\npath: inbox\n",
}


def finds(made: Cluster) -> list[dict[str, Any]]:
    return [each for each in made.events("node-1") if each["event"] == "DriftFound"]


def test_a_node_puts_its_copy_right_and_tells_also_what_was_done_while_it_was_stopped(
    tmp_path: Path,
) -> None:
    with cluster(tmp_path) as made:
        made.init()
        made.start_controller()
        made.add_node("node-1")
        clone = made.clone()
        revision = made.push(clone, dict(REVISION))
        copied = made.dir("node-1") / "active/locations/inbox.yaml"
        made.until("it is copied", copied.exists)
        assert made.stop("node-1") == 0
        assert finds(made) == []
        copied.unlink()
        copied.write_text("mine", encoding="utf-8")
        made.start("node-1")
        made.until("it is told", lambda: finds(made))
        (told,) = finds(made)
        assert (told["revision"], told["count"]) == (revision, 1)
        assert told["files"] == [{"path": "locations/inbox.yaml", "what": "edited"}]
        assert copied.read_text(encoding="utf-8") == REVISION["locations/inbox.yaml"]
        saved = made.dir("node-1") / told["saved"] / "files/locations/inbox.yaml"
        assert saved.read_text(encoding="utf-8") == "mine"
