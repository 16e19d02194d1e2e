"""The guarded smart-HTTP gate, by stock git and by bytes that no honest client sends."""

import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from git_cli import clone, commit, git, git_ok
from git_raw import (
    ZERO,
    blob,
    head,
    line,
    oid,
    pack,
    pack_of,
    post,
    push,
    push_body,
    request,
    tree,
)
from git_raw import commit as raw_commit
from git_server import serving
from git_site import FIRST, Site, site

from mftgit.adapters.git.http import GitHttp
from mftgit.adapters.git.store import GitStore
from mftgit.model.events.event import EventName
from mftgit.model.names import MAIN, Revision
from mftgit.model.revisions.limits import Limits
from mftgit.model.revisions.push import Push, Verdict, judge

pytestmark = pytest.mark.needs("git")

READ_ONLY = ("-c", "http.extraHeader=X-Role: read")
CAPS = b" multi_ack_detailed side-band-64k thin-pack ofs-delta no-done"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as running:
        yield running


@pytest.fixture
def work(served: Site, tmp_path: Path) -> Path:
    return clone(served.url, tmp_path / "work")


def tip(served: Site) -> Revision:
    found = served.store.head()
    assert found is not None
    return found


def has(served: Site, name: str) -> bool:
    return git(served.store.path, "cat-file", "-e", name).code == 0


def files(served: Site) -> set[str]:
    """Return every file of the repository; refusals add none."""
    folder = served.store.path
    return {str(file.relative_to(folder)) for file in folder.rglob("*")}


def sound(served: Site) -> bool:
    checked = git(served.store.path, "fsck", "--strict", "--full", "--no-dangling")
    return checked.code == 0 and not checked.err


# Clone, fetch, push


def test_a_clone_holds_what_was_published(work: Path) -> None:
    assert git_ok(work, "ls-files").splitlines() == sorted(FIRST)
    assert git_ok(work, "symbolic-ref", "HEAD") == MAIN


def test_a_push_is_published_and_others_fetch_it(served: Site, work: Path, tmp_path: Path) -> None:
    other = clone(served.url, tmp_path / "other")
    revision = commit(work, {"transfers/b.yaml": "two\n"})
    git_ok(work, "push", "origin", "main")
    git_ok(other, "pull", "--quiet")
    assert git_ok(other, "rev-parse", "HEAD") == revision == tip(served)
    assert (other / "transfers/b.yaml").read_text(encoding="utf-8") == "two\n"
    assert sound(served)


def test_a_push_is_told_once_after_main_has_moved(served: Site, work: Path) -> None:
    before = tip(served)
    revision = commit(work, {"a": "1"})
    git_ok(work, "push", "origin", "main")
    git_ok(work, "push", "origin", "main")
    assert served.told() == [EventName.PUSH_RECEIVED, EventName.REVISION_PUBLISHED]
    assert served.events[1][1] == revision
    assert served.events[1][2] == {"who": "ann", "previous": before}
    assert served.published == [revision]


def test_a_merge_of_two_lines_of_work_is_fast_forward(
    served: Site, work: Path, tmp_path: Path
) -> None:
    other = clone(served.url, tmp_path / "other")
    commit(other, {"b": "1"})
    git_ok(other, "push", "origin", "main")
    commit(work, {"a": "1"})
    git_ok(work, "pull", "--quiet", "--no-rebase", "--no-edit")
    git_ok(work, "push", "origin", "main")
    assert tip(served) == git_ok(work, "rev-parse", "HEAD")
    assert sound(served)


def test_a_push_of_thirty_megabytes_arrives_in_chunks(served: Site, work: Path) -> None:
    commit(work, {f"big/{n}": os.urandom(1_000_000) for n in range(30)})
    git_ok(work, "-c", "http.postBuffer=65536", "push", "--quiet", "origin", "main")
    assert any(
        headers.get("transfer-encoding") == "chunked" for _, _, headers in served.served.requests
    )
    assert tip(served) == git_ok(work, "rev-parse", "HEAD")
    assert served.store.tree(tip(served))["big/29"].size_bytes == 1_000_000


