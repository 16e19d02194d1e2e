"""What the published revision says of each transfer, in words: when it fires, whence and whither."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from loguru import logger

from mftgit.adapters.git_store import GitStore
from mftgit.errors import MftgitError
from mftgit.model.config import Transfer
from mftgit.model.definition import describe_trigger
from mftgit.model.documents import Kind
from mftgit.model.names import Revision, TransferName
from mftgit.model.parts import sound_parts
from mftgit.model.validate import Validator


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One transfer; a location is given with the path below it."""

    schedule: str
    source: str
    destination: str


class Definitions:
    """The words of the newest published revision, made once for each. For any thread."""

    def __init__(self, store: GitStore, validator: Validator) -> None:
        """Read revisions from ``store``; ``validator`` remembers what the gate has read of them."""
        self._store = store
        self._validator = validator
        self._lock = threading.Lock()
        self._known: tuple[Revision | None, Mapping[TransferName, Definition]] = (None, {})

    def all(self) -> Mapping[TransferName, Definition]:
        """Return them by name. Those that cannot be read, or that members have each otherwise, are missing."""
        with self._lock:
            try:
                head = self._store.head()
                if head is not None and head != self._known[0]:
                    self._known = head, self._read(head)
            except MftgitError as error:
                logger.warning("the definitions of transfers were not read", error=str(error))
            return self._known[1]

    def _read(self, revision: Revision) -> dict[TransferName, Definition]:
        parts = self._validator.validate(self._store.tree(revision)).parts
        return {
            TransferName(part.name): _describe(sound.built)
            for part, sound in sound_parts(parts, Kind.TRANSFER)
            if isinstance(sound.built, Transfer)
        }


def _describe(transfer: Transfer) -> Definition:
    source, destination = transfer.source, transfer.destination
    return Definition(
        schedule=describe_trigger(transfer.trigger),
        source=f"{source.location}: {source.path}",
        destination=f"{destination.location}: {destination.path}",
    )
