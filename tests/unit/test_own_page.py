"""A member's page about itself: what it says, and that what it was told does nothing to a browser."""

from dataclasses import replace
from datetime import UTC, datetime

from mftgit.adapters.own_page import MAX_SHOWN, render_own_page
from mftgit.model.configuration.config import Role
from mftgit.model.events.event import Event, EventName
from mftgit.model.handlers.status import EventHandlerStatus, HandlerState
from mftgit.model.inbound.service_status import ServiceState, ServiceStatus
from mftgit.model.members.messages import Drain, MemberState, MemberStatus
from mftgit.model.monitoring.seen import Seen
from mftgit.model.names import (
    Epoch,
    EventHandlerName,
    MemberName,
    Revision,
    ServiceName,
    TransferName,
)
from mftgit.model.transfers.status import LastRun, TransferState, TransferStatus

HOSTILE = "<script>alert('\u202e')</script>"
ME = MemberName("node-1")
STATUS = MemberStatus(
    name=ME,
    role=Role.NODE,
    state=MemberState.REFUSED,
    active_revision=Revision("1" * 40),
    attempted_revision=Revision("2" * 40),
    reason=HOSTILE,
)
SEEN = Seen(
    now=datetime(2026, 11, 29, 12, tzinfo=UTC), version="1", python="3", cluster=None, status=STATUS
)
TRANSFER = TransferStatus(
    name=TransferName("invoices"),
    owner=None,
    epoch=Epoch(7),
    state=TransferState.FAILING,
    last_run=LastRun(outcome="failed", at="2026-11-29T11:00:00.000Z", files=3, size_bytes=9),
    delivered=1234,
    reason=HOSTILE,
)


def event(name: EventName, **facts: str) -> Event:
    return Event(member=ME, seq=1, at="2026-11-29T11:00:00.000Z", event=name, facts=facts)


def test_what_members_and_partners_say_is_text_and_nothing_else() -> None:
    service = ServiceStatus(
        name=ServiceName("sftp"), address=HOSTILE, state=ServiceState.FAILING, reason=HOSTILE
    )
    handler = EventHandlerStatus(
        name=EventHandlerName("mail"), type="email", state=HandlerState.FAILING, error=HOSTILE
    )
    status = replace(STATUS, transfers=(TRANSFER,), services=(service,), event_handlers=(handler,))
    page = render_own_page(replace(SEEN, status=status, cluster=HOSTILE), [])
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(&#x27;\\u202e&#x27;)") == 6
    assert "\u202e" not in page


def test_the_page_says_the_state_why_and_what_an_operator_ordered() -> None:
    status = replace(STATUS, suspended=True, pin=Revision("1" * 40), drain=Drain.DRAINING)
    page = render_own_page(replace(SEEN, status=status), [])
    assert "<title>node-1: refused</title>" in page
    assert '<span class="bad">refused</span>' in page
    assert "suspended, pinned, draining" in page
    assert "a cluster that it does not know yet" in page
    assert page.count("<p>none</p>") == 4  # transfers, services, event handlers, events


def test_a_transfer_tells_its_owner_its_last_run_and_when_it_is_due() -> None:
    status = replace(STATUS, transfers=(TRANSFER,))
    page = render_own_page(replace(SEEN, status=status, firings={TRANSFER.name: "12:30"}), [])
    for told in ("invoices", "nobody", ">7<", "failed, 3 files", "12:30", "1,234"):
        assert told in page, told


def test_events_are_told_by_name_and_component_without_the_rest_of_their_facts() -> None:
    given = event(EventName.RUN_FAILED, transfer="invoices", path="secret.txt", account="acme")
    page = render_own_page(SEEN, [given])
    assert '<span class="bad">RunFailed</span>' in page
    assert "transfer/invoices" in page
    assert "secret.txt" not in page
    assert "acme" not in page


def test_of_very_many_transfers_the_rest_is_counted() -> None:
    many = tuple(replace(TRANSFER, name=TransferName(f"t{n}")) for n in range(MAX_SHOWN + 2))
    page = render_own_page(replace(SEEN, status=replace(STATUS, transfers=many)), [])
    assert page.count(">1,234<") == MAX_SHOWN
    assert "2 more are not shown" in page