def test_a_push_larger_than_the_limit_is_refused_with_the_limit(tmp_path: Path) -> None:
    with site(tmp_path, limits=Limits(max_pack_bytes=100_000)) as served:
        work = clone(served.url, tmp_path / "work")
        before = files(served)
        commit(work, {"big": os.urandom(200_000)})
        ran = git(work, "push", "origin", "main")
        assert ran.code != 0
        assert "at most 100,000 are taken: gate.limits.max_pack_bytes" in ran.err
        assert files(served) == before
        commit(work, {"big": os.urandom(2_000_000)})
        assert "413" in git(work, "push", "origin", "main").err
        assert files(served) == before


def test_a_shallow_clone_fetches_and_pushes(served: Site, work: Path, tmp_path: Path) -> None:
    for n in range(3):
        commit(work, {"a": str(n)})
    git_ok(work, "push", "--quiet", "origin", "main")
    shallow = clone(served.url, tmp_path / "shallow", "--depth", "1")
    assert git_ok(shallow, "rev-list", "--count", "HEAD") == "1"
    commit(work, {"b": "more"})
    git_ok(work, "push", "--quiet", "origin", "main")
    git_ok(shallow, "pull", "--quiet")
    assert git_ok(shallow, "rev-list", "--count", "HEAD") == "2"
    git_ok(shallow, "fsck", "--strict")
    commit(shallow, {"c": "from the shallow one"})
    git_ok(shallow, "push", "--quiet", "origin", "main")
    git_ok(shallow, "fetch", "--quiet", "--unshallow")
    assert git_ok(shallow, "rev-list", "--count", "HEAD") == "6"
    assert sound(served)


def test_a_shallow_clone_fetches_a_merge_of_work_that_is_older_than_it(
    served: Site, work: Path, tmp_path: Path
) -> None:
    git_ok(work, "branch", "old")
    commit(work, {"a": "1"})
    git_ok(work, "push", "--quiet", "origin", "main")
    shallow = clone(served.url, tmp_path / "shallow", "--depth", "1")
    git_ok(work, "checkout", "--quiet", "old")
    commit(work, {"side": "1"})
    git_ok(work, "checkout", "--quiet", "main")
    git_ok(work, "merge", "--quiet", "--no-edit", "old")
    git_ok(work, "push", "--quiet", "origin", "main")
    git_ok(shallow, "pull", "--quiet")
    assert (shallow / "side").read_text(encoding="utf-8") == "1"
    git_ok(shallow, "fsck", "--strict")


def test_gc_between_pushes_with_bitmaps_breaks_no_fetch(
    served: Site, work: Path, tmp_path: Path
) -> None:
    other = clone(served.url, tmp_path / "other")
    for n in range(3):
        commit(work, {"a": str(n)})
        git_ok(work, "push", "--quiet", "origin", "main")
        git_ok(served.store.path, "-c", "repack.writeBitmaps=true", "gc", "--quiet")
        assert list(served.store.path.glob("objects/pack/*.bitmap"))
        commit(work, {"b": str(n)})
        git_ok(work, "push", "--quiet", "origin", "main")
        git_ok(other, "pull", "--quiet")
        assert git_ok(other, "rev-parse", "HEAD") == tip(served)


def test_gc_as_configured_writes_no_bitmap(served: Site) -> None:
    git_ok(served.store.path, "gc", "--quiet")
    assert not list(served.store.path.glob("objects/pack/*.bitmap"))


def test_a_clone_without_blobs_is_served_as_a_whole_one(served: Site, tmp_path: Path) -> None:
    partial = clone(served.url, tmp_path / "partial", "--filter=blob:none")
    assert (partial / "cluster.yaml").read_bytes() == FIRST["cluster.yaml"]


@pytest.mark.parametrize("branch", ["main", "change/a"])
def test_a_tip_that_was_advertised_before_the_branch_moved_is_still_served(
    served: Site, work: Path, branch: str
) -> None:
    advertised = commit(work, {"a": "advertised"})
    git_ok(work, "push", "--quiet", "origin", f"HEAD:{branch}")
    for n in range(5):
        commit(work, {"a": str(n)})
        git_ok(work, "push", "--quiet", "origin", f"HEAD:{branch}")
    wants = line(b"want " + advertised.encode() + CAPS + b"\n") + b"0000" + line(b"done\n")
    status, answer = post(served.url, "git-upload-pack", wants)
    assert status == 200
    assert b"PACK" in answer


def test_a_failure_after_main_has_moved_does_not_make_the_push_fail(tmp_path: Path) -> None:
    def fails(revision: Revision) -> None:
        raise OSError(f"nobody can be told of {revision}")

    with site(tmp_path, listeners=[fails]) as served:
        work = clone(served.url, tmp_path / "work")
        revision = commit(work, {"a": "1"})
        git_ok(work, "push", "origin", "main")
        assert tip(served) == revision
        assert served.published == [revision]


