"""The limits of the gate come from the published revision: a real controller, TLS, stock git."""

import os
import socket
import ssl
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from controller_site import DOCUMENTS, Site, controller_site
from git_cli import clone, commit, git, git_ok
from git_raw import blob, head, oid, pack_of, push_body
from git_raw import commit as raw_commit
from git_raw import pack as raw_pack
from git_raw import tree as raw_tree

from mftgit.model.names import MAIN
from mftgit.model.revisions.limits import HIGHEST, LOWEST, Limits

pytestmark = pytest.mark.needs("git")

Files = Callable[[], dict[str, str | bytes]]
MIB = 1 << 20
BEYOND: dict[str, tuple[Files, str]] = {
    "max_pack_bytes": (lambda: {"big": os.urandom(5 * MIB)}, "the pack has 5,24"),
    "max_objects": (lambda: {f"n/{n}": f"{n}" for n in range(110)}, "the pack holds 113 objects"),
    "max_object_bytes": (lambda: {"big": bytes(5 * MIB)}, "an object has 5,242,880 bytes"),
    "max_inflated_bytes": (
        lambda: {f"n/{n}": bytes([n]) * MIB for n in range(5)},
        "the pack inflates to at least ",
    ),
    "max_entries": (
        lambda: {f"n/{n}": "same" for n in range(110)},
        "the revision has at least 101",
    ),
    "max_tree_depth": (lambda: {"a/b/c": "1"}, "folders are 2 deep"),
    "max_path_bytes": (lambda: {"a" * 110: "1"}, "a path has 110 bytes"),
}
"""Files that are beyond the lowest that each limit can be set to, and what is told of them."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as running:
        yield running


@pytest.fixture
def work(site: Site, tmp_path: Path) -> Path:
    where = site.url.replace("https://", f"https://admin:{quote(site.password)}@")
    ca = f"http.sslCAInfo={site.folder.ca_file}"
    return clone(f"{where}/config.git", tmp_path / "work", "-c", ca)


def limited(**limits: int) -> dict[str, str | bytes]:
    lines = [f"    {name}: {value}\n" for name, value in limits.items()]
    return {"cluster.yaml": "name: c\ngate:\n  limits:\n" + "".join(lines)}


def publish(work: Path, files: dict[str, str | bytes]) -> None:
    commit(work, files)
    git_ok(work, "push", "--quiet", "origin", "main")


@pytest.mark.parametrize("name", BEYOND)
def test_a_limit_that_was_pushed_refuses_the_next_push_and_a_higher_one_lets_it_pass(
    work: Path, name: str
) -> None:
    files, text = BEYOND[name]
    publish(work, limited(**{name: getattr(LOWEST, name)}))
    before = git_ok(work, "rev-parse", "HEAD")
    commit(work, files())
    ran = git(work, "push", "origin", "main")
    assert ran.code != 0
    assert text in ran.err
    assert f"at most {getattr(LOWEST, name):,} are taken: gate.limits.{name} in the" in ran.err
    assert git_ok(work, "ls-remote", "origin", MAIN).split()[0] == before
    git_ok(work, "reset", "--quiet", "--hard", before)
    publish(work, limited(**{name: getattr(HIGHEST, name)}))
    publish(work, files())


def test_no_push_raises_the_limit_that_it_is_beyond(work: Path) -> None:
    publish(work, limited(max_tree_depth=1))
    commit(work, {"a/b/c": "1", **limited(max_tree_depth=5)})
    assert "folders are 2 deep, at most 1 are taken" in git(work, "push", "origin", "main").err


def test_a_revision_that_is_beyond_the_limit_that_it_sets_is_refused(work: Path) -> None:
    publish(work, {"a/b/c": "1"})
    commit(work, limited(max_tree_depth=1))
    told = git(work, "push", "origin", "main").err
    assert "cluster.yaml:4:21: this revision needs 2 here" in told


def chain(length: int) -> tuple[bytes, str]:
    """Return a pack of a text and so many deltas, each of the one before; and the id of the last one's content."""
    content, entries, distance = b"x", [raw_pack(blob(b"x"))[12:-20]], 0
    for _ in range(length):
        distance = len(entries[-1])
        size = bytes([len(content), len(content) + 1])
        delta = size + bytes([0x90, len(content), 1]) + b"y"
        entries.append(ofs_entry(delta, distance))
        content += b"y"
    return b"".join(entries), oid(blob(content))


def ofs_entry(delta: bytes, distance: int) -> bytes:
    assert distance < 0x80
    return head(6, len(delta)) + bytes([distance]) + zlib.compress(delta)


