"""What a fetch sends: enough, from memory or not, whatever the history, by the judgement of stock git."""

import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
from dulwich.objects import ObjectID
from git_cli import clone, commit, git, git_ok
from git_histories import Step, histories, write_history
from git_raw import line, post
from git_server import serving
from git_site import Site, site
from hypothesis import given, settings
from hypothesis import strategies as st

from mftgit.adapters.git.answers import Answers
from mftgit.adapters.git.brought import History
from mftgit.adapters.git.http import GitHttp, GitRequest
from mftgit.adapters.git.objects import BrokenHistoryError
from mftgit.adapters.git.send import write_pack
from mftgit.adapters.git.store import GitStore
from mftgit.model.access import OperatorRole
from mftgit.model.revisions.push import judge

pytestmark = pytest.mark.needs("git")

CAPS = b" multi_ack_detailed no-done side-band-64k thin-pack ofs-delta\n"
HERD = 50


def objects(repository: Path, tips: Iterable[str]) -> set[str]:
    """Return the ids of everything that can be reached from ``tips``."""
    told = git_ok(repository, "rev-list", "--objects", "--stdin", content="\n".join(tips).encode())
    return {row.split()[0] for row in told.splitlines()}


def oids(names: Iterable[str]) -> list[ObjectID]:
    return [ObjectID(name.encode()) for name in names]


@settings(max_examples=40)
@given(steps=histories(), data=st.data())
def test_what_is_missing_is_listed_and_nothing_that_cannot_be_reached(
    steps: list[Step], data: st.DataObject
) -> None:
    history = History(max_ids=data.draw(st.sampled_from([3, 1000])))
    with tempfile.TemporaryDirectory() as folder, GitStore.create(Path(folder) / "s.git") as store:
        commits = write_history(store.path, steps)
        for _ in range(3):  # the later ones out of memory
            want = data.draw(st.sampled_from(commits))
            haves = data.draw(st.lists(st.sampled_from(commits), max_size=2))
            with store.repo() as repo:
                listed = history.missing(
                    repo.object_store, wants=oids([want]), haves=oids(haves), shallow=()
                )
            found = {oid.decode() for oid in listed}
            reachable = objects(store.path, [want])
            needed = reachable - objects(store.path, haves) if haves else reachable
            assert needed <= found <= reachable
            lacked = git_ok(store.path, "rev-list", want, *(f"^{have}" for have in haves))
            assert found & set(commits) == set(lacked.split())
            assert len(found) == len(listed)