def test_a_gate_that_fails_lets_nothing_through(tmp_path: Path) -> None:
    def broken(push: Push) -> Verdict:
        raise RuntimeError(push.who)

    def silent(push: Push, verdict: Verdict) -> None:
        del push, verdict

    with GitStore.create(tmp_path / "store.git") as store:
        app = GitHttp(store, gate=broken, settled=silent)
        with serving(app) as served:
            root = tree()
            last = raw_commit(oid(root))
            body = push_body((ZERO, oid(last), MAIN), content=pack(root, last))
            status, answer = post(served.url, "git-receive-pack", body)
            assert status == 500
            assert b"see the controller's log" in answer
            assert store.head() is None
            assert not list(store.path.glob("objects/pack/*"))
            assert not list(store.path.glob("objects/incoming-*"))


def test_what_became_of_a_push_can_fail_to_be_told(tmp_path: Path) -> None:
    def broken(push: Push, verdict: Verdict) -> None:
        raise RuntimeError(push.who + str(verdict))

    with GitStore.create(tmp_path / "store.git") as store:
        app = GitHttp(store, gate=judge, settled=broken)
        with serving(app) as served:
            root = tree()
            last = raw_commit(oid(root))
            told = push(served.url, (ZERO, oid(last), MAIN), content=pack(root, last))
            assert f"ok {MAIN}" in told
            assert store.head() == oid(last)


# Refusals by name and history


@pytest.mark.parametrize(
    ("words", "status_line", "explanation"),
    [
        (
            ("main:other",),
            "main -> other (only main and change/* may be pushed)",
            "found a push to refs/heads/",
        ),
        (
            ("v1",),
            "v1 -> v1 (only main and change/* may be pushed)",
            "found a push to refs/tags/v1",
        ),
        (("note",), "note -> note (only main and change/* may be pushed)", "no tags"),
        ((":main",), "main (main cannot be deleted)", "it can only grow"),
        (("--force", "main"), "main -> main (non-fast-forward)", "push without --force"),
        (("--force", "note^{tree}:main"), "(not a commit)", "is not a commit"),
    ],
)
def test_what_may_not_be_pushed_is_refused_with_reason_and_way_out(
    served: Site, work: Path, words: tuple[str, ...], status_line: str, explanation: str
) -> None:
    git_ok(work, "checkout", "--quiet", "--orphan", "elsewhere")
    commit(work, {"elsewhere": "unrelated"})
    git_ok(work, "branch", "--force", "main")
    git_ok(work, "tag", "v1")
    git_ok(work, "tag", "--annotate", "--message", "x", "note")
    before, at = files(served), tip(served)
    ran = git(work, "push", "origin", *words)
    assert ran.code != 0
    assert "[remote rejected]" in ran.err
    assert status_line in ran.err
    assert f"remote: {explanation}" in ran.err or explanation in ran.err
    assert files(served) == before
    assert tip(served) == at
    assert served.published == []
    assert served.told() == [EventName.PUSH_RECEIVED, EventName.PUSH_REFUSED]


def test_an_atomic_push_with_one_bad_ref_moves_nothing(served: Site, work: Path) -> None:
    commit(work, {"a": "1"})
    before = files(served)
    ran = git(work, "push", "--atomic", "origin", "main", "main:other")
    assert "main -> main (atomic push failed)" in ran.err
    assert "main -> other (only main and change/* may be pushed)" in ran.err
    assert files(served) == before
    assert served.published == []


def test_a_push_with_one_bad_ref_publishes_the_good_one(served: Site, work: Path) -> None:
    revision = commit(work, {"a": "1"})
    ran = git(work, "push", "origin", "main", "main:other")
    assert ran.code != 0
    assert "main -> other (only main and change/* may be pushed)" in ran.err
    assert served.published == [revision]


def test_a_push_made_for_an_older_main_is_told_to_fetch_first(served: Site, work: Path) -> None:
    base = tip(served)
    commit(work, {"a": "1"})
    git_ok(work, "push", "--quiet", "origin", "main")
    root = tree(("100644", b"late", oid(blob(b"late"))))
    late = raw_commit(oid(root), base)
    before = files(served)
    told = push(served.url, (base, oid(late), MAIN), content=pack(blob(b"late"), root, late))
    assert f"ng {MAIN} fetch first" in told
    assert "git pull --rebase" in told
    assert files(served) == before


