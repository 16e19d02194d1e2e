"""For which version of the schemas a revision was written, and whether this mftgit knows that one.

Where it does not, that is all there is to tell: a field that is not known yet is no mistake of whoever wrote it.
"""

from typing import Final

from mftgit import __version__
from mftgit.model.documents.json_value import whole_number
from mftgit.model.documents.problem import Problem
from mftgit.model.rules.parts import Part

KNOWN: Final = 1
"""The newest version; it rises by one where documents may say what the mftgit before would refuse or misread."""

_FIELD: Final = "schema_version"


def check_schema_version(cluster: Part | None, *, known: int = KNOWN) -> Problem | None:
    """Return that ``cluster.yaml`` names a version beyond ``known``; None where it does not, or nobody can tell."""
    document = cluster.checked.document if cluster else None
    version = whole_number(document.value.get(_FIELD)) if document else None
    if cluster is None or version is None or version <= known:
        return None
    knows = f"1 to {known}" if known > 1 else "1 only"
    return cluster.problem(
        f"/{_FIELD}",
        rule="schema-version",
        message=f"written for schema version {version}; this mftgit {__version__} knows {knows}",
        hint="upgrade mftgit on this machine; or, if no newer field is meant, "
        f"write {_FIELD}: {known}",
    )
