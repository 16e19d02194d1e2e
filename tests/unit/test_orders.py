"""Orders are kept in order, and what holds is what was said last."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.members.orders import KEPT, Order, Orders, Verb, format_orders, give, parse_orders
from mftgit.model.names import Revision, TransferName

A = Revision("a" * 40)

orders = st.lists(
    st.builds(
        Order,
        number=st.integers(0, 9),
        verb=st.sampled_from(Verb),
        revision=st.none() | st.just(A),
        transfer=st.none() | st.just(TransferName("t")),
        session=st.none() | st.integers(1),
        by=st.text(),
        at=st.text(),
    ),
    max_size=KEPT + 3,
)


def given_all(these: list[Order]) -> Orders:
    given = Orders()
    for each in these:
        given = give(given, each)
    return given


@given(orders)
def test_numbers_rise_whatever_the_clock_says_and_the_newest_are_kept(these: list[Order]) -> None:
    numbers = [each.number for each in given_all(these).given]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == min(len(these), KEPT)
    assert given_all(these).after(max(numbers, default=0)) == ()


@given(orders)
def test_what_holds_is_what_was_said_last(these: list[Order]) -> None:
    verbs = [each.verb for each in these]
    held = given_all(these)
    assert held.suspended == (last_of(verbs, Verb.SUSPEND, Verb.RESUME) is Verb.SUSPEND)
    assert held.draining == (last_of(verbs, Verb.DRAIN, Verb.END_DRAIN) is Verb.DRAIN)
    pins = [each for each in these if each.verb in {Verb.PIN, Verb.UNPIN}]
    assert held.pin == (pins[-1].revision if pins else None)


def last_of(verbs: list[Verb], *among: Verb) -> Verb | None:
    return next((each for each in reversed(verbs) if each in among), None)


@given(orders)
def test_orders_are_read_as_they_were_written(these: list[Order]) -> None:
    assert parse_orders(format_orders(given_all(these))) == given_all(these)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", json.dumps({"given": [1]}).encode()])
def test_damaged_orders_are_noticed(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_orders(content)


def test_orders_of_an_older_version_are_of_no_transfer() -> None:
    value = json.loads(format_orders(given_all([Order(number=1, verb=Verb.DRAIN, by="a", at="b")])))
    del value["given"][0]["transfer"]
    assert parse_orders(json.dumps(value).encode()).given[0].transfer is None


def test_a_run_that_is_ordered_holds_nothing() -> None:
    order = Order(number=1, verb=Verb.RUN_TRANSFER, transfer=TransferName("t"), by="a", at="b")
    held = give(Orders(), order)
    assert held == Orders(given=(order,))