def test_naming_a_ref_twice_is_refused(served: Site) -> None:
    base = tip(served)
    again = raw_commit(base_tree(served), base)
    told = push(
        served.url,
        (base, oid(again), MAIN),
        (base, oid(again), MAIN),
        content=pack(again),
    )
    assert told.count(f"ng {MAIN} pushed twice") == 2
    assert tip(served) == base


# Refusals by content


def test_invalid_content_is_refused_with_every_problem_and_leaves_nothing(
    served: Site, work: Path
) -> None:
    before, at = files(served), tip(served)
    revision = commit(
        work,
        {"transfers/b.yaml": "fine\nthis is bad\n", "transfers/c.yaml": "bad bad\n", "d": "fine"},
    )
    ran = git(work, "push", "origin", "main")
    assert ran.code != 0
    assert "main -> main (not valid: 2 problems)" in ran.err
    assert "remote: transfers/b.yaml:2:9: holds the word bad [word]" in ran.err
    assert "remote: transfers/c.yaml:1:1: holds the word bad [word]" in ran.err
    assert "remote:   -> write good" in ran.err
    assert "nothing was published; fix the above and push again" in ran.err
    assert tip(served) == at
    assert files(served) == before
    assert not has(served, revision)
    assert not has(served, oid(blob(b"bad bad\n")))
    assert served.told() == [EventName.PUSH_RECEIVED, EventName.PUSH_REFUSED]
    assert served.events[1][2]["reason"] == "not valid: 2 problems"


def test_refused_content_is_published_once_it_is_put_right(served: Site, work: Path) -> None:
    commit(work, {"a": "bad"})
    assert git(work, "push", "origin", "main").code != 0
    revision = commit(work, {"a": "good"})
    git_ok(work, "push", "origin", "main")
    assert served.published == [revision]
    assert sound(served)


def test_a_link_reaches_the_rules_with_its_mode(work: Path) -> None:
    (work / "link").symlink_to("/etc/passwd")
    commit(work, {})
    ran = git(work, "push", "origin", "main")
    assert "remote: link: has the mode 120000 [plain]" in ran.err


def test_a_submodule_reaches_the_rules_with_its_mode(work: Path) -> None:
    git_ok(work, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},sub")
    git_ok(work, "commit", "--quiet", "--message", "sub")
    ran = git(work, "push", "origin", "main")
    assert "remote: sub: has the mode 160000 [plain]" in ran.err


def test_names_cannot_act_on_the_pusher_s_terminal(work: Path) -> None:
    commit(work, {"esc\x1b[2J": "bad"})
    ran = git(work, "push", "origin", "main")
    assert "\x1b[2J" not in ran.err
    assert "esc\\x1b[2J:1:1: holds the word bad" in ran.err


# Objects that are missing or malformed


def base_tree(served: Site) -> str:
    return git_ok(served.store.path, "rev-parse", "main^{tree}")


def broken_pushes() -> dict[str, tuple[list[tuple[bytes, bytes]], str]]:
    """Return, by name, the objects of a push (the commit last) and what the refusal says."""
    text = blob(b"hand-made\n")
    good = tree(("100644", b"file", oid(text)))
    inner = tree(("40000", b"folder", oid(good)))
    as_blob = tree(("100644", b"file", oid(good)))
    as_tree = tree(("40000", b"folder", oid(text)))
    twice = tree(("100644", b"a", oid(text)), ("100644", b"a", oid(text)))
    apart = tree(
        ("100644", b"a", oid(text)), ("100644", b"a.b", oid(text)), ("40000", b"a", oid(good))
    )

    def one(name: bytes, mode: str = "100644") -> tuple[bytes, bytes]:
        return tree((mode, name, oid(text)))

    return {
        "no tree": ([], f"tree {oid(good)} is missing"),
        "no blob": ([good], f"blob {oid(text)} is missing"),
        "no subtree": ([inner, text], f"tree {oid(good)} is missing"),
        "a tree for a blob": ([text, good, as_blob], f"{oid(good)} is a tree, expected a blob"),
        "a blob for a tree": ([text, as_tree], f"{oid(text)} is a blob, expected a tree"),
        "a name twice": ([text, twice], "malformed"),
        "a name twice apart": ([text, good, apart], "holds one name twice"),
        ".git": ([text, one(b".git")], "malformed"),
        ".GIT": ([text, one(b".GIT")], "unsafe name"),
        "git~1": ([text, one(b"git~1")], "unsafe name"),
        ".g\u200cit": ([text, one(".g\u200cit".encode())], "unsafe name"),
        "..": ([text, one(b"..")], "malformed"),
        "a slash": ([text, one(b"a/../../b")], "malformed"),
        "setuid": ([text, one(b"a", "104755")], "malformed"),
        "no name": ([text, one(b"")], "malformed"),
        "a zero before the mode": ([text, one(b"a", "0100644")], "malformed"),
    }


