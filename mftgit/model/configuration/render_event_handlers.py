"""Work out which event handlers are active on one member."""

from collections.abc import Mapping
from dataclasses import replace

from mftgit.model.configuration.config import Generation
from mftgit.model.configuration.rendered import build_all, changes
from mftgit.model.documents.document import Kind
from mftgit.model.handlers.handler import AnyEventHandler
from mftgit.model.names import EventHandlerName
from mftgit.model.rules.parts import Parts


def follow_event_handlers(
    before: Parts, last: Generation, parts: Parts
) -> Mapping[EventHandlerName, AnyEventHandler]:
    """Return the handlers of ``parts`` that are active on the member, who runs ``last`` of ``before``.

    Raises:
        InvalidConfigError: it lacks a variable.
    """
    changed, gone = changes(before, parts, Kind.EVENT_HANDLER)
    active = [(part, sound) for part, sound in changed if sound.scope.runs_on(last.member)]
    names = {part.name for part, _ in changed} | gone
    kept = {name: each for name, each in last.event_handlers.items() if name not in names}
    return kept | {
        EventHandlerName(name): replace(built, name=EventHandlerName(name))
        for name, built in build_all(active, last.member)
        if isinstance(built, AnyEventHandler)
    }
