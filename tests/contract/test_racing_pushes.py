"""Of pushes that race for main, those that were acknowledged are on it, and every other is told so."""

import subprocess
from pathlib import Path

import pytest
from git_cli import clone, commit, environment, git, git_ok
from git_site import Site, site

from mftgit.model.events.event import EventName

pytestmark = pytest.mark.needs("git")

CLONES, ROUNDS = 10, 5


def push_all(works: list[Path], *options: str) -> list[tuple[Path, bool, str]]:
    """Start a push in every clone at once; return clone, success and what git said."""
    running = [
        subprocess.Popen(
            ["git", "push", *options, "origin", "main"],
            cwd=work,
            env=environment(work),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for work in works
    ]
    said = [process.communicate(timeout=120)[1].decode("utf-8", "replace") for process in running]
    return [
        (work, process.returncode == 0, text)
        for work, process, text in zip(works, running, said, strict=True)
    ]


def history(served: Site) -> set[str]:
    return set(git_ok(served.store.path, "rev-list", "main").splitlines())


@pytest.mark.parametrize("options", [(), ("--force",), ("--atomic",)])
def test_every_acknowledged_push_is_on_the_branch_and_every_other_is_refused_as_stale(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    acknowledged: set[str] = set()
    with site(tmp_path) as served:
        works = [clone(served.url, tmp_path / f"work{n}") for n in range(CLONES)]
        for turn in range(ROUNDS if not options else 2):
            for work in works:
                git_ok(work, "fetch", "--quiet")
                git_ok(work, "reset", "--quiet", "--hard", "origin/main")
            made = {work: commit(work, {work.name: f"{turn}\n"}) for work in works}
            outcomes = push_all(works, *options)
            won = {made[work] for work, succeeded, _ in outcomes if succeeded}
            assert len(won) == 1
            acknowledged |= won
            for work, succeeded, text in outcomes:
                if not succeeded:
                    assert "fetch first" in text or "non-fast-forward" in text
                    assert git(served.store.path, "cat-file", "-e", made[work]).code != 0
        assert acknowledged <= history(served)
        assert set(served.published) == acknowledged
        assert len(served.published) == len(acknowledged)
        assert set(served.served.statuses) == {200}
        settled = served.told().count(EventName.PUSH_REFUSED) + len(acknowledged)
        assert served.told().count(EventName.PUSH_RECEIVED) == settled
        checked = git(served.store.path, "fsck", "--strict", "--full")
        assert (checked.code, checked.out, checked.err) == (0, "", "")


def test_losers_that_rebase_and_push_again_all_get_in(tmp_path: Path) -> None:
    with site(tmp_path) as served:
        left = [clone(served.url, tmp_path / f"work{n}") for n in range(6)]
        for work in left:
            commit(work, {work.name: "1\n"})
        while left:
            left = [work for work, succeeded, _ in push_all(left) if not succeeded]
            for work in left:
                git_ok(work, "pull", "--quiet", "--rebase")
        assert len(history(served)) == 7
        assert [entry.revision for entry in reversed(served.store.log(6))] == served.published
