"""Take in what members say: they join, they report events, they tell how they are."""

import json
from collections.abc import Mapping
from typing import Any

from mftgit.adapters.event_store import EventStore
from mftgit.adapters.registry import Registry
from mftgit.errors import MftgitError, TransientError
from mftgit.model.events import EventName, parse_event
from mftgit.model.messages import parse_member_status
from mftgit.model.names import MemberName, parse_name

MAX_EVENTS = 1000
"""How many events one report may carry."""

_KEY_DIGITS = 64


class BadReportError(MftgitError):
    """What a member sent is not of the agreed shape, or not its own."""


class RecordsLostError(TransientError):
    """The registry is not the one that was filled at `controller init`; restore it from a backup."""


class Collect:
    """The controller's ear."""

    def __init__(
        self, registry: Registry, events: EventStore, *, cluster_id: str, controller: MemberName
    ) -> None:
        """Keep members' words in ``registry`` and their events in ``events``; ``controller`` is a member too."""
        self._controller = controller
        self._registry = registry
        self._events = events
        self._cluster_id = cluster_id

    def join(self, body: bytes) -> Mapping[str, Any]:
        """Let a member in and return what it needs to know.

        The answer is ``{cluster_id, role, last_seq}``; ``last_seq`` is the highest number among the events that
        a member of this name ever reported, so that numbers are never used twice.
        """
        asked = _parse(body)
        name, secret, key = (asked.get(each) for each in ("member", "secret", "public_key"))
        if not (isinstance(name, str) and isinstance(secret, str) and isinstance(key, str)):
            raise BadReportError("a join needs member, secret and public_key")
        if len(key) != _KEY_DIGITS:
            raise BadReportError("public_key is not 64 hexadecimal digits")
        member = MemberName(name)
        role = self._registry.join(member, secret=secret, public_key=key)
        self._events.append(EventName.MEMBER_JOINED, facts={"joined": name, "role": role.value})
        return {
            "cluster_id": self._cluster_id,
            "role": role.value,
            "last_seq": self._events.last_seq(member),
        }

    def knows(self, params: Mapping[str, str]) -> Mapping[str, bool]:
        """Tell a member that asks without a proof whether it is of the cluster: ``{member}``.

        Raises:
            RecordsLostError: the registry does not even know the controller; nobody is to stand down for that.
        """
        if self._registry.public_key(self._controller) is None:
            raise RecordsLostError("the controller's records of members are lost")
        return {"member": self._registry.public_key(own_name(params)) == params["key"]}

    def events(self, member: MemberName, body: bytes) -> Mapping[str, Any]:
        """Keep a member's events and return ``{acknowledged}``: the number up to which all are here."""
        values = _parse(body).get("events")
        if not isinstance(values, list) or not 0 < len(values) <= MAX_EVENTS:
            raise BadReportError(f"events is not a list of 1 to {MAX_EVENTS}")
        try:
            events = [parse_event(each) for each in values]
        except (ValueError, AttributeError, TypeError) as error:
            raise BadReportError(str(error)) from error
        if any(each.member != member for each in events):
            raise BadReportError(f"{member} may report its own events only")
        self._events.collect(events)
        return {"acknowledged": max(each.seq for each in events)}

    def status(self, member: MemberName, body: bytes) -> Mapping[str, Any]:
        """Keep how a member says it is."""
        try:
            status = parse_member_status(_parse(body))
        except ValueError as error:
            raise BadReportError(str(error)) from error
        if status.name != member:
            raise BadReportError(f"{member} may report its own status only")
        self._registry.report(status)
        return {}


def own_name(params: Mapping[str, str]) -> MemberName:
    """Return the member that a path names."""
    try:
        return MemberName(parse_name(params["member"]))
    except ValueError as error:
        raise BadReportError(str(error)) from error


def _parse(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadReportError("not JSON") from error
    if not isinstance(value, dict):
        raise BadReportError("not a JSON object")
    return value
