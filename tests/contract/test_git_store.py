"""The repository on disk: what it holds, how it moves, what a fetch brings and refuses."""

import http.server
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from git_cli import clone, commit, git, git_ok
from git_raw import blob, line, oid, pack, tree
from git_raw import commit as raw_commit
from git_site import FIRST, NOW, Site, site
from ports import own_port

from mftgit.adapters.git.fetch import (
    RemoteBrokenError,
    RemoteRefusedError,
    RemoteUnreachableError,
)
from mftgit.adapters.git.folder import fresh_place
from mftgit.adapters.git.objects import (
    BrokenHistoryError,
    StoreBusyError,
    StoreError,
    TooLargeError,
)
from mftgit.adapters.git.store import FETCHED, GitStore
from mftgit.model.names import MAIN, Revision
from mftgit.model.revisions.limits import Limits

pytestmark = pytest.mark.needs("git")

AUTHOR = "Ann Example <ann@example.org>"
NOWHERE = Revision("9" * 40)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GitStore]:
    with GitStore.create(tmp_path / "store.git") as made:
        yield made


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path / "controller") as running:
        yield running


def add(
    store: GitStore,
    parent: Revision | None,
    files: Mapping[str, bytes] = FIRST,
    *,
    now: datetime = NOW,
    ref: str = MAIN,
    message: str = "change",
) -> Revision:
    return store.commit_documents(
        files, message=message, author=AUTHOR, now=now, parent=parent, ref=ref
    )


def no_headers(method: str, path: str) -> Mapping[str, str]:
    del method, path
    return {}


def fetch(
    store: GitStore, url: str, *, max_bytes: int = 1 << 24, timeout_s: float = 60
) -> Revision:
    return store.fetch(
        url, ca_file=None, headers=no_headers, max_bytes=max_bytes, timeout_s=timeout_s
    )


# What it holds


def test_a_new_repository_has_no_revision(store: GitStore) -> None:
    assert store.head() is None
    assert store.log(10) == ()
    assert git_ok(store.path, "symbolic-ref", "HEAD") == MAIN
    assert git_ok(store.path, "config", "repack.writeBitmaps") == "false"
    assert git_ok(store.path, "config", "gc.auto") == "0"
    assert not list(store.path.glob("hooks/*"))


def test_making_it_again_opens_what_is_there(store: GitStore) -> None:
    revision = add(store, None)
    with GitStore.create(store.path) as again:
        assert again.head() == revision


@pytest.mark.parametrize("make", [GitStore, GitStore.create])
def test_a_folder_that_holds_something_else_is_refused(
    tmp_path: Path, make: type[GitStore]
) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(StoreError, match="not a bare git repository"):
        make(tmp_path)


def test_git_reads_what_was_committed(store: GitStore, tmp_path: Path) -> None:
    revision = add(store, None, {"a/b/c.yaml": b"deep\n", "top.yaml": b"top\n"}, message="Begin\n")
    work = clone(str(store.path), tmp_path / "work")
    assert git_ok(work, "ls-files").splitlines() == ["a/b/c.yaml", "top.yaml"]
    assert git_ok(work, "log", "--format=%H %an <%ae> %ct %s") == (
        f"{revision} {AUTHOR} {int(NOW.timestamp())} Begin"
    )
    checked = git(store.path, "fsck", "--strict", "--full")
    assert (checked.code, checked.err) == (0, "")


def test_a_revision_gives_its_files_with_size_and_content(store: GitStore) -> None:
    found = store.tree(add(store, None))
    assert {path: entry.load() for path, entry in found.items()} == FIRST
    assert {entry.mode for entry in found.values()} == {0o100644}
    assert found["cluster.yaml"].size_bytes == len(FIRST["cluster.yaml"])
    assert found["cluster.yaml"].oid == oid(blob(FIRST["cluster.yaml"]))


def test_files_can_be_read_by_many_threads_at_once(store: GitStore) -> None:
    files = {f"f{n}": b"%d" % n for n in range(50)}
    found = store.tree(add(store, None, files))
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda path: found[path].load(), files)) == list(files.values())


