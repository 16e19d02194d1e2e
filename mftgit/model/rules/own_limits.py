"""A revision has to keep to the limits that it sets: otherwise they would refuse the push that takes them back."""

from collections.abc import Iterator
from typing import Final

from mftgit.model.configuration.config import Cluster
from mftgit.model.documents.document import MAX_SIZE_BYTES
from mftgit.model.documents.problem import Problem
from mftgit.model.rules.parts import Part
from mftgit.model.rules.tree import Tree

_ENTRY_BYTES: Final = 28  # of an entry of a folder besides its name: mode, blank, end and id
_COMMIT_BYTES: Final = 64 << 10


def check_limits(tree: Tree, cluster: Part | None) -> tuple[Problem, ...]:
    """Return the limits in ``cluster.yaml`` that its own revision is beyond."""
    built = cluster.checked.sound.built if cluster and cluster.checked.sound else None
    if cluster is None or not isinstance(built, Cluster):
        return ()
    limits = built.limits
    return tuple(
        cluster.problem(
            f"/gate/limits/{name}",
            rule="limit",
            message=f"this revision needs {found:,} here, also for a push that changes the limit",
            hint="raise it, or make the revision smaller",
        )
        for name, found in needed(tree)
        if found > getattr(limits, name)
    )


def needed(tree: Tree) -> Iterator[tuple[str, int]]:
    """Give the least that each limit has to be for ``tree``, and for a push that changes `cluster.yaml` alone."""
    near = {path.rpartition("/")[0] for path in tree} - {""}
    folders = {
        folder[:at] for folder in near for at, sign in enumerate(f"{folder}/") if sign == "/"
    }
    yield "max_entries", len(tree) + len(folders)
    yield "max_tree_depth", max((folder.count("/") + 1 for folder in near), default=0)
    plain = "".join(tree).isascii()
    yield "max_path_bytes", max(map(len if plain else _size, tree), default=0)
    top = {folder.partition("/")[0] for folder in near} | {path for path in tree if "/" not in path}
    root = sum(_size(name) + _ENTRY_BYTES for name in top)
    files = (entry.size_bytes for entry in tree.values())
    yield "max_object_bytes", max(root, MAX_SIZE_BYTES, *files, 0)
    for name in ("max_pack_bytes", "max_inflated_bytes"):
        yield name, root + MAX_SIZE_BYTES + _COMMIT_BYTES


def _size(name: str) -> int:
    return len(name.encode("utf-8", "surrogateescape"))
