"""The rules across documents for event handlers: what they name is there, and they can read their secrets."""

from collections.abc import Iterator
from typing import Final

from mftgit.model.documents.checked import Sound
from mftgit.model.documents.document import Kind
from mftgit.model.handlers.handler import AnyEventHandler, EventFilter
from mftgit.model.rules.parts import Part
from mftgit.model.rules.survey import Survey

_COMPONENTS: Final = {
    kind.value: kind for kind in (Kind.TRANSFER, Kind.SERVICE, Kind.EVENT_HANDLER)
}


def check_event_handlers(survey: Survey) -> None:
    """See that event handlers fit to what they name."""
    for part, sound in survey.sound(Kind.EVENT_HANDLER):
        _check(survey, part, sound)


def _check(survey: Survey, part: Part, sound: Sound) -> None:
    names = survey.eligible(sound.scope.active_on) if sound.scope.enabled else ()
    variants = [
        (group, built)
        for group, built in survey.variants(part, sound, names)
        if isinstance(built, AnyEventHandler)
    ]
    for group, handler in variants:
        survey.use(part, part, handler.secrets(), group)
        for at, each in (("/include", handler.include), ("/exclude", handler.exclude)):
            for pointer, kind, name in _named(each or EventFilter(), at):
                survey.is_declared(part, pointer, kind, name)


def _named(named: EventFilter, at: str) -> Iterator[tuple[str, Kind, str]]:
    """Give pointer, kind and name of each document that is named."""
    for index, text in enumerate(named.components):
        kind, _, name = text.partition("/")
        if name != "*":
            yield f"{at}/components/{index}", _COMPONENTS[kind], name
    for index, name in enumerate(named.members):
        yield f"{at}/members/{index}", Kind.MEMBER, name
    for index, name in enumerate(named.accounts):
        yield f"{at}/accounts/{index}", Kind.ACCOUNT, name