@pytest.mark.parametrize("case", broken_pushes())
def test_a_push_that_is_not_whole_is_refused_and_leaves_nothing(
    served: Site, tmp_path: Path, case: str
) -> None:
    objects, message = broken_pushes()[case]
    text = blob(b"hand-made\n")
    root = objects[-1] if objects else tree(("100644", b"file", oid(text)))
    if case == "no subtree":
        root = objects[0]
    last = raw_commit(oid(root), tip(served))
    before, at = files(served), tip(served)
    told = push(served.url, (at, oid(last), MAIN), content=pack(*objects, last))
    assert f"ng {MAIN} missing or broken objects" in told
    assert message in told
    assert files(served) == before
    clone(served.url, tmp_path / "after")
    assert sound(served)


def test_a_push_without_its_commit_or_its_parent_is_refused(served: Site) -> None:
    at = tip(served)
    told = push(served.url, (at, "2" * 40, MAIN), content=pack())
    assert f"object {'2' * 40} is missing" in told
    orphan = raw_commit(base_tree(served), "3" * 40, at)
    told = push(served.url, (at, oid(orphan), MAIN), content=pack(orphan))
    assert f"commit {'3' * 40} is missing" in told
    assert tip(served) == at


def test_a_blob_that_came_with_a_refused_push_does_not_count_as_there(served: Site) -> None:
    at, text = tip(served), blob(b"bad word, in a push that is refused")
    refused = tree(("100644", b"a", oid(text)))
    first = raw_commit(oid(refused), at)
    assert "not valid" in push(
        served.url, (at, oid(first), MAIN), content=pack(text, refused, first)
    )
    root = tree(("100644", b"b", oid(text)))
    second = raw_commit(oid(root), at)
    told = push(served.url, (at, oid(second), MAIN), content=pack(root, second))
    assert f"ng {MAIN} missing or broken objects" in told
    assert f"blob {oid(text)} is missing" in told


def test_a_tree_that_multiplies_itself_is_refused_by_its_count(served: Site) -> None:
    at, text = tip(served), blob(b"x")
    objects = [text, tree(*[("100644", b"%02d" % n, oid(text)) for n in range(40)])]
    for _ in range(6):
        below = oid(objects[-1])
        objects.append(tree(*[("40000", b"%02d" % n, below) for n in range(40)]))
    last = raw_commit(oid(objects[-1]), at)
    told = push(served.url, (at, oid(last), MAIN), content=pack(*objects, last))
    assert f"ng {MAIN} cannot be read" in told
    assert "at least 50,001 files and folders, at most 50,000 are taken" in told


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ends too early"),
        (b"noise that is no pack", "no pack"),
        (pack(blob(b"x"))[:-3], "broken"),
        (pack(blob(b"x"))[:-1] + b"\0", "broken"),
        (pack_of(head(7, 4) + b"\1" * 20 + zlib.compress(b"\1\1\x90\1")), "broken"),
        (pack_of(head(3, 1 << 36) + zlib.compress(b"x")), "at most"),
    ],
)
def test_a_bad_pack_is_refused_and_leaves_nothing(
    served: Site, content: bytes, message: str
) -> None:
    before, at = files(served), tip(served)
    told = push(served.url, (at, "2" * 40, MAIN), content=content)
    assert f"ng {MAIN} unpacker error" in told
    assert message in told.partition("unpack ")[2]
    assert files(served) == before
    assert served.told() == [EventName.PUSH_REFUSED]


# HTTP


def test_who_may_not_push_is_told_so_by_git(served: Site, work: Path) -> None:
    commit(work, {"a": "1"})
    git_ok(work, *READ_ONLY, "fetch", "origin")
    ran = git(work, *READ_ONLY, "push", "origin", "main")
    assert ran.code != 0
    assert "remote: ann may not push here" in ran.err
    assert served.told() == []


