"""The resources of the Web Manager: the one table where a new one is entered."""

from collections.abc import Callable, Sequence
from typing import Final

from mftgit.controller.web import (
    cluster,
    documents,
    editing,
    editing_form,
    event_handlers,
    events,
    history,
    inbound,
    ordering,
    own_account,
    proposals,
    transfers,
)
from mftgit.controller.web.doors import AnyDoor
from mftgit.controller.web.parts import WebParts

RESOURCES: Final[Sequence[Callable[[WebParts], Sequence[AnyDoor]]]] = (
    cluster.doors,
    documents.doors,
    editing.doors,
    editing_form.doors,
    event_handlers.doors,
    events.doors,
    history.doors,
    transfers.doors,
    inbound.doors,
    ordering.doors,
    own_account.doors,
    proposals.doors,
)

NAVIGATION: Final[Sequence[tuple[str, str]]] = (
    ("Cluster", "/cluster"),
    ("Transfers", "/transfers"),
    ("Inbound", "/inbound"),
    ("Orders", "/orders"),
    ("Events", "/events"),
    ("Event handlers", "/event-handlers"),
    ("History", "/history"),
    ("Proposals", "/proposals"),
    ("Edit", "/edit"),
)
"""Title and path of each entry, in this order; one's own account stands apart."""