def test_a_name_that_is_not_utf_8_is_given_with_surrogates(store: GitStore) -> None:
    name = git_ok(store.path, "hash-object", "-w", "--stdin", content=b"x")
    entry = b"100644 blob " + name.encode() + b"\tcaf\xe9\n"
    made = git_ok(store.path, "mktree", content=entry)
    revision = Revision(git_ok(store.path, "commit-tree", made, "-m", "x"))
    assert list(store.tree(revision)) == ["caf\udce9"]


@pytest.mark.parametrize("kind", ["nothing", "blob"])
def test_what_is_no_revision_has_no_files(store: GitStore, kind: str) -> None:
    add(store, None)
    name = NOWHERE if kind == "nothing" else Revision(oid(blob(FIRST["cluster.yaml"])))
    with pytest.raises(BrokenHistoryError, match=f"{name}"):
        store.tree(name)


def test_a_tree_that_is_too_deep_or_too_large_is_not_read(store: GitStore) -> None:
    deep = add(store, None, {"/".join("a" * 20): b"x"})
    wide = add(store, deep, {f"{n:05}": b"x" for n in range(50_001)})
    with store.quarantine() as quarantine:
        with pytest.raises(TooLargeError, match="folders are 17 deep, at most 16 are taken"):
            quarantine.tree(deep, Limits())
        with pytest.raises(TooLargeError, match="at least 50,001 files and folders"):
            quarantine.tree(wide, Limits())


def test_a_member_reads_whatever_a_gate_may_have_taken(store: GitStore) -> None:
    taken = add(store, None, {"/".join("a" * 101): b"x"})
    assert len(store.tree(taken)) == 1
    beyond = add(store, taken, {"/".join("a" * 102): b"x"})
    with pytest.raises(TooLargeError, match="folders are 101 deep, at most 100 are taken"):
        store.tree(beyond)


def test_the_log_gives_the_newest_first(store: GitStore) -> None:
    first = add(store, None, message="One\n\nbody")
    second = add(store, first, message="Two")
    assert [entry.revision for entry in store.log(10)] == [second, first]
    (newest,) = store.log(1)
    assert (newest.subject, newest.author, newest.at) == ("Two", AUTHOR, NOW)


# Ancestry


def test_ancestry_does_not_believe_commit_times(store: GitStore) -> None:
    first = add(store, None, now=datetime(2040, 1, 1, tzinfo=UTC))
    second = add(store, first, now=datetime(1999, 1, 1, tzinfo=UTC))
    third = add(store, second, now=datetime(2030, 1, 1, tzinfo=UTC))
    assert store.is_ancestor(first, third)
    assert store.is_ancestor(third, third)
    assert not store.is_ancestor(third, first)
    assert not store.is_ancestor(NOWHERE, third)


def test_ancestry_of_a_revision_that_is_not_there_is_an_error(store: GitStore) -> None:
    with pytest.raises(BrokenHistoryError, match="missing"):
        store.is_ancestor(add(store, None), NOWHERE)


# Moving refs


def test_a_ref_moves_only_from_where_it_is_expected(store: GitStore) -> None:
    first = add(store, None)
    second = add(store, first, {"a": b"1"})
    assert not store.set_ref(MAIN, old=first, new=first)
    assert not store.set_ref(MAIN, old=None, new=first)
    assert store.head() == second
    assert store.set_ref(MAIN, old=second, new=first)
    assert store.head() == first
    assert store.set_ref("refs/members/node1/active", old=None, new=first)
    assert git_ok(store.path, "rev-parse", "refs/members/node1/active") == first


def test_a_commit_on_a_parent_that_is_not_the_head_changes_nothing(store: GitStore) -> None:
    first = add(store, None)
    second = add(store, first, {"a": b"1"})
    packs = sorted(store.path.glob("objects/pack/*"))
    with pytest.raises(StoreBusyError, match="somebody else moved it"):
        add(store, first, {"b": b"1"})
    assert store.head() == second
    assert sorted(store.path.glob("objects/pack/*")) == packs
    assert not list(store.path.glob("objects/incoming-*"))