def test_who_may_not_push_cannot_post_either(served: Site) -> None:
    status, answer = post(served.url, "git-receive-pack", b"0000", {"X-Role": "read"})
    assert status == 403
    assert b"may not push" in answer


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/info/refs", 404),
        ("GET", "/info/refs?service=git-upload-archive", 404),
        ("GET", "/HEAD", 404),
        ("GET", "/objects/info/packs", 404),
        ("GET", "/config", 404),
        ("POST", "//git-upload-pack", 404),
        ("GET", "/git-upload-pack", 405),
        ("POST", "/info/refs", 405),
        ("PUT", "/git-receive-pack", 405),
        ("POST", "/git-upload-pack", 415),
        ("POST", "/git-receive-pack", 415),
    ],
)
def test_only_smart_http_is_spoken(served: Site, method: str, path: str, expected: int) -> None:
    status, _ = request(served.url, method, path)
    assert status == expected


@pytest.mark.parametrize("service", ["git-upload-pack", "git-receive-pack"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"zzzz",
        b"00",
        b"0003",
        b"ffffshort",
        line(b"want " + b"9" * 40 + CAPS + b"\n") + b"0000",
        line(b"want nothing" + CAPS) + b"0000",
        line(b"one two three four\0 report-status"),
        line(f"{ZERO} {ZERO} x\0 unheard-of".encode()),
    ],
)
def test_a_malformed_request_is_the_client_s_fault(served: Site, service: str, body: bytes) -> None:
    status, answer = post(served.url, service, body)
    assert status == 400
    assert answer.startswith(b"malformed git request")


def test_a_fault_of_the_gate_is_not_told_as_the_client_s(served: Site, tmp_path: Path) -> None:
    def gate(_: Push) -> Verdict:
        raise ValueError("out of the gate")

    app = GitHttp(served.store, gate=gate, settled=lambda *_: None)
    with serving(app) as faulty:
        work = clone(faulty.url, tmp_path / "work")
        commit(work, {"a": "1"})
        told = git(work, "push", "origin", "main").err
    assert "error: 500" in told
    assert "malformed" not in told


def test_the_probe_before_a_large_push_is_answered(served: Site) -> None:
    assert post(served.url, "git-receive-pack", b"0000") == (200, b"")


def test_a_compressed_body_is_read_and_bounded_by_its_inflated_size(served: Site) -> None:
    packed = {"Content-Encoding": "gzip"}
    wants = line(b"want " + tip(served).encode() + CAPS + b"\n") + b"0000" + line(b"done\n")
    status, answer = post(served.url, "git-upload-pack", gzip.compress(wants), packed)
    assert status == 200
    assert b"PACK" in answer
    bomb = gzip.compress(bytes(140_000_000))
    for service, limit in (("git-upload-pack", b"1048576"), ("git-receive-pack", b"135266304")):
        status, answer = post(served.url, service, bomb, packed)
        assert status == 413
        assert limit in answer


@pytest.mark.parametrize(
    ("encoding", "body", "expected"),
    [
        ("gzip", b"no gzip", 400),
        ("gzip", gzip.compress(b"x" * 99, mtime=0)[:20], 400),
        ("br", b"", 415),
    ],
)
def test_a_body_that_cannot_be_inflated_is_refused(
    served: Site, encoding: str, body: bytes, expected: int
) -> None:
    status, _ = post(served.url, "git-upload-pack", body, {"Content-Encoding": encoding})
    assert status == expected


def test_a_flood_of_commands_is_cut_off(served: Site) -> None:
    commands = [line(f"{ZERO} {'1' * 40} refs/heads/{n}".encode()) for n in range(2000)]
    commands[0] = line(f"{ZERO} {'1' * 40} refs/heads/x\0 report-status".encode())
    status, answer = post(served.url, "git-receive-pack", b"".join(commands) + b"0000" + pack())
    assert status == 400
    assert b"more than 1000 commands" in answer


# Proposals, and who may do what


def as_role(role: str) -> tuple[str, ...]:
    """Words for git: the server of these tests takes the role from a header."""
    return ("-c", f"http.extraHeader=x-role: {role}")


