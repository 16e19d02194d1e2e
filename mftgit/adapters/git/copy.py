"""Copy one branch's whole history from one repository to another on this machine, proving it whole on the way."""

from dulwich.object_store import MissingObjectFinder
from dulwich.objects import ObjectID

from mftgit.adapters.git.objects import BrokenHistoryError, StoreError
from mftgit.adapters.git.quarantine import UNLIMITED, packed
from mftgit.adapters.git.store import GitStore
from mftgit.errors import MftgitError
from mftgit.model.names import MAIN, Revision
from mftgit.model.revisions.push import RefUpdate


def copy_history(source: GitStore, target: GitStore, tip: Revision, *, ref: str = MAIN) -> None:
    """Let ``ref`` of ``target``, where it is not there yet, stand at ``tip`` of ``source``, which is only read.

    Raises:
        StoreError: something of it is missing or damaged; nothing was brought in.
    """
    try:
        _copy(source, target, tip, ref)
    except MftgitError:
        raise
    except Exception as error:  # damage shows as whatever dulwich stumbles over
        text = " ".join(str(error).split())
        raise StoreError(f"{source.path} is damaged: {type(error).__name__}: {text}") from error


def _copy(source: GitStore, target: GitStore, tip: Revision, ref: str) -> None:
    with source.repo() as repo, target.quarantine() as quarantine:
        store = repo.object_store
        finder = MissingObjectFinder(store, haves=[], wants=[ObjectID(tip.encode())])
        oids = [oid for oid, _ in finder]
        with packed(store, oids) as pack:
            quarantine.take(pack, UNLIMITED)
        fault = quarantine.fault(tip)
        if fault is not None:
            raise BrokenHistoryError(f"{source.path}: {fault}")
        target.move([RefUpdate(ref=ref, old=None, new=tip)], quarantine)