def test_a_ref_moves_after_c_git_has_packed_it(store: GitStore) -> None:
    first = add(store, None)
    assert store.head() == first
    git_ok(store.path, "pack-refs", "--all")
    assert store.head() == first
    second = add(store, first, {"a": b"1"})
    assert store.head() == second


def test_of_many_that_swap_at_once_exactly_one_succeeds(store: GitStore) -> None:
    first = add(store, None)
    tips = [add(store, None, {"a": b"%d" % n}, ref=f"refs/heads/x{n}") for n in range(8)]
    with GitStore(store.path) as other, ThreadPoolExecutor(8) as pool:
        results = list(
            pool.map(
                lambda n: (store, other)[n % 2].set_ref(MAIN, old=first, new=tips[n]), range(8)
            )
        )
    assert results.count(True) == 1
    assert store.head() == tips[results.index(True)]


def test_a_ref_that_another_program_locks_is_busy_and_brings_nothing_in(store: GitStore) -> None:
    first = add(store, None)
    packs = sorted(store.path.glob("objects/pack/*"))
    (store.path / f"{MAIN}.lock").touch()
    with pytest.raises(StoreBusyError, match="locked by another program"):
        add(store, first, {"b": b"1"})
    assert sorted(store.path.glob("objects/pack/*")) == packs
    assert store.head() == first


def test_a_sweep_removes_what_a_crash_left_and_nothing_else(store: GitStore) -> None:
    first = add(store, None)
    kept = sorted(store.path.rglob("*"))
    left = [
        f"{MAIN}.lock",
        "packed-refs.lock",
        "objects/tmp_pack_x",
        "objects/pack/tmp_idx_x",
        f"objects/pack/pack-{NOWHERE}.pack",
    ]
    for name in left:
        (store.path / name).touch()
    (store.path / "objects/incoming-x/pack").mkdir(parents=True)
    (store.path / "objects/incoming-x/pack/p.pack").touch()
    assert set(store.sweep()) == {*left, "objects/incoming-x"}
    assert sorted(store.path.rglob("*")) == kept
    assert store.set_ref(MAIN, old=first, new=first)


# Fetching


def test_a_fetch_brings_the_branch_and_moves_its_own_ref_only(
    served: Site, store: GitStore
) -> None:
    revision = fetch(store, served.url)
    assert revision == served.store.head() == store.head(FETCHED)
    assert store.head() is None
    assert {path: entry.load() for path, entry in store.tree(revision).items()} == FIRST
    assert git_ok(store.path, "fsck", "--strict", "--full") == ""


def test_a_later_fetch_brings_only_what_is_new(
    served: Site, store: GitStore, tmp_path: Path
) -> None:
    first = fetch(store, served.url)
    work = clone(served.url, tmp_path / "work")
    for n in range(5):
        commit(work, {"a": f"{n}\n"})
    git_ok(work, "push", "--quiet", "origin", "main")
    second = fetch(store, served.url)
    assert store.is_ancestor(first, second)
    newest = max(store.path.glob("objects/pack/*.idx"), key=lambda file: file.stat().st_mtime_ns)
    listed = git_ok(store.path, "show-index", content=newest.read_bytes()).splitlines()
    assert len(listed) == 15


def test_a_fetch_of_what_is_here_asks_for_no_objects(served: Site, store: GitStore) -> None:
    assert fetch(store, served.url) == fetch(store, served.url)
    assert [method for method, _, _ in served.served.requests] == ["GET", "POST", "GET"]


def fetch_tip(store: GitStore, url: str, tip: Revision) -> Revision:
    return store.fetch(url, ca_file=None, headers=no_headers, tip=tip)


def methods(served: Site) -> list[str]:
    return [method for method, _, _ in served.served.requests]


def test_who_knows_the_tip_asks_once_or_not_at_all(served: Site, store: GitStore) -> None:
    old = fetch(store, served.url)
    new = add(served.store, old, {"new": b"x"})
    del served.served.requests[:]
    for _ in range(2):
        assert fetch_tip(store, served.url, new) == new
    assert methods(served) == ["POST"]
    assert store.head(FETCHED) == new


