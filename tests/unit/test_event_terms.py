"""What an event is found by is what a query for it needs."""

from mftgit.model.events.event import Event, EventName
from mftgit.model.events.kinds import Component, Severity
from mftgit.model.events.query import EventQuery
from mftgit.model.events.terms import needed, term, terms
from mftgit.model.names import Epoch, MemberName, Revision

EVENT = Event(
    member=MemberName("node-1"),
    seq=1,
    at="",
    event=EventName.RUN_FAILED,
    revision=Revision("ab" * 20),
    epoch=Epoch(7),
    facts={"transfer": "invoices", "account": "supplier"},
)


def is_met(query: EventQuery) -> bool:
    assert query.matches(EVENT)
    return all(terms(EVENT) & each for each in needed(query))


def test_an_event_has_what_each_query_needs_that_asks_for_it() -> None:
    component = Component(kind="transfer", name="invoices")
    for query in (
        EventQuery(),
        EventQuery(component=component),
        EventQuery(component=component, least=Severity.ERROR),
        EventQuery(account="supplier", events=frozenset({EventName.RUN_FAILED})),
        EventQuery(revision="abab", epoch=7),
        EventQuery(revision="ab"),
        EventQuery(
            members=frozenset(MemberName(f"node-{number}") for number in range(90)),
            least=Severity.INFO,
        ),
    ):
        assert is_met(query)


def test_what_is_common_each_and_rare_together_has_a_number_of_its_own() -> None:
    query = EventQuery(
        component=Component(kind="transfer", name="invoices"),
        events=frozenset({EventName.RUN_STARTED}),
    )
    assert not all(terms(EVENT) & each for each in needed(query))


def test_numbers_are_of_64_bits_and_the_same_everywhere() -> None:
    assert term("member", "node-1") == -9010187331253183139
    assert all(-(2**63) <= each < 2**63 for each in terms(EVENT))