def push_chain(site: Site, work: Path, length: int) -> str:
    at = git_ok(work, "rev-parse", "HEAD")
    deltas, text = chain(length)
    files = git_ok(work, "ls-tree", "HEAD").splitlines()
    rows = [
        (line.split()[0].lstrip("0"), line.split("\t")[1].encode(), line.split()[2])
        for line in files
    ]
    top = raw_tree(*sorted([*rows, ("100644", b"chained", text)], key=lambda row: row[1]))
    last = raw_commit(oid(top), at)
    whole = raw_pack(top, last)[12:-20]
    content = pack_of(*[b""] * (length + 2), deltas + whole)
    body = push_body((at, oid(last), MAIN), content=content)
    kind = {"Content-Type": "application/x-git-receive-pack-request", **site.basic()}
    status, answer = site.ask("POST", "/config.git/git-receive-pack", body=body, headers=kind)
    assert status == 200
    return str(answer)


def test_a_chain_of_deltas_is_as_long_as_the_limit_at_most(site: Site, work: Path) -> None:
    publish(work, limited(max_delta_depth=50))
    told = push_chain(site, work, 60)
    assert "the pack holds a chain of 60 deltas, at most 50 are taken" in told
    assert "gate.limits.max_delta_depth" in told
    publish(work, limited(max_delta_depth=60))
    assert f"ok {MAIN}" in push_chain(site, work, 60)


def test_as_many_proposals_are_open_as_the_limit_says(work: Path) -> None:
    publish(work, limited(max_changes=1))
    commit(work, {"a": "1"})
    git_ok(work, "push", "origin", "HEAD:change/a")
    told = git(work, "push", "origin", "HEAD:change/b").err
    assert (
        "with this one 2 proposals would be open, at most 1 are taken: gate.limits.max_chan" in told
    )
    git_ok(work, "push", "origin", "HEAD:change/a")
    publish(work, limited(max_changes=2))
    git_ok(work, "push", "origin", "HEAD:change/b")


def test_a_push_that_does_not_arrive_in_time_is_told_the_setting(site: Site, work: Path) -> None:
    publish(work, limited(max_request_s=10))
    host, port = site.url.removeprefix("https://").split(":")
    context = ssl.create_default_context(cafile=str(site.folder.ca_file))
    lines = [
        "POST /config.git/git-receive-pack HTTP/1.1",
        f"Host: {host}",
        f"Authorization: {site.basic()['Authorization']}",
        "Content-Type: application/x-git-receive-pack-request",
        "Content-Length: 100",
    ]
    with (
        socket.create_connection((host, int(port)), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname=host) as line,
    ):
        line.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = line.recv(1 << 16).decode()
        while "max_request_s" not in answer and (more := line.recv(1 << 16)):
            answer += more.decode()
    assert "HTTP/1.1 408" in answer
    assert "the request took longer than 10 s; gate.limits in the published cluster.yaml" in answer


def test_a_body_that_is_far_beyond_is_cut_off_with_the_setting(site: Site, work: Path) -> None:
    publish(work, limited(max_pack_bytes=LOWEST.max_pack_bytes))
    kind = {"Content-Type": "application/x-git-receive-pack-request", **site.basic()}
    body = bytes(LOWEST.body_bytes + 1)
    status, answer = site.ask("POST", "/config.git/git-receive-pack", body=body, headers=kind)
    assert status == 413
    assert "max_pack_bytes" in answer["error"]


def test_limits_hold_again_after_a_restart(site: Site, work: Path) -> None:
    publish(work, limited(max_tree_depth=1))
    site.stop()
    site.start()
    commit(work, {"a/b/c": "1"})
    assert "at most 1 are taken" in git(work, "push", "origin", "main").err


def test_limits_that_cannot_be_read_leave_the_last_good_ones(site: Site, work: Path) -> None:
    publish(work, limited(max_changes=1))
    site.publish({"cluster.yaml": b"name: c\ngate: {limits: {max_moons: 3}}\n"})
    assert site.controller._limits() == Limits(max_changes=1)
    site.publish({"cluster.yaml": b"name: c\n"})
    assert site.controller._limits() == Limits()


def test_without_limits_everything_is_as_before() -> None:
    assert DOCUMENTS["cluster.yaml"] == b"name: c\n"
    assert Limits() == Limits(
        max_pack_bytes=64 * MIB,
        max_objects=100_000,
        max_object_bytes=32 * MIB,
        max_inflated_bytes=512 * MIB,
        max_entries=50_000,
        max_tree_depth=16,
        max_changes=200,
        max_request_s=300,
    )