@settings(max_examples=10)
@given(steps=histories(), has=st.integers(0, 7))
def test_every_client_gets_a_sound_history_and_the_second_gets_the_bytes_of_the_first(
    steps: list[Step], has: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, GitStore.create(Path(folder) / "s.git") as store:
        commits = write_history(store.path, steps)
        app = GitHttp(store, gate=judge, settled=lambda *_: None)
        asked: list[int] = []
        with serving(app) as served:
            for number in range(2):
                client = Path(folder) / f"client-{number}"
                git_ok(Path(folder), "init", "--quiet", str(client))
                old = commits[has % len(commits)]
                git_ok(client, "fetch", "--quiet", str(store.path), old)
                git_ok(client, "update-ref", "refs/heads/old", old)
                git_ok(client, "fetch", "--quiet", served.url, "main:new")
                assert git_ok(client, "rev-parse", "new") == commits[-1]
                assert git(client, "fsck", "--strict", "--full").code == 0
                asked.append(app.answers.computed)
        assert asked[0] == asked[1]
        asking = _body(commits[-1], commits[has % len(commits)])
        remembered = _ask(app, asking)
        app.answers = Answers()
        assert _ask(app, asking) == remembered


def _body(want: str, *haves: str) -> bytes:
    told = b"".join(line(b"have " + have.encode() + b"\n") for have in haves)
    return line(b"want " + want.encode() + CAPS) + b"0000" + told + line(b"done\n")


def _request(body: bytes, **headers: str) -> GitRequest:
    return GitRequest(
        method="POST",
        path="/git-upload-pack",
        headers={"content-type": "application/x-git-upload-pack-request", **headers},
        body=BytesIO(body),
        who="ann",
        role=OperatorRole.READ,
    )


def _ask(app: GitHttp, body: bytes) -> bytes:
    answer = app.handle(_request(body))
    with answer.body as out:
        assert answer.status == 200
        return out.read()


def test_what_was_answered_is_given_at_once_until_a_ref_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mftgit.adapters.git.refs.HOLDS_S", 3600.0)
    with site(tmp_path) as served:
        work = clone(served.url, tmp_path / "work")
        old = git_ok(work, "rev-parse", "HEAD")
        asking = _request(_body(old))
        assert served.app.at_once(asking) is None
        given = _ask(served.app, _body(old))
        at_once = served.app.at_once(asking)
        assert at_once is not None
        assert (at_once.status, at_once.body.read()) == (200, given)
        for other in (
            _request(_body(old) + b"0"),
            _request(_body(old), **{"content-encoding": "gzip"}),
        ):
            assert served.app.at_once(other) is None
            assert other.body.tell() == 0
        commit(work, {"a": "1"})
        git_ok(work, "push", "--quiet", "origin", "main")
        assert served.app.at_once(asking) is None


def test_a_herd_that_fetches_the_same_commit_costs_one_pack(tmp_path: Path) -> None:
    with site(tmp_path) as served:
        work = clone(served.url, tmp_path / "work")
        old = git_ok(work, "rev-parse", "HEAD")
        new = commit(work, {"a": "1"})
        git_ok(work, "push", "--quiet", "origin", "main")
        before = served.app.answers.computed
        with ThreadPoolExecutor(HERD) as pool:
            answers = list(pool.map(lambda _: _ask(served.app, _body(new, old)), range(HERD)))
        assert len(set(answers)) == 1
        assert b"PACK" in answers[0]
        assert served.app.answers.computed == before + 1


def test_an_answer_from_before_main_moved_is_not_given_after_it(tmp_path: Path) -> None:
    with site(tmp_path) as served:
        work = clone(served.url, tmp_path / "work")
        for content in "123":
            revision = commit(work, {"a": content})
            git_ok(work, "push", "--quiet", "origin", "main")
            assert revision in git_ok(work, "ls-remote", served.url, "main")
            git_ok(work, "fetch", "--quiet", "origin")


def test_nothing_sent_by_a_client_gets_it_the_advertisement_from_memory(tmp_path: Path) -> None:
    with site(tmp_path) as served:
        git_ok(tmp_path, "ls-remote", served.url)
        for body in (b"", b"GET", b"POST"):
            status, _ = post(served.url, "git-upload-pack", body)
            assert status == 400


def test_tags_that_somebody_made_on_the_controller_are_fetched(tmp_path: Path) -> None:
    with site(tmp_path) as served:
        git_ok(served.store.path, "tag", "--annotate", "--message", "x", "v1", "main")
        git_ok(served.store.path, "tag", "--annotate", "--message", "x", "v2", "v1")
        git_ok(served.store.path, "tag", "folder", "main^{tree}")
        git_ok(served.store.path, "tag", "file", "main:cluster.yaml")
        work = clone(served.url, tmp_path / "work")
        assert git_ok(work, "tag").split() == ["file", "folder", "v1", "v2"]
        git_ok(work, "fsck", "--strict")


@pytest.fixture(params=[True, False], ids=["by offset", "by name"])
def packed(tmp_path: Path, request: pytest.FixtureRequest) -> Iterable[Site]:
    """Give a repository of two packs with deltas and some loose objects."""
    with site(tmp_path) as served:
        work = clone(served.url, tmp_path / "work")
        offsets = f"repack.useDeltaBaseOffset={str(request.param).lower()}"
        for number in range(3):
            lines = "".join(f"line {n} of many that stay as they are\n" for n in range(60))
            files: dict[str, str | bytes] = {
                f"d/{n}": f"{n}\n{lines}{number}\n" for n in range(160)
            }
            commit(work, files)
            git_ok(work, "push", "--quiet", str(served.store.path), "HEAD:main")
            if number < 2:
                git_ok(served.store.path, "-c", offsets, "repack", "-d", "-q", "-f")
        served.app.forget_refs()  # which were moved behind its back
        yield served


@pytest.mark.parametrize(("ofs_delta", "every"), [(True, 1), (False, 1), (True, 2)])
def test_a_pack_copied_out_of_others_is_whole_and_keeps_their_deltas(
    packed: Site, tmp_path: Path, *, ofs_delta: bool, every: int
) -> None:
    path = packed.store.path
    wanted = sorted(objects(path, ["main"]))[::every]
    assert len(list(path.glob("objects/pack/*.pack"))) > 1
    out = BytesIO()
    with packed.store.repo() as repo:
        write_pack(out.write, repo.object_store, oids(wanted), ofs_delta=ofs_delta)
    git_ok(tmp_path, "init", "--quiet", "--bare", "got.git")
    told = git_ok(tmp_path / "got.git", "index-pack", "--stdin", content=out.getvalue())
    name = told.split()[-1]
    shown = git_ok(tmp_path / "got.git", "verify-pack", "-v", f"objects/pack/pack-{name}.idx")
    assert "chain length" in shown
    assert {row.split()[0] for row in shown.splitlines()} >= set(wanted)


def test_a_clone_of_many_objects_is_sound(packed: Site, tmp_path: Path) -> None:
    got = clone(packed.url, tmp_path / "got")
    git_ok(got, "fsck", "--strict", "--full")
    assert git_ok(got, "rev-parse", "HEAD") == packed.store.head()


def test_a_stored_pack_that_is_damaged_is_not_sent_on(packed: Site) -> None:
    wanted = oids(sorted(objects(packed.store.path, ["main"])))
    for pack in packed.store.path.glob("objects/pack/*.pack"):
        content = bytearray(pack.read_bytes())
        content[len(content) // 2] ^= 1
        pack.chmod(0o600)
        pack.write_bytes(content)
    with (
        GitStore(packed.store.path) as store,
        store.repo() as repo,
        pytest.raises(BrokenHistoryError, match="is damaged"),
    ):
        write_pack(BytesIO().write, repo.object_store, wanted, ofs_delta=True)
