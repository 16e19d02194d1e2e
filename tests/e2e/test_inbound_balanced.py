"""Clients of three members behind a real HAProxy, by the configuration that the docs give."""

import http.client
from collections.abc import Iterator
from contextlib import closing

import pytest
from balanced import ACCOUNT, ATTACKER, CLIENT, NODES, Balanced, balanced, digest

from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.main import run_verb
from mftgit.cli.orders import give_order
from mftgit.model.members.orders import Verb

pytestmark = [pytest.mark.needs("haproxy"), pytest.mark.needs("sftp")]

LARGE = bytes(range(256)) * (4 << 10)  # 1 MiB
FILES = ("a", "b", "c")
SLOW = ("-l", "400")  # kbit/s: twenty seconds for that


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Balanced]:
    root = tmp_path_factory.mktemp("balanced")
    with balanced(root, defence="failures: 2, delay_s: 0, ban_s: 600") as made:
        for name in FILES:
            (made.made.root / name).write_bytes(b"x")
        yield made


def is_ready(site: Balanced, name: str) -> bool:
    with closing(http.client.HTTPConnection("127.0.0.1", site.health[name], timeout=10)) as line:
        line.request("GET", "/readyz")
        status = line.getresponse().status
    assert status in {200, 503}
    return status == 200


def test_every_member_serves_the_same_and_tells_the_client_s_own_address(site: Balanced) -> None:
    def every_member_was_met() -> bool:
        # One after the other: that a session has ended, other members hear a moment later, and count it until then.
        for name in FILES:
            done = site.run(f"put {name}")
            assert done.returncode == 0, done.stdout
        return {node for node, _ in site.events("UploadFinished")} == set(NODES)

    assert site.run("pwd").returncode == 0  # it takes the host key that it is shown first
    site.made.until("every member was met", every_member_was_met)
    # The client has seen one host key, and would have ended at another.
    assert len((site.made.root / "known_hosts").read_text(encoding="ascii").splitlines()) == 1
    assert {each["source"] for _, each in site.events("UploadFinished")} == {CLIENT}
    failed = [each["source"] for _, each in site.events("InboundLoginFailed")]
    assert CLIENT not in failed


def test_an_upload_is_taken_on_at_once_whichever_member_it_reached(site: Balanced) -> None:
    assert site.run("-mkdir out").returncode == 0
    for node, name in zip(NODES, FILES, strict=True):  # two of them do not own the transfer
        assert site.run(f"put {name} out/{name}", port=site.ports[node]).returncode == 0
        site.made.until(f"{name} is taken on", (site.made.files / "taken" / name).exists)


def test_a_member_that_dies_leaves_nothing_half_and_its_client_goes_on_with_another(
    site: Balanced,
) -> None:
    (site.made.root / "large").write_bytes(LARGE)
    client = site.start("put large", options=SLOW)
    name = site.serving()
    site.made.until(
        "a part is there",
        lambda: any(each.stat().st_size > 1 << 16 for each in site.home.glob(".mftgit-upload-*")),
    )
    site.made.kill(name)
    assert site.end(client).returncode != 0
    assert not (site.home / "large").exists()
    for number in range(len(NODES)):
        done = site.put(f"c{number}", b"x")
        assert done.returncode == 0, done.stdout
    done = site.run("reput large")
    assert done.returncode == 0, done.stdout
    assert (site.home / "large").read_bytes() == LARGE
    others = [each for each in NODES if each != name]
    (told,) = [
        each for _, each in site.events("UploadFinished", *others) if each["path"] == "/large"
    ]
    assert (told["resumed"], told["sha256"]) == (True, digest(LARGE))
    assert not list(site.home.glob(".mftgit-upload-*"))
    site.start_node(name)


def test_an_account_has_its_sessions_once_for_all_members(site: Balanced) -> None:
    site.made.until("nobody is served", lambda: not any(map(site.balancer.sessions, NODES)))
    clients = [site.start("pwd") for _ in range(3)]
    port = site.ports[NODES[-1]]
    site.made.until("a member knows of all", lambda: site.run("pwd", port=port).returncode != 0)
    assert site.end(clients.pop()).returncode == 0
    site.made.until("one more is let in again", lambda: site.run("pwd").returncode == 0)
    for client in clients:
        assert site.end(client).returncode == 0


def test_a_member_that_is_drained_ends_its_sessions_in_order_and_is_sent_no_others(
    site: Balanced,
) -> None:
    client = site.start("pwd")
    name = site.serving()
    folder = StateFolder(site.made.dir(name))
    assert is_ready(site, name)
    give_order(folder, Verb.DRAIN)
    site.made.until("the balancer knows", lambda: not site.balancer.is_up(name))
    assert not is_ready(site, name)
    for number in range(len(NODES)):
        assert site.put(f"d{number}", b"x").returncode == 0
    # An upload is told before it is acknowledged; that a session was opened, a moment later.
    takers = [node for node, each in site.events("UploadFinished") if each["path"][:2] == "/d"]
    assert len(takers) == len(NODES)
    assert name not in takers
    site.tell(client, "put a last")
    done = site.end(client)
    assert done.returncode == 0, done.stdout
    assert (site.home / "last").exists()
    site.made.until("it is drained", lambda: site.made.member(name)["drain"] == "drained")
    give_order(folder, Verb.END_DRAIN)
    site.made.until("clients are sent there again", lambda: site.balancer.is_up(name))


def test_who_is_banned_at_one_member_is_kept_out_by_all_until_that_is_lifted(
    site: Balanced,
) -> None:
    port = site.ports["node-1"]
    for _ in range(2):
        assert site.run("pwd", port=port, at=ATTACKER, key="stranger").returncode != 0
    for name in NODES:
        site.made.until(f"{name} keeps it out", lambda name=name: kept_out(site, name))  # type: ignore[misc]
    assert site.run("pwd", port=port).returncode == 0  # who is somebody else
    banned = site.events("SourceBanned")
    assert [(node, each["source"]) for node, each in banned] == [("node-1", f"{ATTACKER}/32")]
    assert run_verb(["ban", "lift", ATTACKER, "--dir", str(site.made.dir("controller"))]) == 0
    for name in NODES:
        site.made.until(f"{name} lets it in", lambda name=name: not kept_out(site, name))  # type: ignore[misc]


def kept_out(site: Balanced, name: str) -> bool:
    """Tell whether the one who was banned cannot even log in with a good key."""
    return site.run("pwd", port=site.ports[name], at=ATTACKER, key=ACCOUNT).returncode != 0
