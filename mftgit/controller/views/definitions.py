"""What the published revision says of each transfer, in words: when it fires, whence and whither."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from loguru import logger

from mftgit.adapters.git.store import GitStore
from mftgit.errors import MftgitError
from mftgit.model.configuration.build import build_trigger
from mftgit.model.configuration.definition import describe_trigger
from mftgit.model.documents.document import Kind
from mftgit.model.documents.templates import find_templates
from mftgit.model.names import Revision, TransferName
from mftgit.model.rules.parts import sound_parts
from mftgit.model.rules.validate import Validator

_AS_MEMBERS_SAY: Final = "by a variable of each member"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One transfer; a location is given with the path below it, in which a variable of members stays as it is."""

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
        """Return them by name; those that cannot be read are missing."""
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
            TransferName(part.name): _describe(sound.document.value)
            for part, sound in sound_parts(parts, Kind.TRANSFER)
        }


def _describe(transfer: Mapping[str, Any]) -> Definition:
    trigger = transfer["trigger"]
    varies = any(find_templates({"trigger": trigger}))
    return Definition(
        schedule=_AS_MEMBERS_SAY if varies else describe_trigger(build_trigger(trigger)),
        source=_end(transfer["source"]),
        destination=_end(transfer["destination"]),
    )


def _end(end: Mapping[str, Any]) -> str:
    return f"{end['location']}: {end.get('path', '.')}"
