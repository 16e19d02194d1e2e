"""How the parts of a member write its events down."""

from collections.abc import Mapping
from typing import Protocol

from mftgit.model.events.event import EventName, Fact
from mftgit.model.names import Revision


class Told(Protocol):
    """Writes down an event of this member."""

    def __call__(
        self,
        event: EventName,
        *,
        revision: Revision | None = None,
        facts: Mapping[str, Fact] | None = None,
        once: str | None = None,
    ) -> None:
        """Write it down; with ``once``, only where none was written under that name. Raises MftgitError."""
