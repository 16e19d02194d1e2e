"""What an owner knows of its epochs in etcd."""

from dataclasses import dataclass
from typing import Any

from mftgit.adapters.etcd.wire import entries
from mftgit.model.names import Epoch
from mftgit.model.ownership.etcd_values import FIRST, parse_raised


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A lease that we have, and the revision at which its key was created."""

    created: int
    epoch: Epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """What is part of epochs, and the revision at which that was ``changed`` last.

    ``damaged``: the key is there, and says nothing of use; it is to be written anew.
    """

    by: int = FIRST
    changed: int = 0
    damaged: bool = False


def read_raised(response: Any) -> Raised:
    """Return what ``response``, the key ``raised`` as it was read, says."""
    for entry in entries(response["response_range"], ""):
        by = parse_raised(entry.value)
        return Raised(by=FIRST if by is None else by, changed=entry.changed, damaged=by is None)
    return Raised()
