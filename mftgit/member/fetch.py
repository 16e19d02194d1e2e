"""See that the published revision grows from what is known."""

from mftgit.adapters.git.store import GitStore
from mftgit.errors import MftgitError
from mftgit.model.names import Revision
from mftgit.model.revisions.push import lineage


class DivergedError(MftgitError):
    """The published branch no longer holds the revision that this member has confirmed."""


def check_lineage(store: GitStore, *, anchor: Revision | None, tip: Revision) -> None:
    """See that ``tip`` is ``anchor`` or grew from it; a member without an anchor takes any history.

    Raises:
        DivergedError: it did not; nothing but a person's decision helps.
    """
    grown = anchor is None or store.is_ancestor(anchor, tip)
    verdict = lineage(anchor, tip, is_ancestor=grown)
    if not verdict.accepted:
        raise DivergedError("\n".join((str(verdict.reason), *verdict.explanation)))