def test_who_knows_where_main_was_a_moment_ago_gets_that(served: Site, store: GitStore) -> None:
    old = fetch(store, served.url)
    known = add(served.store, old, {"new": b"x"})
    newest = add(served.store, known, {"newer": b"x"})
    assert fetch_tip(store, served.url, known) == known
    assert fetch(store, served.url) == newest


def test_a_server_that_does_not_have_the_tip_is_asked_where_main_is(
    served: Site, store: GitStore
) -> None:
    for before in (None, served.store.head()):
        del served.served.requests[:]
        head = add(served.store, served.store.head(), {"new": str(before).encode()})
        assert fetch_tip(store, served.url, Revision("9" * 40)) == head
        assert methods(served) == ["POST", "GET", "POST"]


def test_a_fetch_does_not_tell_the_whole_history(served: Site, store: GitStore) -> None:
    tip = fetch(store, served.url)
    for n in range(300):
        tip = add(store, tip, {"a": b"%d" % n}, ref=FETCHED)
    head = served.store.head()
    add(served.store, head, {"new": b"x"})
    fetch(store, served.url)
    size = int(served.served.requests[-1][2]["content-length"])
    assert size < 14_000  # 256 lines of 50 bytes, and a little


def test_each_request_carries_headers_of_its_own(served: Site, store: GitStore) -> None:
    asked: list[tuple[str, str]] = []

    def headers(method: str, path: str) -> Mapping[str, str]:
        asked.append((method, path))
        return {"X-Who": f"proof {len(asked)}"}

    store.fetch(served.url, ca_file=None, headers=headers)
    assert asked == [
        ("GET", "/config.git/info/refs"),
        ("POST", "/config.git/git-upload-pack"),
    ]
    shown = [headers["x-who"] for _, _, headers in served.served.requests]
    assert shown == ["proof 1", "proof 2"]


def test_a_repository_without_main_is_refused(served: Site, store: GitStore) -> None:
    with pytest.raises(RemoteRefusedError, match="has no refs/heads/none"):
        store.fetch(served.url, ca_file=None, headers=no_headers, ref="refs/heads/none")


def test_a_fetch_larger_than_its_limit_leaves_nothing(served: Site, store: GitStore) -> None:
    before = sorted(store.path.rglob("*"))
    with pytest.raises(RemoteBrokenError, match="more than 400 bytes"):
        fetch(store, served.url, max_bytes=400)
    assert {file for file in store.path.rglob("*") if file.name != "mftgit.flock"} == set(before)


def test_a_controller_that_is_away_is_a_passing_error(store: GitStore) -> None:
    with own_port() as port, pytest.raises(RemoteUnreachableError, match="cannot be reached"):
        fetch(store, f"http://127.0.0.1:{port}/config.git")


def test_a_controller_that_accepts_and_says_nothing_is_a_passing_error(store: GitStore) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(RemoteUnreachableError, match="cannot be reached"):
            fetch(store, f"http://127.0.0.1:{port}/config.git", timeout_s=0.2)


class Answer:
    """What a misbehaving server says to every request."""

    def __init__(
        self,
        status: int = 200,
        kind: str = "text/plain",
        body: bytes = b"",
        *,
        pack: bytes | None = None,
        cut: int = 0,
        **headers: str,
    ) -> None:
        self.status, self.kind, self.body = status, kind, body
        self.pack, self.cut, self.headers = pack, cut, headers


@contextmanager
def misbehaving(answer: Answer) -> Iterator[str]:
    class Handle(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(answer.kind, answer.body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            sent = line(b"NAK\n") + b"".join(
                line(b"\1" + (answer.pack or b"")[at : at + 60_000])
                for at in range(0, len(answer.pack or b""), 60_000)
            )
            self.answer("application/x-git-upload-pack-result", sent + b"0000")

        def answer(self, kind: str, body: bytes) -> None:
            self.send_response(answer.status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body) + answer.cut))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handle)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/config.git"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


SMART = "application/x-git-upload-pack-advertisement"
START = line(b"# service=git-upload-pack\n") + b"0000"
CAPS = b"\0 side-band-64k thin-pack ofs-delta multi_ack_detailed no-done"


