"""A cluster whose controller is moved by a push: real processes, real git, addresses that come and go."""

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from cluster import Cluster, mftgit_json
from controller_line_text import section
from forwarding import forwarded

NODES = ["node-1", "node-2"]
QUICK = "poll_s: 1\nconfirm: {within_s: 15}\n"


@pytest.fixture
def cluster_of_three(empty: Cluster) -> Cluster:
    empty.init()
    empty.start_controller()
    for name in NODES:
        empty.add_node(name)
    empty.until_active(empty.status()["revision"], "controller", *NODES)
    return empty


def text(url: str | None = None, ca: str | None = None) -> dict[str, str | None]:
    return {"cluster.yaml": section(url, ca, name="my-cluster") + QUICK}


def lines(made: Cluster, *names: str) -> list[dict[str, Any]]:
    return [made.member(name)["controller"] for name in names]


def until_at(made: Cluster, url: str, *names: str) -> None:
    made.until(
        f"{names} are at {url}",
        lambda: all(each and each["url"] == url for each in lines(made, *names)),
    )


def written(made: Cluster, name: str) -> str:
    found = json.loads((made.dir(name) / "bootstrap.json").read_bytes())
    return str(found["controller_url"])


@pytest.fixture
def addresses() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_a_cluster_follows_its_controller_to_another_address(
    cluster_of_three: Cluster, addresses: ExitStack
) -> None:
    made, everybody = cluster_of_three, ["controller", *NODES]
    clone, old = made.clone(), made.access["url"]
    good = made.push(clone, text())
    made.until_active(good, *everybody)

    with forwarded(old, host="127.0.0.2") as gone:
        pass
    bad = made.push(clone, text(gone))
    made.until(
        "every member goes back",
        lambda: all(
            (each["active_revision"], each["state"]) == (good, "rolled back")
            and gone in each["reason"]
            for each in map(made.member, everybody)
        ),
    )

    def told() -> dict[str, str]:
        back = [each for each in made.events() if each["event"] == "RevisionRolledBack"]
        return {each["member"]: each["reason"] for each in back if each["revision"] == bad}

    made.until("every member tells of it", lambda: told().keys() == set(everybody))
    assert all(gone in reason for reason in told().values())
    assert {written(made, name) for name in everybody} == {old}

    made.kill("node-2")
    new = addresses.enter_context(forwarded(old, host="127.0.0.2"))
    moved = made.push(clone, text(new))
    made.until_active(moved, "controller", "node-1")
    until_at(made, new, "controller", "node-1")
    after = made.push(clone, {"notes.md": "at the new address"})
    made.until_active(after, "controller", "node-1")
    assert written(made, "node-2") == old
    made.start("node-2")  # it was away, and the old address answers yet
    made.until_active(after, "node-2")
    until_at(made, new, *everybody)
    assert written(made, "node-2") == new

    made.kill("node-1")
    made.stop("controller")
    made.start_controller()
    made.start("node-1")
    last = made.push(clone, {"notes.md": "after the restarts"})
    made.until_active(last, *everybody)
    assert made.git("ls-remote", f"{new}/config.git").returncode == 0
    made.access["url"] = new
    made.add_node("node-3")
    made.until_active(last, "node-3")


def test_a_running_cluster_gets_another_authority_and_nobody_is_left_out(
    cluster_of_three: Cluster,
) -> None:
    made, everybody = cluster_of_three, ["controller", *NODES]
    clone = made.clone()

    def rotate() -> dict[str, Any]:
        words = ("controller", "rotate-ca", "--dir", made.dir("controller"))
        answer: dict[str, Any] = mftgit_json(*words, cwd=made.root)
        return answer

    offered = rotate()
    assert (offered["step"], offered["waits_for"]) == ("offered", everybody)
    (made.root / "both.pem").write_text(offered["ca"], encoding="utf-8")
    made.access["ca_file"] = str(made.root / "both.pem")
    made.push(clone, text(ca=offered["ca"]))
    made.until("all take both", lambda: rotate()["step"] == "changed")
    changed = rotate()
    port = int(made.access["url"].rpartition(":")[2])
    context = ssl.create_default_context(cadata=changed["ca"])

    def shows_the_new_one() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port)) as plain:
                context.wrap_socket(plain, server_hostname="127.0.0.1").close()
        except ssl.SSLError:
            return False
        return True

    made.until("the controller shows the new one", shows_the_new_one)
    made.kill("node-2")
    made.start("node-2")
    revision = made.push(clone, text(ca=changed["ca"]))
    made.until_active(revision, *everybody)
    made.until("the old one counts nowhere", lambda: rotate()["step"] == "done")
