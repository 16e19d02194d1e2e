"""Stock git as a client, away from the settings of whoever runs the tests."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What one git command did."""

    code: int
    out: str
    err: str


def environment(home: Path) -> dict[str, str]:
    """Return an environment in which git finds no settings but those of the tests."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": "Ann Example",
        "GIT_AUTHOR_EMAIL": "ann@example.org",
        "GIT_COMMITTER_NAME": "Ann Example",
        "GIT_COMMITTER_EMAIL": "ann@example.org",
    }


def git(folder: Path, *words: str, content: bytes | None = None) -> Ran:
    """Run git in ``folder`` and return what it did, well or not."""
    done = subprocess.run(  # noqa: PLW1510  the caller looks at the code
        ["git", *words],
        cwd=folder,
        env=environment(folder),
        input=content,
        stdin=subprocess.DEVNULL if content is None else None,
        capture_output=True,
        timeout=120,
    )
    return Ran(
        code=done.returncode,
        out=done.stdout.decode("utf-8", "replace").strip(),
        err=done.stderr.decode("utf-8", "replace"),
    )


def git_ok(folder: Path, *words: str, content: bytes | None = None) -> str:
    """Run git in ``folder``, which must succeed, and return what it printed."""
    ran = git(folder, *words, content=content)
    assert ran.code == 0, f"git {' '.join(words)}: {ran.err}"
    return ran.out


def clone(url: str, folder: Path, *options: str) -> Path:
    """Clone ``url`` to the new ``folder``."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    git_ok(folder.parent, "clone", "--quiet", *options, url, str(folder))
    return folder


def commit(folder: Path, files: dict[str, str | bytes], message: str = "change") -> str:
    """Write ``files`` into the clone ``folder``, commit them, and return the commit's id."""
    for path, content in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    git_ok(folder, "add", "--all")
    git_ok(folder, "commit", "--quiet", "--allow-empty", "--message", message)
    return git_ok(folder, "rev-parse", "HEAD")
