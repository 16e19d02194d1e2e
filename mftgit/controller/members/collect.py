"""Take in what members say: they join, they report events, they tell how they are."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mftgit.adapters.events.store import EventStore
from mftgit.adapters.proof import POSSESSION, ProofRefusedError, verify_proof
from mftgit.adapters.registry.registry import Registry
from mftgit.adapters.sqlite import DatabaseError
from mftgit.controller.members.keys import MemberKeys
from mftgit.errors import MftgitError, TransientError
from mftgit.model.events.event import Event, EventName, parse_event
from mftgit.model.inbound.account_use import UseTold, parse_use_told
from mftgit.model.inbound.sessions_told import SessionsTold, parse_sessions
from mftgit.model.members.messages import MAX_REPORT_EVENTS, MemberStatus, parse_member_status
from mftgit.model.names import MemberName, parse_name

_PUBLIC_KEY = re.compile(r"[0-9a-f]{64}")


class BadReportError(MftgitError):
    """What a member sent is not of the agreed shape, or not its own."""


class NotKeptError(TransientError):
    """The controller could not write down what it was told."""


class RecordsLostError(TransientError):
    """The registry is not the one that was filled at `controller init`; restore it from a backup."""


class Collect:
    """The controller's ear."""

    def __init__(
        self,
        registry: Registry,
        events: EventStore,
        keys: MemberKeys,
        *,
        report: Callable[[MemberStatus], None],
        kept: Callable[[Sequence[Event], str | None], None],
        cluster_id: str,
        controller: MemberName,
    ) -> None:
        """Let members into ``registry``, keep their events in ``events``, and ``report`` how they say that they are.

        The events that are kept are told to ``kept`` too, with when they were sent. ``controller`` is a member too.
        """
        self._report = report
        self._kept = kept
        self._controller = controller
        self._registry = registry
        self._keys = keys
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
        _check_key(key)
        if not secret.isprintable():
            raise BadReportError("secret is not a line of text")
        member = own_name({"member": name})
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
        if not self._registry.public_keys(self._controller):
            raise RecordsLostError("the controller's records of members are lost")
        name = own_name(params)
        keys = self._registry.public_keys(name)
        if not keys and self._registry.is_lost(name):
            raise RecordsLostError(
                f"{name} is to join again: this controller was made anew, and {name}'s key was not among what was kept "
                f"(`mftgit member add {name}` on the controller, then `mftgit join --again`)"
            )
        return {"member": params["key"] in keys}

    def offer_key(self, member: MemberName, body: bytes) -> Mapping[str, Any]:
        """Let a member's next key in beside its present one, and return ``{public_key, in_force}``.

        The former is that key; the latter tells whether it is the member's only one.

        It comes with a proof that the member has it, so that nobody is given a key of somebody else.
        """
        match _parse(body):
            case {"public_key": str(key), "proof": str(proof)}:
                _check_key(key)
            case _:
                raise BadReportError("an offer of a key needs public_key and proof")
        try:
            verify_proof(
                proof,
                method=POSSESSION,
                path=key,
                cluster_id=self._cluster_id,
                public_keys=lambda name: (key,) if name == member else (),
            )
        except ProofRefusedError as error:
            raise BadReportError(
                f"{member} does not show that it has the key that it offers: {error}"
            ) from error
        try:
            self._keys.offer(member, key)
        except DatabaseError as error:
            raise NotKeptError(str(error)) from error
        return {"public_key": key, "in_force": self._registry.public_keys(member) == (key,)}

    def events(self, member: MemberName, body: bytes) -> Mapping[str, Any]:
        """Keep a member's events and return ``{acknowledged}``: the number up to which these are here.

        Where other events have their numbers, as after a member has lost its log or was put back from a backup, none
        from there on is kept: the answer has an ``error`` too, and ``last_seq``, above which the member has to number
        them.
        """
        asked = _parse(body)
        values, sent_at = asked.get("events"), asked.get("sent_at")
        if not isinstance(values, list) or not 0 < len(values) <= MAX_REPORT_EVENTS:
            raise BadReportError(f"events is not a list of 1 to {MAX_REPORT_EVENTS}")
        try:
            events = [parse_event(each) for each in values]
        except (ValueError, AttributeError, TypeError) as error:
            raise BadReportError(str(error)) from error
        if any(each.member != member for each in events):
            raise BadReportError(f"{member} may report its own events only")
        kept = self._keep(events, sent_at if isinstance(sent_at, str) else None)
        acknowledged = max((each.seq for each in events[:kept]), default=0)
        if kept == len(events):
            return {"acknowledged": acknowledged}
        clash = events[kept].seq
        return {
            "error": f"another event of {member} has the number {clash}: number these above last_seq",
            "acknowledged": acknowledged,
            "last_seq": self._events.last_seq(member),
        }

    def _keep(self, events: list[Event], sent_at: str | None) -> int:
        try:
            kept = self._events.collect(events)
            self._kept(events[:kept], sent_at)
        except DatabaseError as error:  # no fault of the report, which is to be sent again
            raise NotKeptError(str(error)) from error
        return kept

    def sessions(self, body: bytes) -> SessionsTold:
        """Return who is logged in at a member, as it says."""
        try:
            return parse_sessions(_parse(body))
        except ValueError as error:
            raise BadReportError(str(error)) from error

    def uses(self, body: bytes) -> UseTold:
        """Return how accounts are in use at a member, as it says."""
        try:
            return parse_use_told(_parse(body))
        except ValueError as error:
            raise BadReportError(str(error)) from error

    def status(self, member: MemberName, body: bytes) -> Mapping[str, Any]:
        """Keep how a member says it is."""
        try:
            status = parse_member_status(_parse(body))
        except ValueError as error:
            raise BadReportError(str(error)) from error
        if status.name != member:
            raise BadReportError(f"{member} may report its own status only")
        try:
            self._report(status)
        except DatabaseError as error:
            raise NotKeptError(str(error)) from error
        return {}


def own_name(params: Mapping[str, str]) -> MemberName:
    """Return the member that a path names."""
    try:
        return MemberName(parse_name(params["member"]))
    except ValueError as error:
        raise BadReportError(str(error)) from error


def _check_key(text: str) -> None:
    if not _PUBLIC_KEY.fullmatch(text):
        raise BadReportError("public_key is not 64 lower-case hexadecimal digits")


def _number(text: str) -> float:
    """Return a number of JSON; raises ValueError for one that no other reader of JSON would take from us again."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is no number that is kept")
    return number


def _parse(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body, parse_constant=_number, parse_float=_number)
    except (ValueError, RecursionError) as error:
        raise BadReportError("not JSON") from error
    if not isinstance(value, dict):
        raise BadReportError("not a JSON object")
    return value
