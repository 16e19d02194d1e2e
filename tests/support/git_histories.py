"""Random histories for hypothesis, written into a repository by `git fast-import`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from git_cli import git_ok
from hypothesis import strategies as st

PATHS = ("a", "b", "d", "d/a", "d/b", "d/e/a", "f/a")
"""A file can take the place of a folder, and the other way round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One commit: which of the commits before it are its parents, and what it writes, or removes where None."""

    parents: tuple[int, ...]
    files: dict[str, int | None]


def histories(*, at_most: int = 8) -> st.SearchStrategy[list[Step]]:
    """Return a strategy for histories with merges, several roots, moved and returning contents."""
    step = st.builds(
        lambda parents, files: Step(parents=tuple(parents), files=files),
        st.lists(st.integers(1, 4), max_size=2, unique=True),
        st.dictionaries(st.sampled_from(PATHS), st.none() | st.integers(0, 3), max_size=3),
    )
    return st.lists(step, min_size=1, max_size=at_most)


def write_history(repository: Path, steps: Sequence[Step]) -> list[str]:
    """Write ``steps`` and return the ids of the commits; ``main`` is the last."""
    lines = [b"reset refs/heads/main\n"]
    for number, step in enumerate(steps, 1):
        lines.append(b"commit refs/heads/c%d\nmark :%d\n" % (number, number))
        lines.append(
            b"committer Ann <ann@example.org> %d +0000\ndata 0\n" % (1_795_000_000 + number)
        )
        parents = [number - back for back in step.parents if back < number]
        lines += [b"%b :%d\n" % (b"merge" if at else b"from", p) for at, p in enumerate(parents)]
        for path, content in step.files.items():
            if content is None:
                lines.append(b"D %b\n" % path.encode())
            else:
                text = b"content %d\n" % content
                lines.append(
                    b"M 100644 inline %b\ndata %d\n%b\n" % (path.encode(), len(text), text)
                )
    git_ok(repository, "fast-import", "--quiet", "--force", content=b"".join(lines))
    ids = [git_ok(repository, "rev-parse", f"c{number}") for number in range(1, len(steps) + 1)]
    git_ok(repository, "update-ref", "refs/heads/main", ids[-1])
    return ids