def advertising(tip: str, content: bytes, *, cut: int = 0) -> Answer:
    body = START + line(f"{tip} {MAIN}".encode() + CAPS + b"\n") + b"0000"
    return Answer(kind=SMART, body=body, pack=content, cut=cut)


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (Answer(401, body=b"who are you?"), RemoteRefusedError, "answered 401: who are you"),
        (Answer(403, body=b"not a member"), RemoteRefusedError, "answered 403: not a member"),
        (Answer(404), RemoteRefusedError, "answered 404"),
        (Answer(302, Location="http://127.0.0.1:1/"), RemoteRefusedError, "answered 302"),
        (Answer(429), RemoteUnreachableError, "answered 429"),
        (Answer(503, body=b"later"), RemoteUnreachableError, "answered 503: later"),
        (Answer(kind="text/html", body=b"<p>log in"), RemoteBrokenError, "is this the controller"),
        (Answer(body=b"%s\trefs/heads/main\n" % (b"1" * 40)), RemoteBrokenError, "expected git"),
        (Answer(kind=SMART, body=b"noise"), RemoteBrokenError, "does not talk git"),
        (Answer(kind=SMART, body=START), RemoteBrokenError, "does not talk git"),
        (Answer(kind=SMART, body=START, cut=50), RemoteUnreachableError, "cannot be reached"),
    ],
)
def test_a_server_that_misbehaves_has_its_own_error(
    store: GitStore, answer: Answer, error: type[Exception], message: str
) -> None:
    with misbehaving(answer) as url, pytest.raises(error, match=message):
        fetch(store, url)
    assert store.head(FETCHED) is None


TEXT = blob(b"text")
ROOT = tree(("100644", b"a", oid(TEXT)))
LAST = raw_commit(oid(ROOT))


@pytest.mark.parametrize(
    ("tip", "content", "message"),
    [
        (oid(LAST), pack(LAST, ROOT), "blob .* is missing"),
        (oid(LAST), pack(LAST, TEXT), "tree .* is missing"),
        (oid(LAST), pack(ROOT, TEXT), "object .* is missing"),
        (oid(TEXT), pack(TEXT), "is not a commit"),
        (oid(LAST), pack(LAST, ROOT, TEXT)[:-9], "pack"),
        (oid(LAST), b"", "pack"),
    ],
)
def test_a_history_that_is_not_whole_is_not_taken(
    store: GitStore, tip: str, content: bytes, message: str
) -> None:
    before = sorted(store.path.rglob("*"))
    with (
        misbehaving(advertising(tip, content)) as url,
        pytest.raises(RemoteBrokenError, match=message),
    ):
        fetch(store, url)
    assert sorted(store.path.rglob("*")) == before


def test_a_whole_history_by_hand_is_taken(store: GitStore) -> None:
    with misbehaving(advertising(oid(LAST), pack(LAST, ROOT, TEXT))) as url:
        assert fetch(store, url) == oid(LAST)
    assert store.tree(Revision(oid(LAST)))["a"].load() == b"text"


# Damage

DAMAGES = [b"", b"garbage", b"\xff" * 4096, b"\0" * 100_000]


def damaged_files(store: GitStore) -> list[Path]:
    """Every file whose content git depends on, and the folders that hold them."""
    names = (
        "HEAD",
        "config",
        "refs/heads/main",
        FETCHED,
        "objects/pack/*.pack",
        "objects/pack/*.idx",
    )
    found = [each for name in names for each in store.path.glob(name)]
    assert len(found) >= 6
    return found


def read_all(store: GitStore, revision: Revision) -> None:
    for entry in store.tree(revision).values():
        entry.load()


def use(store: GitStore, known: Revision) -> None:
    """Do what reads, as far as it goes; only a StoreError may come out."""

    for step in (
        store.head,
        lambda: store.head(FETCHED),
        lambda: store.log(10),
        lambda: store.is_ancestor(NOWHERE, known),
        lambda: store.check(known),
        lambda: read_all(store, known),
        store.sweep,
    ):
        with suppress(StoreError):
            step()


