"""What keeps a revision from following on the published one, besides what is wrong in itself."""

from collections.abc import Iterable

from mftgit.model.documents.places import CLUSTER_FILE
from mftgit.model.documents.problem import Problem
from mftgit.model.revisions.removals import check_removals, stock_of, take_stock
from mftgit.model.rules.tree import Tree
from mftgit.model.trust.policy_version import check_policy_step
from mftgit.model.trust.trust import read_policy


def check_succession(published: Tree, paths: Iterable[str], fresh: Tree) -> tuple[Problem, ...]:
    """Return why ``fresh`` may not be published next.

    ``published`` has the policy files of the revision before, at least, and ``paths`` are those of its documents.
    """
    cluster = published.get(CLUSTER_FILE)
    before = take_stock(paths, cluster.load() if cluster else b"")
    found = (
        check_removals(before, stock_of(fresh)),
        check_policy_step(read_policy(published), read_policy(fresh)),
    )
    return tuple(each for each in found if each is not None)
