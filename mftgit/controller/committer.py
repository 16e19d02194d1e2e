"""In whose name the controller makes commits."""

from mftgit.adapters.git.store import GitStore
from mftgit.model.documents.document import Document, parse_document
from mftgit.model.documents.places import CLUSTER_FILE
from mftgit.model.names import MemberName, Revision, is_name


def cluster_of(store: GitStore, main: Revision) -> str:
    """Return the name of the cluster that ``main`` says, which addresses of authors end with."""
    entry = store.pick(main, (CLUSTER_FILE,)).get(CLUSTER_FILE)
    document = parse_document(CLUSTER_FILE, entry.load()) if entry else None
    name = document.value.get("name") if isinstance(document, Document) else None
    return name if isinstance(name, str) and is_name(name) else "cluster"


def committer(controller: MemberName, cluster: str) -> str:
    """Return the committer of what the controller commits for somebody, as ``Name <address>``."""
    return f"mftgit <{controller}@{cluster}.invalid>"
