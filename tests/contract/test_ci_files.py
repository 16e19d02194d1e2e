"""What the sample gives a forge to run is run here as a runner would: its shell, in bash, on real clones."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from config_tree import VALID
from forge_api import ForgeApi, forge_api
from git_cli import commit, environment, git_ok

from mftgit.resources import read_sample

TOKEN = "ghs_secret-of-the-job"
GITHUB, GITEA, GITLAB = (
    ".github/workflows/mftgit.yaml",
    ".gitea/workflows/mftgit.yaml",
    ".gitlab-ci.yml",
)
ACTIONS = pytest.mark.parametrize("path", [GITHUB, GITEA])


def read(path: str) -> dict[Any, Any]:
    loaded = yaml.safe_load(read_sample()[path])
    assert isinstance(loaded, dict)
    return loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """A job's machine."""

    home: Path
    forge: Path
    api: ForgeApi
    env: Mapping[str, str]

    def run(
        self, shell: str, env: Mapping[str, str], *, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``shell`` as runners do."""
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", shell],
            cwd=cwd or self.home,
            env={**self.env, **env},
            capture_output=True,
            text=True,
            check=False,
            encoding="utf-8",
            timeout=120,
        )

    def propose(self, name: str, changes: dict[str, str | bytes]) -> str:
        """Push a branch with ``changes`` on main, and return its commit."""
        work = self.forge.parent / f"work-{name}"
        git_ok(self.forge.parent, "clone", "--quiet", str(self.forge), str(work))
        git_ok(work, "checkout", "--quiet", "-b", name)
        made = commit(work, changes)
        git_ok(work, "push", "--quiet", "origin", f"HEAD:refs/heads/{name}")
        return made


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    forge = tmp_path / "acme" / "config"
    forge.parent.mkdir()
    git_ok(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(forge))
    first = tmp_path / "first"
    git_ok(tmp_path, "clone", "--quiet", str(forge), str(first))
    git_ok(first, "checkout", "--quiet", "-b", "main")
    commit(first, dict(VALID.items()))
    git_ok(first, "push", "--quiet", "origin", "HEAD:refs/heads/main")
    home = tmp_path / "home"
    home.mkdir()
    bin_dir = Path(sys.executable).parent
    with forge_api(TOKEN) as api:
        yield Runner(
            home=home,
            forge=forge,
            api=api,
            env={
                **environment(home),
                "PATH": f"{bin_dir}:{os.environ['PATH']}",
                "RUNNER_TEMP": str(home),
                "TMPDIR": str(home),
            },
        )


class Actions:
    """One run of a workflow of GitHub's shape for a pull request."""

    def __init__(self, runner: Runner, workflow: dict[Any, Any], branch: str) -> None:
        self.runner = runner
        self.jobs = workflow["jobs"]
        self.outputs: dict[str, str] = {}
        self.files = {
            name: runner.home / name.lower()
            for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_PATH")
        }
        for file in self.files.values():
            file.write_text("", encoding="utf-8")
        self.env = {
            **{name: str(file) for name, file in self.files.items()},
            **workflow["env"],
            "GITHUB_SERVER_URL": f"file://{runner.forge.parent.parent}",
            "GITHUB_REPOSITORY": "acme/config",
            "GITHUB_REF": f"refs/heads/{branch}",
            "GITHUB_BASE_REF": "main",
            "GITHUB_API_URL": runner.api.url,
        }

    def value(self, text: str) -> str:
        """Fill in the expressions that the workflow has."""
        known = {
            "github.token": TOKEN,
            "needs.check.outputs.comment": self.outputs.get("comment", ""),
            "github.event.pull_request.number": "7",
        }
        return re.sub(r"\$\{\{ (.*?) \}\}", lambda found: known[found[1]], text)

    def job(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run the steps of a job; the last one that ran."""
        steps = self.jobs[name]["steps"]
        for step in steps:
            env = {key: self.value(text) for key, text in step.get("env", {}).items()}
            assert "${{" not in step["run"], "an expression in a script lets text become commands"
            done = self.runner.run(step["run"], {**self.env, **env})
            assert TOKEN not in done.stdout + done.stderr
            if done.returncode or step is steps[-1]:
                break
        else:
            raise AssertionError(f"{name} has no steps")
        text = self.files["GITHUB_OUTPUT"].read_text(encoding="utf-8")
        for found in re.finditer(r"^(\w+)<<(\w+)\n(.*?)\n\2$", text, re.DOTALL | re.MULTILINE):
            self.outputs[found[1]] = found[3]
        return done


CHANGED = {
    "transfers/invoices.yaml": VALID["transfers/invoices.yaml"].replace("every_s: 1", "every_s: 7")
}
BROKEN = {
    "transfers/invoices.yaml": VALID["transfers/invoices.yaml"] + "retries: '::stop-commands::x'\n"
}


@ACTIONS
def test_a_workflow_is_of_the_schema_and_gives_no_more_rights_than_it_needs(path: str) -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "check-jsonschema", "--builtin-schema", "vendor.github-workflows",
         str(files("mftgit.sample_config_repo") / path)],
        capture_output=True, text=True, check=False, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    workflow = read(path)
    assert workflow["permissions"] == {}
    assert "pull_request_target" not in workflow[True]  # YAML 1.1 takes "on" for a boolean
    assert workflow["jobs"]["check"]["permissions"] == {"contents": "read"}
    assert workflow["jobs"]["comment"]["permissions"] == {"pull-requests": "write"}
    assert not any("uses" in step for job in workflow["jobs"].values() for step in job["steps"])
    where = "github.event.pull_request.head.repo.full_name == github.repository"
    assert where in workflow["jobs"]["comment"]["if"]
    # The job whose token may write runs no code of the pull request.
    (step,) = workflow["jobs"]["comment"]["steps"]
    assert not re.search(r"\bgit (init|clone|fetch|checkout)|\bpip\b", step["run"])


@ACTIONS
def test_a_workflow_has_no_hole_that_a_linter_knows(path: str) -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "zizmor", "--offline", "--no-progress",
         str(files("mftgit.sample_config_repo") / path)],
        capture_output=True, text=True, check=False, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_gitlab_s_file_is_of_the_schema() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "check-jsonschema", "--builtin-schema", "vendor.gitlab-ci",
         str(files("mftgit.sample_config_repo") / GITLAB)],
        capture_output=True, text=True, check=False, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert read(GITLAB)["mftgit-comment"]["variables"]["GIT_STRATEGY"] == "none"


@ACTIONS
def test_a_pull_request_is_commented_with_what_it_changes_and_again_in_the_same_place(
    path: str, runner: Runner
) -> None:
    runner.propose("change", dict(CHANGED))
    actions = Actions(runner, read(path), "change")
    checked = actions.job("check")
    assert checked.returncode == 0, checked.stderr
    for _ in range(2):
        commented = actions.job("comment")
        assert commented.returncode == 0, commented.stderr
    (comment,) = runner.api.comments.values()
    assert comment["body"].startswith("<!-- mftgit -->\n**Valid**")
    assert (
        "- transfer `invoices` **changed**\n  - `trigger.watch.every_s`: `1` → `7`"
        in comment["body"]
    )
    posted = [each for each in runner.api.calls if each.method == "POST"]
    assert [each.path for each in posted] == ["/repos/acme/config/issues/7/comments"]
    if path == GITHUB:
        assert "**Valid**" in actions.files["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8")


@pytest.mark.parametrize("path", [GITHUB, GITEA, GITLAB])
def test_nothing_is_installed_that_nobody_named(path: str, runner: Runner) -> None:
    """A package of this name in a public index would be a stranger's."""
    found = read(path)
    if path == GITLAB:
        variables, line = found["variables"], found["mftgit"]["script"][0]
    else:
        variables, line = found["env"], found["jobs"]["check"]["steps"][0]["run"]
    assert "install" in line
    pip = runner.home / "bin" / "pip"
    pip.parent.mkdir()
    pip.write_text(f"#!/bin/sh\ntouch {runner.home}/asked\n", encoding="utf-8")
    pip.chmod(0o755)
    no_mftgit = {**variables, "PATH": f"{pip.parent}:/usr/bin:/bin", "GITHUB_PATH": "/dev/null"}
    done = runner.run(line, no_mftgit)
    assert done.returncode
    assert "MFTGIT_PACKAGE: has to say what pip shall install" in done.stderr
    assert not (runner.home / "asked").exists()


@ACTIONS
def test_a_pull_request_that_the_gate_would_refuse_fails_and_says_why(
    path: str, runner: Runner
) -> None:
    runner.propose("change", dict(BROKEN))
    actions = Actions(runner, read(path), "change")
    checked = actions.job("check")
    assert checked.returncode != 0
    assert "retries" in checked.stdout
    if path == GITHUB:
        assert checked.stdout.startswith("::error file=transfers/invoices.yaml,line=5,col=1,title=")
    assert actions.job("comment").returncode == 0
    (comment,) = runner.api.comments.values()
    assert comment["body"].startswith("<!-- mftgit -->\n**1 problem**")


@ACTIONS
def test_a_job_without_rights_fails_and_tells_no_token(path: str, runner: Runner) -> None:
    runner.propose("change", dict(CHANGED))
    actions = Actions(runner, read(path), "change")
    assert actions.job("check").returncode == 0
    runner.api.token = "another"
    refused = actions.job("comment")
    assert refused.returncode != 0
    assert not runner.api.comments


def gitlab_job(runner: Runner, name: str, work: Path) -> subprocess.CompletedProcess[str]:
    job = read(GITLAB)[name]
    shell = "\n".join(job["script"])
    env = {
        "CI_API_V4_URL": runner.api.url,
        "CI_DEFAULT_BRANCH": "main",
        "CI_MERGE_REQUEST_IID": "7",
        "CI_MERGE_REQUEST_PROJECT_ID": "42",
        "CI_MERGE_REQUEST_PROJECT_URL": str(runner.forge),
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
        "MFTGIT_COMMENT_TOKEN": TOKEN,
    }
    done = runner.run(shell, env, cwd=work)
    assert TOKEN not in done.stdout + done.stderr
    return done


@pytest.mark.parametrize("changes", [CHANGED, BROKEN], ids=["valid", "broken"])
def test_a_merge_request_has_its_report_and_its_comment(
    changes: dict[str, str | bytes], runner: Runner
) -> None:
    runner.propose("change", dict(changes))
    work = runner.home / "build"
    git_ok(runner.home, "clone", "--quiet", "--branch", "change", str(runner.forge), str(work))
    checked = gitlab_job(runner, "mftgit", work)
    report = yaml.safe_load((work / "gl-code-quality-report.json").read_text(encoding="utf-8"))
    after = runner.home / "after"
    after.mkdir()
    (work / "mftgit-comment.md").rename(after / "mftgit-comment.md")
    for _ in range(2):
        commented = gitlab_job(runner, "mftgit-comment", after)
        assert commented.returncode == 0, commented.stderr
    (comment,) = runner.api.comments.values()
    if changes is CHANGED:
        assert checked.returncode == 0, checked.stderr
        assert report == []
        assert "`1` → `7`" in comment["body"]
    else:
        assert checked.returncode != 0
        assert [each["location"]["path"] for each in report] == ["transfers/invoices.yaml"]
        assert comment["body"].startswith("<!-- mftgit -->\n**1 problem**")
    posted = [each.path for each in runner.api.calls if each.method == "POST"]
    assert posted == ["/projects/42/merge_requests/7/notes"]
