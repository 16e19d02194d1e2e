"""What an event is about and how much it matters."""

import pytest

from mftgit.model.events.event import Event, EventName, Fact
from mftgit.model.events.kinds import KINDS, Component, Group, Severity, account, component
from mftgit.model.names import MemberName


def an_event(**facts: Fact) -> Event:
    return Event(
        member=MemberName("node-1"), seq=1, at="", event=EventName.RUN_STARTED, facts=facts
    )


def test_every_event_has_a_group_and_a_severity() -> None:
    assert set(KINDS) == set(EventName)
    assert {each.group for each in KINDS.values()} == set(Group)


@pytest.mark.parametrize(
    ("severity", "least", "reaches"),
    [
        (Severity.ERROR, Severity.INFO, True),
        (Severity.WARNING, Severity.WARNING, True),
        (Severity.INFO, Severity.NOTICE, False),
    ],
)
def test_a_severity_reaches_itself_and_what_matters_less(
    severity: Severity, least: Severity, *, reaches: bool
) -> None:
    assert severity.reaches(least) is reaches


@pytest.mark.parametrize(
    ("name", "least", "reaches"),
    [
        (EventName.TRANSFER_RECOVERED, Severity.ERROR, True),
        (EventName.EVENT_HANDLER_RECOVERED, Severity.WARNING, True),
        (EventName.EVENT_HANDLER_RECOVERED, Severity.ERROR, False),
        (EventName.TRANSFER_RESUMED, Severity.WARNING, False),
        (EventName.RUN_FAILED, Severity.ERROR, True),
    ],
)
def test_who_hears_of_something_hears_also_that_it_is_over(
    name: EventName, least: Severity, *, reaches: bool
) -> None:
    assert KINDS[name].reaches(least) is reaches


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"transfer": "invoices"}, Component(kind="transfer", name="invoices")),
        ({"service": "sftp", "account": "supplier"}, Component(kind="service", name="sftp")),
        ({"transfer": 7}, None),
        ({}, None),
    ],
)
def test_a_component_is_a_transfer_or_a_service(
    facts: dict[str, Fact], expected: Component | None
) -> None:
    assert component(an_event(**facts)) == expected


def test_a_component_is_shown_by_kind_and_name() -> None:
    assert str(Component(kind="transfer", name="invoices")) == "transfer/invoices"


def test_the_account_is_told_where_there_is_one() -> None:
    assert account(an_event(account="supplier")) == "supplier"
    assert account(an_event()) is None
