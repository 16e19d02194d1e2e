"""The fields of an event handler as its document has them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from mftgit.model.configuration.config import EVERYWHERE, ActiveOn
from mftgit.model.configuration.flat import Value, flat, where
from mftgit.model.handlers.handler import ON_CONTROLLER, AnyEventHandler
from mftgit.model.locations.login import SecretRef

_RENAMED: Final = {
    "sender": "from",
    "max_bytes": "rotate.max_bytes",
    "every": "rotate.every",
    "keep": "rotate.keep",
}
_SECRETS: Final = ("signing_secret", "token", "password")


def flat_event_handler(handler: AnyEventHandler) -> Mapping[str, Value]:
    """Return every field of ``handler`` by its path; a secret is told by where it lies."""
    told: dict[str, Value] = {"type": handler.KIND, "active_on": _active_on(handler.active_on)}
    for name, value in flat(replace(handler, active_on=ON_CONTROLLER), "").items():
        first = name.partition(".")[0]
        if first not in ("active_on", *_SECRETS):
            told[_RENAMED.get(name, name)] = value
    for name in _SECRETS:
        kept = getattr(handler, name, None)
        if isinstance(kept, SecretRef):
            told[name] = where(kept)
    return {name: value for name, value in told.items() if value != ()}


def _active_on(active_on: ActiveOn) -> Value:
    if active_on == EVERYWHERE:
        return "all"
    if active_on.labels:
        return tuple(f"{name}: {value}" for name, value in sorted(active_on.labels))
    if active_on.members:
        return tuple(sorted(active_on.members))
    return "controller" if active_on == ON_CONTROLLER else "nodes"
