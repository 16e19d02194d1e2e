"""What a git server does, and dulwich 1.2.21 by itself does not: ours, and `git http-backend` as the oracle."""

import gzip
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from git_backend import backend
from git_cli import clone, commit, git, git_ok
from git_raw import Raw, blob, line, oid, pack, post, push, tree
from git_raw import commit as raw_commit
from git_site import FIRST, site

from mftgit.model.names import MAIN

pytestmark = [pytest.mark.needs("git"), pytest.mark.long]

CAPS = b" multi_ack_detailed side-band-64k thin-pack ofs-delta no-done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One of the two; ``happened`` gives the revisions of which somebody was told."""

    url: str
    path: Path
    headers: Callable[[], list[dict[str, str]]]
    happened: Callable[[], list[str]]

    @property
    def tip(self) -> str:
        """Return where main stands."""
        return git_ok(self.path, "rev-parse", MAIN)


@pytest.fixture(params=["mftgit", "git http-backend"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """Give each of the two; after each test its repository is sound, and a clone works."""
    if request.param == "mftgit":
        with site(tmp_path) as ours:
            made = Server(
                url=ours.url,
                path=ours.store.path,
                headers=lambda: [headers for _, _, headers in ours.served.requests],
                happened=lambda: list(map(str, ours.published)),
            )
            yield made
            assert set(ours.served.statuses) <= {200}
            look_after(made, tmp_path)
    else:
        with backend(tmp_path) as (url, path, requests):
            told = path / "happened"
            made = Server(
                url=url,
                path=path,
                headers=lambda: requests,
                happened=lambda: told.read_text("ascii").split() if told.exists() else [],
            )
            yield made
            look_after(made, tmp_path)


def look_after(server: Server, folder: Path) -> None:
    checked = git(server.path, "fsck", "--strict", "--full", "--no-dangling")
    assert (checked.code, checked.err) == (0, "")
    assert git_ok(clone(server.url, folder / "after"), "rev-parse", "HEAD") == server.tip


@pytest.fixture
def work(server: Server, tmp_path: Path) -> Path:
    return clone(server.url, tmp_path / "work")


def change(base: str, text: bytes) -> tuple[str, bytes]:
    """Return the id of a commit onto ``base``, and a pack with it."""
    first = blob(FIRST["cluster.yaml"])
    root = tree(("100644", b"a", oid(blob(text))), ("100644", b"cluster.yaml", oid(first)))
    last = raw_commit(oid(root), base)
    return oid(last), pack(blob(text), root, last)


# Stale pushes


def test_a_push_for_an_older_tip_is_refused(server: Server) -> None:
    base = server.tip
    first, second = change(base, b"1"), change(base, b"2")
    assert f"ok {MAIN}" in push(server.url, (base, first[0], MAIN), content=first[1])
    told = push(server.url, (base, second[0], MAIN), content=second[1])
    assert f"ng {MAIN}" in told
    assert server.tip == first[0]
    assert server.happened() == [first[0]]


@pytest.mark.parametrize("caps", ["", "atomic"])
def test_of_pushes_that_race_one_is_acknowledged_and_is_there(server: Server, caps: str) -> None:
    acknowledged: list[str] = []
    for turn in range(4):
        base = server.tip
        made = [change(base, b"%d %d" % (turn, n)) for n in range(6)]

        def one(new: tuple[str, bytes], base: str = base) -> str:
            return push(server.url, (base, new[0], MAIN), content=new[1], caps=caps)

        with ThreadPoolExecutor(len(made)) as pool:
            told = list(pool.map(one, made))
        won = [new for (new, _), text in zip(made, told, strict=True) if f"ok {MAIN}" in text]
        assert sum(f"ng {MAIN}" in text for text in told) == len(made) - 1, told
        assert won == [server.tip]
        acknowledged += won
    assert server.happened() == acknowledged


# Refusals


def test_one_refused_ref_of_an_atomic_push_keeps_all_where_they_are(
    server: Server, work: Path
) -> None:
    base = server.tip
    commit(work, {"a": "1"})
    ran = git(work, "push", "--atomic", "origin", "main", "main:other")
    assert ran.code != 0
    assert "main -> main (atomic push fail" in ran.err
    assert server.tip == base
    assert server.happened() == []


def test_one_refused_ref_of_another_push_keeps_no_other_back(server: Server, work: Path) -> None:
    revision = commit(work, {"a": "1"})
    assert git(work, "push", "origin", "main", "main:other").code != 0
    assert server.tip == revision
    assert server.happened() == [revision]


def test_what_checks_a_push_sees_its_objects_and_nothing_happens_after_a_refusal(
    server: Server, work: Path
) -> None:
    base = server.tip
    revision = commit(work, {"a": "this is bad\n"})
    ran = git(work, "push", "origin", "main")
    assert ran.code != 0
    assert "remote: " in ran.err
    assert "holds the word bad" in ran.err
    assert server.tip == base
    assert server.happened() == []
    assert git(server.path, "cat-file", "-e", revision).code != 0


@pytest.mark.parametrize(
    "words", [("--force", "HEAD~1:main"), ("--force", "aside:main"), (":main",)]
)
def test_main_only_grows(server: Server, work: Path, words: tuple[str, ...]) -> None:
    revision = commit(work, {"a": "1"})
    git_ok(work, "push", "--quiet", "origin", "main")
    git_ok(work, "checkout", "--quiet", "--orphan", "aside")
    commit(work, {"b": "2"})
    git_ok(work, "checkout", "--quiet", "main")
    assert git(work, "push", "origin", *words).code != 0
    assert server.tip == revision
    assert server.happened() == [revision]


TEXT = blob(b"hand-made\n")
GOOD = tree(("100644", b"file", oid(TEXT)))
BROKEN: dict[str, tuple[list[Raw], Raw]] = {
    "no tree": ([], GOOD),
    "no blob": ([GOOD], GOOD),
    "no tree of a folder": ([TEXT], tree(("40000", b"folder", oid(GOOD)))),
    "a tree for a blob": ([TEXT, GOOD], tree(("100644", b"file", oid(GOOD)))),
    "a name twice": ([TEXT], tree(*[("100644", b"a", oid(TEXT))] * 2)),
    ".git": ([TEXT], tree(("100644", b".git", oid(TEXT)))),
    ".GIT": ([TEXT], tree(("100644", b".GIT", oid(TEXT)))),
    "git~1": ([TEXT], tree(("100644", b"git~1", oid(TEXT)))),
    "..": ([TEXT], tree(("100644", b"..", oid(TEXT)))),
    ".": ([TEXT], tree(("100644", b".", oid(TEXT)))),
    "a slash": ([TEXT], tree(("100644", b"a/../../b", oid(TEXT)))),
    "no name": ([TEXT], tree(("100644", b"", oid(TEXT)))),
    "a zero before the mode": ([TEXT], tree(("0100644", b"a", oid(TEXT)))),
    "not sorted": ([TEXT], tree(("100644", b"b", oid(TEXT)), ("100644", b"a", oid(TEXT)))),
}


@pytest.mark.parametrize("case", BROKEN)
def test_objects_that_are_missing_or_malformed_are_refused(server: Server, case: str) -> None:
    objects, root = BROKEN[case]
    base = server.tip
    last = raw_commit(oid(root), base)
    content = pack(*dict.fromkeys([*objects, root][: None if objects else 0]), last)
    told = push(server.url, (base, oid(last), MAIN), content=content)
    assert f"ng {MAIN}" in told
    assert server.tip == base
    assert server.happened() == []
    assert git(server.path, "cat-file", "-e", oid(last)).code != 0


def test_a_commit_without_its_parent_is_refused(server: Server) -> None:
    base = server.tip
    root = git_ok(server.path, "rev-parse", f"{MAIN}^{{tree}}")
    orphan = raw_commit(root, "3" * 40, base)
    told = push(server.url, (base, oid(orphan), MAIN), content=pack(orphan))
    assert f"ng {MAIN}" in told
    assert server.tip == base


# Bodies


def test_a_body_in_gzip_is_read(server: Server) -> None:
    wants = line(b"want " + server.tip.encode() + CAPS + b"\n") + b"0000" + line(b"done\n")
    packed = {"Content-Encoding": "gzip"}
    status, answer = post(server.url, "git-upload-pack", gzip.compress(wants), packed)
    assert status == 200
    assert b"PACK" in answer


def test_a_large_push_comes_in_chunks(server: Server, work: Path) -> None:
    commit(work, {f"big/{n}": os.urandom(500_000).replace(b"bad", b"...") for n in range(10)})
    git_ok(work, "-c", "http.postBuffer=65536", "push", "--quiet", "origin", "main")
    assert any(each.get("transfer-encoding") == "chunked" for each in server.headers())
    assert server.tip == git_ok(work, "rev-parse", "HEAD")


# Fetches


def test_after_gc_with_bitmaps_and_a_push_a_fetch_brings_what_is_new(
    server: Server, work: Path, tmp_path: Path
) -> None:
    other = clone(server.url, tmp_path / "other")
    for n in range(2):
        git_ok(server.path, "-c", "repack.writeBitmaps=true", "gc", "--quiet")
        assert list(server.path.glob("objects/pack/*.bitmap"))
        commit(work, {"a": str(n)})
        git_ok(work, "push", "--quiet", "origin", "main")
        git_ok(other, "pull", "--quiet")
        assert git_ok(other, "rev-parse", "HEAD") == server.tip


def test_a_tip_that_was_advertised_is_served_after_main_has_moved(
    server: Server, work: Path
) -> None:
    advertised = server.tip
    for n in range(3):
        commit(work, {"a": str(n)})
        git_ok(work, "push", "--quiet", "origin", "main")
    wants = line(b"want " + advertised.encode() + CAPS + b"\n") + b"0000" + line(b"done\n")
    status, answer = post(server.url, "git-upload-pack", wants)
    assert status == 200
    assert b"PACK" in answer


def test_a_shallow_clone_fetches_pushes_and_becomes_whole(
    server: Server, work: Path, tmp_path: Path
) -> None:
    for n in range(3):
        commit(work, {"a": str(n)})
    git_ok(work, "push", "--quiet", "origin", "main")
    shallow = clone(server.url, tmp_path / "shallow", "--depth", "1")
    assert git_ok(shallow, "rev-list", "--count", "HEAD") == "1"
    commit(work, {"b": "more"})
    git_ok(work, "push", "--quiet", "origin", "main")
    git_ok(shallow, "fetch", "--quiet")
    git_ok(shallow, "merge", "--quiet", "--ff-only", "origin/main")
    assert git_ok(shallow, "rev-list", "--count", "HEAD") == "2"
    commit(shallow, {"c": "of the shallow one"})
    git_ok(shallow, "push", "--quiet", "origin", "main")
    assert server.tip == git_ok(shallow, "rev-parse", "HEAD")
    git_ok(shallow, "fetch", "--quiet", "--unshallow")
    assert git_ok(shallow, "rev-list", "--count", "HEAD") == "6"
    git_ok(shallow, "fsck", "--strict")


# What is asked for


@pytest.mark.parametrize("version", ["0", "1", "2"])
def test_every_version_of_the_protocol_may_be_asked_for(
    server: Server, tmp_path: Path, version: str
) -> None:
    words = ("-c", f"protocol.version={version}")
    git_ok(tmp_path, *words, "clone", "--quiet", server.url, "got")
    got = tmp_path / "got"
    revision = commit(got, {"a": "1"})
    git_ok(got, *words, "push", "--quiet", "origin", "main")
    git_ok(got, *words, "fetch", "--quiet")
    assert git_ok(got, "rev-parse", "origin/main") == server.tip == revision


def test_a_push_option_is_told_to_be_unsupported(server: Server, work: Path) -> None:
    base = server.tip
    commit(work, {"a": "1"})
    ran = git(work, "push", "--push-option", "x", "origin", "main")
    assert ran.code != 0
    assert "does not support push options" in ran.err
    assert server.tip == base


def test_a_partial_clone_that_is_asked_for_is_a_whole_one(server: Server, tmp_path: Path) -> None:
    partial = clone(server.url, tmp_path / "partial", "--filter=blob:none")
    assert (partial / "cluster.yaml").read_bytes() == FIRST["cluster.yaml"]
    git_ok(partial, "fsck", "--strict")
