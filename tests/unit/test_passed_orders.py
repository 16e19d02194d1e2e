"""Orders that the controller passes on: what makes sense, what is told of them, what becomes of them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.events.event import Event, EventName, Fact
from mftgit.model.members.orders import ONCE, Order, Orders, Verb, format_orders, parse_orders, take
from mftgit.model.members.passed_orders import (
    ABOUT,
    MAX_OUTCOME,
    MOST_OPEN,
    ORDER_S,
    Asked,
    OrderNews,
    OrderState,
    PassedOrder,
    Settled,
    Told,
    parse_order_news,
    settled,
)
from mftgit.model.names import AccountName, MemberName, TransferName

NODE, OTHER, T = MemberName("node-1"), MemberName("node-2"), TransferName("invoices")
RUN = Asked(member=NODE, verb=Verb.RUN_TRANSFER, transfer=T)
MOVE = Asked(member=NODE, verb=Verb.MOVE_TRANSFER, transfer=T, to=OTHER)
END = Asked(member=NODE, verb=Verb.END_SESSION, session=7, account=AccountName("acme"))
DRAIN = Asked(member=NODE, verb=Verb.DRAIN)


def told(asked: Asked = RUN, *, number: int = 5, left_s: float = 60.0) -> Told:
    return Told(number=number, asked=asked, by="operator alice", at="2026-11-23", left_s=left_s)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"verb": Verb.PIN}, "pin is not passed on: it is ordered on the machine"),
        ({"verb": Verb.REANCHOR}, "reanchor is not passed on"),
        ({"verb": Verb.RUN_TRANSFER}, "run-transfer needs transfer"),
        ({"verb": Verb.DRAIN, "transfer": T}, "drain has no transfer"),
        ({"verb": Verb.STOP_RUN, "transfer": T, "to": OTHER}, "stop-run has no to"),
        ({"verb": Verb.MOVE_TRANSFER, "transfer": T}, "move-transfer needs to"),
        ({"verb": Verb.END_SESSION}, "end-session needs session"),
        ({"verb": Verb.DRAIN, "account": "x"}, "drain has no account"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_with_what_it_lacks(
    fields: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        Asked(member=NODE, **fields)


def test_every_order_that_is_done_once_is_passed_on_and_none_that_changes_what_a_member_trusts() -> (
    None
):
    assert set(ABOUT) >= ONCE
    assert not {Verb.PIN, Verb.UNPIN, Verb.ROLLBACK, Verb.REANCHOR} & set(ABOUT)


def test_events_tell_what_an_order_is_about() -> None:
    assert MOVE.facts() == {
        "order": "move-transfer",
        "for": NODE,
        "argument": T,
        "transfer": T,
        "to": OTHER,
    }
    assert (END.facts()["argument"], END.facts()["account"]) == (7, "acme")
    assert DRAIN.facts() == {"order": "drain", "for": NODE, "argument": None}


@pytest.mark.parametrize("asked", [RUN, MOVE, END, DRAIN])
def test_a_member_reads_what_it_is_told(asked: Asked) -> None:
    news = OrderNews(orders=(told(asked), told(asked, number=6)))
    assert parse_order_news(news.as_json(), NODE) == news


def test_an_order_of_a_newer_version_is_known_by_its_number_alone() -> None:
    value = OrderNews(orders=(told(), told(number=6))).as_json()
    value["orders"][0]["verb"] = "dance"
    news = parse_order_news(value, NODE)
    assert news == OrderNews(orders=(told(number=6),), unknown=(5,))


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"orders": 1},
        {"orders": [{}]},
        {"orders": [{"number": "5"}]},
        {"orders": [{"number": 0}]},
        {"orders": [{"number": 1 << 70}]},
        {"orders": [told().as_json()] * (MOST_OPEN + 1)},
    ],
)
def test_what_is_no_list_of_orders_is_noticed(value: Any) -> None:
    with pytest.raises(ValueError, match="order"):
        parse_order_news(value, NODE)


def test_no_order_is_good_for_longer_than_any_is() -> None:
    value = OrderNews(orders=(told(left_s=1e9),)).as_json()
    assert parse_order_news(value, NODE).orders[0].left_s == ORDER_S


@given(st.lists(st.integers(1, 9), max_size=12))
def test_an_order_is_taken_once_however_often_it_is_told(numbers: list[int]) -> None:
    orders = Orders()
    taken = []
    for number in numbers:
        after = take(orders, told(number=number).order(1, "2026"))
        taken += [number] if after != orders else []
        orders = after
    assert taken == sorted(set(taken))
    assert [each.passed for each in orders.given] == taken
    assert orders.taken == max(numbers, default=0)
    assert parse_orders(format_orders(orders)) == orders


def test_an_order_of_the_machine_is_not_taken_for_one_of_the_controller() -> None:
    own = Order(number=1, verb=Verb.DRAIN, by="a", at="b")
    assert take(Orders(), own) == Orders()


def test_a_member_keeps_all_of_an_order_that_it_takes() -> None:
    order = told(MOVE).order(9, "2026-11-23T08:01:00.000Z")
    assert (order.number, order.passed, order.to, order.until) == (
        9,
        5,
        OTHER,
        "2026-11-23T08:01:00.000Z",
    )
    assert (order.argument, order.by) == (T, "operator alice")
    assert parse_orders(format_orders(take(Orders(), order))).given == (order,)


def test_orders_of_an_older_version_were_not_passed_on() -> None:
    content = b'{"given": [], "suspended": false, "pin": null, "draining": false}'
    assert parse_orders(content).taken == 0


def test_the_api_tells_an_order() -> None:
    order = PassedOrder(
        number=5,
        asked=MOVE,
        by="operator alice",
        at="a",
        until="b",
        state=OrderState.REFUSED,
        outcome="no",
        settled_at="c",
    )
    assert order.as_json() == {
        "number": 5,
        "member": NODE,
        "order": "move-transfer",
        "transfer": T,
        "session": None,
        "account": None,
        "to": OTHER,
        "by": "operator alice",
        "at": "a",
        "until": "b",
        "state": "refused",
        "outcome": "no",
        "settled_at": "c",
    }


def test_an_order_is_open_until_its_outcome_is_known() -> None:
    assert {each for each in OrderState if each.is_open} == {OrderState.GIVEN, OrderState.TAKEN}


def said(event: EventName, **facts: Fact) -> Settled | None:
    return settled(Event(member=NODE, seq=1, at="", event=event, facts=facts))


def test_a_member_says_by_its_events_what_became_of_orders() -> None:
    done = said(EventName.ORDER_CARRIED_OUT, number=5, outcome="it runs")
    assert done == Settled(number=5, state=OrderState.CARRIED_OUT, outcome="it runs")
    assert said(EventName.ORDER_CARRIED_OUT, number=5) == Settled(
        number=5, state=OrderState.CARRIED_OUT, outcome=None
    )
    refused = said(EventName.ORDER_REFUSED, number=5, reason="x" * 9999)
    assert refused is not None
    assert (refused.state, refused.outcome) == (OrderState.REFUSED, "x" * MAX_OUTCOME)


@pytest.mark.parametrize("number", [0, -1, 1 << 63, True, "5", None])
def test_an_event_with_no_number_of_an_order_says_nothing_of_one(number: Fact) -> None:
    assert said(EventName.ORDER_CARRIED_OUT, number=number) is None


def test_other_events_say_nothing_of_orders() -> None:
    assert said(EventName.ORDER_CARRIED_OUT) is None  # of an order of its own machine
    assert said(EventName.ORDER_REFUSED, number=True) is None
    assert said(EventName.RUN_STARTED, number=5) is None
