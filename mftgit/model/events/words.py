"""Say in plain words what an event tells; its facts say the rest."""

import re
from collections.abc import Mapping
from string import Formatter
from typing import Final

from mftgit.model.amounts import format_bytes
from mftgit.model.events.event import Event
from mftgit.model.events.event import EventName as Name
from mftgit.model.printable import printable

_MAX_VALUE: Final = 200
_SHORT: Final = 12
_TOO_MANY: Final = 10**18
_CAPITALS: Final = re.compile(r"(?<!^)(?=[A-Z])")
_REVISION: Final = re.compile(r"[0-9a-f]{40}")

_WORDS: Final[Mapping[Name, str]] = {
    Name.PUSH_RECEIVED: "{who} pushed to {ref}",
    Name.PUSH_REFUSED: "a push to {ref} by {who} was refused: {reason}",
    Name.REVISION_PUBLISHED: "{who} published {revision}",
    Name.ROLLOUT_STARTED: "the roll-out of {revision} began",
    Name.ROLLOUT_HALTED: "the roll-out of {revision} halted: {reason}",
    Name.ROLLOUT_FINISHED: "every member has {revision}",
    Name.ROLLOUT_PAUSED: "the roll-out of {revision} was paused",
    Name.ROLLOUT_RESUMED: "the roll-out of {revision} goes on",
    Name.ROLLOUT_PROMOTED: "all members get their turn for {revision} now",
    Name.ROLLOUT_ABORTED: "the roll-out of {revision} was aborted",
    Name.CHANGE_PROPOSED: "{who} proposed {revision} as {ref}",
    Name.CHANGE_REMOVED: "{who} removed the proposal {ref}",
    Name.CHANGE_MERGED: "{who} merged the proposal {change}: main is at {revision}",
    Name.REVIEW_GIVEN: "{who} said {said} of the proposal {change}",
    Name.GLASS_BROKEN: "{who} published {revision} without the approvals that it needs: {reason}",
    Name.FORGE_REFUSED: "what is on the branch {branch} of the forge is not published: {reason}",
    Name.FORGE_UNREACHABLE: "the forge cannot be looked at: {reason}",
    Name.FORGE_REACHED: "the forge can be looked at again",
    Name.FORGE_STATUS_FAILED: "the forge was not told of {tip}: {reason}",
    Name.LOGIN_FAILED: "a log-in as {kind} {who} from {client} failed",
    Name.OPERATOR_ADDED: "the operator {operator} was added, with the role {role}",
    Name.OPERATOR_CHANGED: "the operator {operator} has the role {role} now",
    Name.OPERATOR_REMOVED: "the operator {operator} was removed",
    Name.OPERATOR_LOGGED_IN: "the operator {operator} logged in from {client}",
    Name.OPERATOR_LOGGED_OUT: "the operator {operator} ended sessions of its own: {sessions}",
    Name.ISSUER_CHANGED: "who vouches for operators is now: {issuer}",
    Name.MEMBER_INVITED: "{invited} was invited to join as {role}",
    Name.MEMBER_JOINED: "{joined} joined as {role}",
    Name.MEMBER_REMOVED: "{removed} was removed from the cluster",
    Name.MEMBER_KEY_OFFERED: "{of} has a next key",
    Name.MEMBER_KEY_ROTATED: "{of} goes by its next key now",
    Name.AUTHORITY_CHANGED: "another authority issues the controller's certificate",
    Name.MEMBER_STARTED: "{member} started, with mftgit {version}",
    Name.MEMBER_STOPPED: "{member} stopped",
    Name.CONTROLLER_MOVED: "{member} reaches the controller at {url} now",
    Name.CONTROLLER_RESTORED: "the controller was made anew at {revision}",
    Name.CONTROLLER_REPLACED: "another controller is in the place of this one, {told_by} said",
    Name.CONTROLLER_DISPUTED: "there is another controller beside this one, which {told_by} follows",
    Name.REVISION_FETCHED: "{member} fetched {revision}",
    Name.REVISION_VERIFIED: "{member} found {revision} in order",
    Name.REVISION_REFUSED: "{member} refused {revision}: {reason}",
    Name.REVISION_ACTIVATED: "{member} runs {revision}",
    Name.REVISION_ROLLED_BACK: "{member} went back from {revision}: {reason}",
    Name.REVISION_SUPERSEDED: "{member} passed over {revision}: {reason}",
    Name.REVISION_RECALLED: "an operator took {member} back from {revision} to {to}",
    Name.DRIFT_FOUND: "{count:file} of {revision} edited on {member} put right",
    Name.SIGNER_DISTRUSTED: "who signed {revision}, which {member} runs, is not trusted any more",
    Name.ORDER_GIVEN: "{by} ordered {for}: {order} {argument}",
    Name.ORDER_CARRIED_OUT: "{member} did what {by} ordered: {order} {argument}",
    Name.ORDER_REFUSED: "{member} did not do what {by} ordered: {order} {argument}: {reason}",
    Name.ORDER_EXPIRED: "{for} did not take the order {order} of {by} in time: {reason}",
    Name.PLAN_APPLIED: "{member} changed what it runs",
    Name.OWNERSHIP_TAKEN: "{member} owns the transfer {transfer} now",
    Name.OWNERSHIP_LOST: "{member} does not own the transfer {transfer} any more",
    Name.RUN_STARTED: "a run of {transfer} began",
    Name.RUN_FINISHED: "a run of {transfer} ended: {outcome}, {files:file}, {size_bytes}",
    Name.RUN_FAILED: "a run of {transfer} failed: {errors}",
    Name.DELIVERY_SUCCEEDED: "{transfer} delivered {path} to {destination}, {size_bytes}",
    Name.DELIVERY_FAILED: "{transfer} could not deliver {path}: {error}",
    Name.DELIVERY_SKIPPED: "{transfer} passed over {path}, which {destination} has",
    Name.DELIVERY_GIVEN_UP: "{transfer} does not try {path} any more",
    Name.DESTINATION_AWAY: "{transfer} goes to {fallback}, as {location} is away: {error}",
    Name.COMMAND_FAILED: "the program {command} of {transfer} failed: {error}",
    Name.TRANSFER_MOVE_ORDERED: "{by} ordered {transfer} to move to {to}",
    Name.TRANSFER_PAUSED: "{by} paused {transfer}",
    Name.TRANSFER_RESUMED: "{by} ended the pause of {transfer}",
    Name.TRANSFER_RECOVERED: "{transfer} works again, after {failed_runs} runs that failed",
    Name.INBOUND_LOGIN_FAILED: "a log-in as {account} from {source} at {service} failed: {why}",
    Name.SESSION_OPENED: "{account} logged in at {service} from {source}",
    Name.SESSION_CLOSED: "the session of {account} at {service} ended: {why}",
    Name.UPLOAD_FINISHED: "{account} uploaded {path}, {size_bytes}",
    Name.DOWNLOAD_FINISHED: "{account} downloaded {path}, {sent_bytes}",
    Name.WORKER_ENDED: "a process of the service {service} on {member} died: {how}",
    Name.SOURCE_BANNED: "{source} is kept out for {seconds} seconds after {failures} failures",
    Name.SOURCE_UNBANNED: "the ban of {source} is over",
    Name.EVENT_HANDLER_FAILING: "the event handler {event_handler} on {member} fails: {error}",
    Name.EVENT_HANDLER_RECOVERED: "the event handler {event_handler} on {member} works again",
    Name.EVENT_HANDLER_TESTED: "{by} tried the event handler {event_handler}",
    Name.EVENTS_DROPPED: "the event log of {member} was full: {dropped} were dropped",
}


def say(event: Event) -> str:
    """Return one line about ``event``, safe to show."""
    words = _WORDS.get(event.event, _CAPITALS.sub(" ", event.event.value).lower())
    return " ".join(printable(_filled(words, event)).split())


def _filled(words: str, event: Event) -> str:
    said = []
    for text, name, unit, _ in Formatter().parse(words):
        said.append(text)
        if name:
            value = event.as_json().get(name)
            said.append(_value(name, value))
            if unit:
                said.append(f" {unit}" if value == 1 else f" {unit}s")
    return "".join(said)


def _value(name: str, value: object) -> str:
    match value:
        case None:
            return "" if name == "argument" else "-"
        case int() if name.endswith("_bytes") and 0 <= value < _TOO_MANY:
            return format_bytes(value)
        case list():
            text = "; ".join(str(each) for each in value)
        case dict():
            text = ", ".join(f"{count} {kind}" for kind, count in value.items() if count)
        case _:
            text = str(value)
    if _REVISION.fullmatch(text):
        return text[:_SHORT]
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}…"