@pytest.mark.parametrize("content", DAMAGES, ids=["empty", "text", "ones", "zeros"])
def test_damage_of_any_file_comes_out_as_an_error_of_the_store_and_a_fresh_store_mends_it(
    served: Site, tmp_path: Path, content: bytes
) -> None:
    known = served.store.head()
    assert known is not None
    for number in range(6):
        path = tmp_path / f"{number}.git"
        with GitStore.copy_at(path) as store:
            fetch(store, served.url)
            store.set_ref(MAIN, old=None, new=known)
        broken = damaged_files(store)[number]
        broken.chmod(0o644)
        broken.write_bytes(content)
        with GitStore.copy_at(path) as store:
            use(store, known)
            with suppress(StoreError, RemoteBrokenError):
                fetch(store, served.url)
            use(store, known)
            assert store.renew(lambda fresh: fetch(fresh, served.url)) == known
            store.check(known)
            assert store.tree(known).keys() == FIRST.keys()
            assert store.head(FETCHED) == known
        assert [each.name for each in tmp_path.glob(f"{number}.git*")] == [f"{number}.git"]


@pytest.mark.parametrize("content", DAMAGES, ids=["empty", "text", "ones", "zeros"])
def test_every_damaged_loose_object_is_told(store: GitStore, content: bytes) -> None:
    revision = add(store, None)
    loose(store)
    for path in sorted(store.path.glob("objects/??/*")):
        before = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(content)
        with GitStore(store.path) as again, pytest.raises(StoreError, match=r"store\.git"):
            read_all(again, revision)
        path.write_bytes(before)
    store.check(revision)


def test_a_missing_file_of_the_revision_is_found_without_reading_files(store: GitStore) -> None:
    revision = add(store, None)
    loose(store)
    store.check(revision)
    oid_ = store.tree(revision)[min(FIRST)].oid
    (store.path / "objects" / oid_[:2] / oid_[2:]).unlink()
    with pytest.raises(BrokenHistoryError, match=f"blob {oid_} is missing"):
        store.check(revision)


@pytest.mark.parametrize("place", ["nothing", "a file", "another folder"])
def test_whatever_stands_at_the_place_of_a_copy_a_fresh_one_takes_its_stead(
    served: Site, tmp_path: Path, place: str
) -> None:
    path = tmp_path / "copy.git"
    if place == "a file":
        path.write_text("x", encoding="utf-8")
    elif place == "another folder":
        path.mkdir()
        (path / "file").write_text("x", encoding="utf-8")
    with GitStore.copy_at(path) as store:
        if place != "nothing":
            with pytest.raises(StoreError):
                store.head()
        tip = store.renew(lambda fresh: fetch(fresh, served.url))
        store.check(tip)


def test_a_fresh_store_that_cannot_be_filled_leaves_the_old_one(store: GitStore) -> None:
    revision = add(store, None)
    with pytest.raises(RemoteUnreachableError):
        store.renew(lambda fresh: fetch(fresh, "http://127.0.0.1:1/config.git"))
    assert store.head() == revision


@pytest.mark.parametrize("after", ["filled", "moved away", "moved in"])
def test_a_crash_during_the_swap_leaves_one_whole_store(tmp_path: Path, after: str) -> None:
    path = tmp_path / "copy.git"
    with GitStore.copy_at(path) as old:
        add(old, None, {"a": b"old\n"})
    with GitStore.create(fresh_place(path)) as fresh:
        new = add(fresh, None, {"a": b"new\n"})
    if after != "filled":
        path.rename(tmp_path / "copy.git.broken")
    if after == "moved in":
        (tmp_path / "copy.git.fresh").rename(path)
    with GitStore.copy_at(path) as again:
        head = again.head()
        assert head is not None
        again.check(head)
        assert (head == new) is (after != "filled")
    assert [each.name for each in tmp_path.iterdir()] == ["copy.git"]


def loose(store: GitStore) -> None:
    """Unpack every object into a file of its own."""
    for each in store.path.glob("objects/pack/*.pack"):
        aside = each.rename(store.path / each.name)
        each.with_suffix(".idx").unlink()
        with aside.open("rb") as stream:
            subprocess.run(
                ["git", "-C", store.path, "unpack-objects", "-q"], stdin=stream, check=True
            )
        aside.unlink()