def refs(served: Site) -> dict[str, str]:
    """Return every branch with where it stands, by C git."""
    listed = git_ok(served.store.path, "for-each-ref", "--format=%(refname) %(objectname)")
    found = dict(line.split(" ") for line in listed.splitlines())
    return {name: oid for name, oid in found.items() if name.startswith("refs/heads/")}


def test_who_may_propose_moves_a_proposal_and_not_main(served: Site, work: Path) -> None:
    at = tip(served)
    revision = commit(work, {"a": "1"})
    git_ok(work, *as_role("propose"), "push", "origin", "HEAD:change/alice/new-partner")
    assert refs(served) == {MAIN: at, "refs/heads/change/alice/new-partner": revision}
    assert served.told() == [EventName.PUSH_RECEIVED, EventName.CHANGE_PROPOSED]
    assert served.published == []
    ran = git(work, *as_role("propose"), "push", "origin", "HEAD:main")
    assert "main (not allowed to publish)" in ran.err
    assert "git push origin HEAD:change/NAME" in ran.err
    assert tip(served) == at
    more = commit(work, {"b": "2"})
    git_ok(work, *as_role("propose"), "push", "origin", "HEAD:change/alice/new-partner")
    git_ok(work, "push", "origin", "HEAD:main")
    assert refs(served)[MAIN] == more
    assert served.published == [more]
    assert sound(served)


def test_who_may_read_is_told_so_before_anything_is_sent(served: Site, work: Path) -> None:
    commit(work, {"a": "1"})
    before = files(served)
    git_ok(work, *as_role("read"), "fetch", "origin")
    for target in ("main", "change/a"):
        ran = git(work, *as_role("read"), "push", "origin", f"HEAD:{target}")
        assert "mftgit operator role" in ran.err
    assert files(served) == before
    assert served.told() == []


def test_a_proposal_grows_only_and_is_checked_like_main(served: Site, work: Path) -> None:
    base = tip(served)
    commit(work, {"a": "1"})
    git_ok(work, "push", "origin", "HEAD:change/a")
    git_ok(work, "reset", "--quiet", "--hard", base)
    commit(work, {"a": "2"})
    ran = git(work, "push", "--force", "origin", "HEAD:change/a")
    assert "change/a (non-fast-forward)" in ran.err
    assert "git rebase origin/change/a" in ran.err
    commit(work, {"a": "bad"})
    ran = git(work, "push", "origin", "HEAD:change/b")
    assert "a:1:1: holds the word bad" in ran.err
    assert set(refs(served)) == {MAIN, "refs/heads/change/a"}


def test_a_proposal_is_taken_away_by_who_may_publish(served: Site, work: Path) -> None:
    commit(work, {"a": "1"})
    git_ok(work, "push", "origin", "HEAD:change/a")
    ran = git(work, *as_role("propose"), "push", "origin", "--delete", "change/a")
    assert "change/a (not yours to delete)" in ran.err
    git_ok(work, "push", "origin", "--delete", "change/a")
    assert set(refs(served)) == {MAIN}
    assert served.told()[-2:] == [EventName.PUSH_RECEIVED, EventName.CHANGE_REMOVED]
    assert served.published == []


def test_a_proposal_whose_name_is_a_folder_of_another_is_refused(served: Site, work: Path) -> None:
    commit(work, {"a": "1"})
    git_ok(work, "push", "origin", "HEAD:change/a")
    for name in ("a/b", "x" * 101):
        ran = git(work, "push", "origin", f"HEAD:refs/heads/change/{name}")
        assert ran.code != 0
        assert "HTTP 5" not in ran.err
        assert "rejected" in ran.err
    git_ok(work, "push", "origin", "HEAD:change/c/d")
    assert "rejected" in git(work, "push", "origin", "HEAD:change/c").err
    assert set(refs(served)) == {MAIN, "refs/heads/change/a", "refs/heads/change/c/d"}
    assert sound(served)


def test_only_so_many_proposals_are_open(tmp_path: Path) -> None:
    with site(tmp_path, limits=Limits(max_changes=2)) as served:
        work = clone(served.url, tmp_path / "work")
        commit(work, {"a": "1"})
        git_ok(work, "push", "origin", "HEAD:change/a", "HEAD:change/b")
        ran = git(work, "push", "origin", "HEAD:change/c")
        assert "change/c (too many proposals)" in ran.err
        commit(work, {"a": "2"})
        git_ok(work, "push", "origin", "HEAD:change/a")
