"""A site of which every page has content, and a node of it where everything has gone wrong, for long reasons."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller_site import NODE, NOW, Site
from node_site import ONE
from web_client import WebClient

from mftgit.adapters.channel import Channel
from mftgit.adapters.clock import SystemClock, rfc3339
from mftgit.model.configuration.config import Role
from mftgit.model.events.event import Event, EventName, Fact
from mftgit.model.handlers.status import EventHandlerStatus, HandlerState
from mftgit.model.inbound.bans import ban_facts
from mftgit.model.inbound.service_status import ServiceState, ServiceStatus
from mftgit.model.members.messages import MemberState, MemberStatus
from mftgit.model.names import EventHandlerName, Revision, ServiceName, TransferName
from mftgit.model.ownership.storage import StorageStatus
from mftgit.model.transfers.status import LastRun, TransferState, TransferStatus

HOSTILE: Final = '<img src=x onerror="window.hurt = 1"><script>window.hurt = 1</script>'
REASON: Final = f"no route {HOSTILE} {'x' * 150} {('and so on ' * 15).strip()}"
"""With a word that is wider than a phone, and more words than go beside each other on one."""

COHORTS: Final = b"name: acme\nrollout: {cohorts: [{name: canary, members: [node-1], soak_s: 0}]}\n"
_DOCUMENT: Final = "transfers/one.yaml"
_TREE: Final = ONE | {
    "cluster.yaml": COHORTS,
    "members/controller.yaml": b"role: controller\n",
    "members/node-1.yaml": f"role: node\ndescription: '{HOSTILE}'\n".encode(),
    f"{HOSTILE.replace('/', '')}.md": b"x",
}
_THEIRS: Final = ONE[_DOCUMENT].replace(b"location: here", b"location: there")
_MINE: Final = ONE[_DOCUMENT].replace(b"location: here", b"location: nowhere").decode()
_AT: Final = "2026-11-23T08:00:00.000Z"


@dataclass
class Told:
    """What a node says to the controller, by its own proof."""

    channel: Channel
    seq: int = 0

    def activated(self, revision: Revision) -> None:
        self.event(EventName.REVISION_ACTIVATED, revision)
        self.channel.send_status(_status(MemberState.ACTIVE, revision))

    def troubled(self, revision: Revision) -> None:
        """Say that ``revision`` was refused, and that nothing else works either."""
        self.event(EventName.REVISION_REFUSED, revision, reason=REASON)
        self.event(EventName.RUN_FAILED, transfer="one", outcome="failed", errors=[REASON, REASON])
        self.event(EventName.DELIVERY_FAILED, transfer="one", path="a.csv", error=REASON)
        self.event(EventName.UPLOAD_FINISHED, account="acme", path="in/b.csv", size_bytes=500)
        banned = ban_facts("192.0.2.7/32", seconds=9e5, service=_SERVICE.name, failures=9)
        self.event(EventName.SOURCE_BANNED, **banned)
        self.channel.send_status(_status(MemberState.REFUSED, revision))

    def event(self, name: EventName, revision: Revision | None = None, /, **facts: Fact) -> None:
        self.seq += 1
        at = rfc3339(SystemClock().now())
        told = Event(member=NODE, seq=self.seq, at=at, event=name, revision=revision, facts=facts)
        self.channel.send_events(NODE, [told])


def fill(site: Site, node: Told) -> Mapping[str, tuple[str, ...]]:
    """Have happen what pages show; return, by the path of each page, where it is and words that are then on it.

    The draft of the first operator has a problem, and what was published meanwhile changes the same line.
    """
    before = _commit(site, _TREE)
    admin = WebClient(site, headers={"Sec-Fetch-Site": "same-origin", "User-Agent": "another"})
    admin.log_in()
    kept = admin.send(
        f"/edit/document?path={_DOCUMENT}",
        "/edit/document",
        name=_DOCUMENT,
        text=_MINE,
        do="keep-anyway",
    )
    assert kept.status == 303, kept.text
    changed = {_DOCUMENT: ONE[_DOCUMENT].replace(b"every_s: 1", b"every_s: 2").decode()}
    proposal = {"name": "slower", "base": before, "files": changed, "message": "Look less often"}
    _call(site, "/api/v1/proposals", proposal)
    head = _commit(site, _TREE | {_DOCUMENT: _THEIRS})
    node.troubled(head)
    site.controller.web_parts.volumes.look()
    order = {"member": NODE, "order": "run-transfer", "transfer": "one"}
    _call(site, "/api/v1/orders", order)
    return {
        "/": ("/", REASON),
        "/account": ("/account", "another"),
        "/cluster": ("/cluster", REASON),
        "/edit": ("/edit", "Main has moved on", "there is no location 'nowhere'"),
        "/edit/document": (f"/edit/document?path={_DOCUMENT}", "there is no location 'nowhere'"),
        "/edit/form": (f"/edit/form?path={_DOCUMENT}", "Keep in my draft"),
        "/event-handlers": ("/event-handlers", REASON),
        "/events": ("/events", "a run of one failed"),
        "/history": ("/history", head[:12]),
        "/history/compare": (f"/history/compare?from={before}&to={head}", _DOCUMENT),
        "/history/{revision}": (f"/history/{head}", _DOCUMENT),
        "/inbound": ("/inbound", REASON, "192.0.2.7/32"),
        "/inbound/history": ("/inbound/history", "in/b.csv"),
        "/orders": ("/orders", "operator admin"),
        "/proposals": ("/proposals", "Look less often"),
        "/proposals/{name:path}": ("/proposals/slower", "trigger.watch.every_s"),
        "/transfers": ("/transfers", REASON),
        "/transfers/{transfer}": ("/transfers/one", REASON, "operator admin"),
        "/transfers/{transfer}/history": ("/transfers/one/history", REASON),
    }


def _commit(site: Site, tree: Mapping[str, bytes]) -> Revision:
    author = f"{HOSTILE.replace('<', '').replace('>', '')} <a@b.invalid>"
    store = site.controller.store
    made = store.commit_documents(
        tree, parent=store.head(), now=NOW(), message=HOSTILE, author=author
    )
    site.controller.catch_up()
    assert site.head() == made
    return made


def _call(site: Site, path: str, body: Any) -> None:
    headers = site.basic() | {"Content-Type": "application/json"}
    status, answer = site.ask("POST", path, body=json.dumps(body).encode(), headers=headers)
    assert status == 200, answer


def _status(state: MemberState, revision: Revision) -> MemberStatus:
    is_well = state is MemberState.ACTIVE
    return MemberStatus(
        name=NODE,
        role=Role.NODE,
        state=state,
        active_revision=revision if is_well else None,
        attempted_revision=revision,
        reason=None if is_well else REASON,
        storage=None if is_well else StorageStatus(refused=REASON),
        services=() if is_well else (_SERVICE,),
        transfers=() if is_well else (_TRANSFER,),
        event_handlers=() if is_well else (_HANDLER,),
    )


_SERVICE: Final = ServiceStatus(
    name=ServiceName("partners"),
    address="0.0.0.0:2222",
    state=ServiceState.FAILING,
    reason=REASON,
)
_TRANSFER: Final = TransferStatus(
    name=TransferName("one"),
    owner=NODE,
    epoch=None,
    state=TransferState.FAILING,
    last_run=LastRun(outcome="failed", at=_AT, files=0, size_bytes=0),
    delivered=7,
    reason=REASON,
)
_HANDLER: Final = EventHandlerStatus(
    name=EventHandlerName("oncall"),
    type="email",
    state=HandlerState.FAILING,
    behind=3,
    last="node-1/17",
    last_at=_AT,
    error=REASON,
    failing_since=_AT,
    handled=900,
    refused=41,
    missed=77,
)
