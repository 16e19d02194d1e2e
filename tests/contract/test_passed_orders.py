"""An order that an operator gives at the controller is carried out once by its member, in time, and told of."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from clocks import SetClock, Wall
from controller_site import NODE, NOW, Node, Site, controller_site
from node_site import ONE, restarted, started
from waiting import until

from mftgit.adapters.channel import ControllerRefusedError
from mftgit.adapters.clock import SystemClock
from mftgit.adapters.registry.orders import OrderRecords, TooManyOrdersError, UnknownOrderError
from mftgit.adapters.registry.registry import Registry
from mftgit.adapters.tls import pki
from mftgit.controller.members.orders import Orders, UnknownMemberError
from mftgit.errors import MftgitError
from mftgit.member.kept import read_orders
from mftgit.member.orders import OrderWatch
from mftgit.member.outbound.ownership.storage import STATE
from mftgit.member.outbound.records.pauses import Pauses
from mftgit.model.configuration.config import Role
from mftgit.model.events.event import Event, EventName
from mftgit.model.members.messages import Drain, Hint, MemberState
from mftgit.model.members.orders import Verb
from mftgit.model.members.passed_orders import (
    MOST_KEPT,
    MOST_OPEN,
    ORDER_S,
    Asked,
    OrderNews,
    OrderState,
    PassedOrder,
    Told,
)
from mftgit.model.names import MemberName, TransferName

T, ALICE = TransferName("one"), "operator alice"
OTHER = MemberName("node-2")
RUN = Asked(member=NODE, verb=Verb.RUN_TRANSFER, transfer=T)
NIGHTLY = ONE | {
    "transfers/one.yaml": ONE["transfers/one.yaml"].replace(
        b"{watch: {every_s: 1}}", b"{cron: {expression: 0 0 1 1 *}}"
    )
}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as made:
        made.publish(NIGHTLY)
        yield made


@pytest.fixture
def node(site: Site) -> Node:
    made = started(site)
    until(lambda: made.outbound.status()[0].owner == NODE)
    return made


def watch(node: Node, ask: Callable[[int], OrderNews] | None = None) -> OrderWatch:
    return OrderWatch(
        ask or node.upstream.orders,
        folder=node.folder,
        clock=SystemClock(),
        told=lambda *told, **rest: (node.events.append(*told, **rest), None)[1],
        obey=lambda: None,
    )


def order(site: Site, verb: Verb, **about: object) -> PassedOrder:
    return site.controller.orders.give(Asked(member=NODE, verb=verb, **about), by=ALICE)  # type: ignore[arg-type]


def obey(node: Node) -> None:
    """Ask, carry out, and report, as the threads of a member do."""
    watch(node).look()
    node.look()
    report(node)


def report(node: Node) -> None:
    events = [each for _, each in node.events.after(0, limit=10_000)]
    node.upstream.send_events(events)


def fate(site: Site, given: PassedOrder) -> tuple[OrderState, str | None]:
    now = site.controller.orders.find(given.number)
    return now.state, now.outcome


def drop(site: Site, *names: str) -> Path:
    files = site.folder.root.parent / "files"
    (files / "here").mkdir(parents=True, exist_ok=True)
    for name in names:
        (files / "here" / name).write_text(name, encoding="utf-8")
    return files / "there"


def test_an_order_is_taken_carried_out_once_and_told_with_who_gave_it(
    site: Site, node: Node
) -> None:
    there = drop(site, "a")
    given = order(site, Verb.RUN_TRANSFER, transfer=T)
    assert fate(site, given) == (OrderState.GIVEN, None)
    watch(node).look()
    assert fate(site, given) == (OrderState.TAKEN, None)
    node.look()
    until((there / "a").exists)
    report(node)
    assert fate(site, given) == (OrderState.CARRIED_OUT, "it runs")
    obey(node)
    node = restarted(site, node)
    obey(node)
    (told,) = node.told(EventName.ORDER_CARRIED_OUT)
    assert (told.facts["by"], told.facts["number"]) == (ALICE, given.number)
    assert (told.facts["order"], told.facts["argument"]) == ("run-transfer", T)
    (ordered,) = [each for _, each in site.events.after(0) if each.event is EventName.ORDER_GIVEN]
    assert (ordered.facts["by"], ordered.facts["for"]) == (ALICE, NODE)
    assert len(node.told(EventName.RUN_STARTED)) == 1


def test_orders_come_over_the_line_that_a_member_listens_on(site: Site, node: Node) -> None:
    hints: set[Hint] = set()
    taken = watch(node)
    taken.start()

    def listen() -> None:
        for hint in node.upstream.wait():
            hints.add(hint)
            if hint is Hint.ORDERS:
                taken.poke()
            if closing_down.is_set():
                return

    closing_down = threading.Event()
    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    until(lambda: hints == set(Hint))
    given = order(site, Verb.SUSPEND)
    until(lambda: fate(site, given)[0] is OrderState.TAKEN)
    closing_down.set()
    order(site, Verb.RESUME)
    listener.join(60)
    taken.stop()
    node.look()
    assert node.intake.state() is MemberState.ACTIVE


def test_what_holds_is_ordered_from_the_controller_as_on_the_machine(
    site: Site, node: Node
) -> None:
    order(site, Verb.SUSPEND)
    order(site, Verb.DRAIN)
    obey(node)
    assert node.intake.operator.orders.suspended
    until(lambda: node.intake.operator.drain is Drain.DRAINED)
    again = restarted(site, node)
    obey(again)
    assert again.intake.operator.orders.suspended
    order(site, Verb.RESUME)
    end = order(site, Verb.END_DRAIN)
    obey(again)
    assert again.intake.operator.drain is None
    assert fate(site, end) == (OrderState.CARRIED_OUT, None)


def test_a_transfer_is_paused_and_resumed_for_all_members_in_the_operators_name(
    site: Site, node: Node
) -> None:
    pauses = Pauses(site.folder.root.parent / "files" / STATE)
    first, second = (order(site, Verb.PAUSE_TRANSFER, transfer=T) for _ in range(2))
    obey(node)
    pause = pauses.read(T)
    assert pause is not None
    assert (pause.by, pause.member) == (ALICE, NODE)
    assert fate(site, first) == (OrderState.CARRIED_OUT, "it begins nothing more")
    assert fate(site, second) == (OrderState.CARRIED_OUT, "it was paused already")
    assert len(node.told(EventName.TRANSFER_PAUSED)) == 1
    until(lambda: node.outbound.status()[0].paused)
    run = order(site, Verb.RUN_TRANSFER, transfer=T)
    obey(node)
    state, why = fate(site, run)
    assert state is OrderState.REFUSED
    assert "paused by operator alice" in str(why)
    resumed = order(site, Verb.RESUME_TRANSFER, transfer=T)
    again = order(site, Verb.RESUME_TRANSFER, transfer=T)
    obey(node)
    assert pauses.read(T) is None
    assert [fate(site, each)[1] for each in (resumed, again)] == ["it goes on", "it was not paused"]
    assert [each.facts["by"] for each in node.told(EventName.TRANSFER_RESUMED)] == [ALICE]


@pytest.mark.parametrize(
    ("verb", "about", "why"),
    [
        (Verb.RUN_TRANSFER, {"transfer": "nothing"}, "has no transfer nothing"),
        (Verb.STOP_RUN, {"transfer": T}, "no run of one is under way"),
        (Verb.PAUSE_TRANSFER, {"transfer": "nothing"}, "has no transfer nothing"),
        (Verb.MOVE_TRANSFER, {"transfer": T, "to": "controller"}, "may not own one"),
        (Verb.MOVE_TRANSFER, {"transfer": T, "to": NODE}, "node-1 owns one already"),
        (Verb.END_SESSION, {"session": 3}, "there is no session 3 any more"),
    ],
)
def test_a_member_says_why_it_does_not_carry_an_order_out(
    site: Site, node: Node, verb: Verb, about: dict[str, object], why: str
) -> None:
    given = order(site, verb, **about)
    obey(node)
    state, said = fate(site, given)
    assert state is OrderState.REFUSED
    assert why in str(said)
    assert node.told(EventName.ORDER_CARRIED_OUT) == []


def test_storage_that_does_not_take_a_pause_is_the_reason(site: Site, node: Node) -> None:
    place = site.folder.root.parent / "files" / STATE / "paused"
    place.write_text("no folder", encoding="utf-8")
    given = order(site, Verb.PAUSE_TRANSFER, transfer=T)
    obey(node)
    state, why = fate(site, given)
    assert state is OrderState.REFUSED
    assert "members' storage is mounted" in str(why)


def test_a_drained_member_says_so_where_it_is_to_run_something(site: Site, node: Node) -> None:
    order(site, Verb.DRAIN)
    obey(node)
    run = order(site, Verb.RUN_TRANSFER, transfer=T)
    obey(node)
    assert fate(site, run) == (OrderState.REFUSED, "node-1 is drained")


# The line is cut


def test_an_order_whose_answer_was_lost_is_told_again_and_taken_once(
    site: Site, node: Node
) -> None:
    given = order(site, Verb.RUN_TRANSFER, transfer=T)

    def cut(after: int) -> OrderNews:
        node.upstream.orders(after)
        raise MftgitError("the line is cut")

    with pytest.raises(MftgitError, match="is cut"):
        watch(node, cut).look()
    assert fate(site, given)[0] is OrderState.GIVEN  # nobody knows that it was told
    watch(node).look()
    watch(node).look()
    assert [each.passed for each in read_orders(node.folder.orders).given] == [given.number]


def test_an_order_that_was_taken_is_known_to_be_once_the_line_is_back(
    site: Site, node: Node
) -> None:
    given = order(site, Verb.RUN_TRANSFER, transfer=T)
    asked = []

    def once(after: int) -> OrderNews:
        asked.append(after)
        if len(asked) > 1:
            raise MftgitError("the line is cut")
        return node.upstream.orders(after)

    with pytest.raises(MftgitError, match="is cut"):
        watch(node, once).look()
    assert len(read_orders(node.folder.orders).given) == 1
    node.look()  # it is carried out all the same
    assert fate(site, given)[0] is OrderState.GIVEN
    report(node)
    assert fate(site, given)[0] is OrderState.CARRIED_OUT


def test_an_answer_that_took_longer_than_the_order_is_good_for_is_not_obeyed(
    node: Node,
) -> None:
    told = Told(number=7, asked=RUN, by=ALICE, at="", left_s=0.0)
    watch(node, lambda _after: OrderNews(orders=(told,))).look()
    assert read_orders(node.folder.orders).given == ()


def test_an_order_that_lay_too_long_on_a_stopped_member_is_refused(site: Site, node: Node) -> None:
    wall = Wall()
    wall.set(NOW().replace(year=NOW().year - 1))
    ask = OrderWatch(
        node.upstream.orders,
        folder=node.folder,
        clock=wall,
        told=lambda *told, **rest: (node.events.append(*told, **rest), None)[1],
        obey=lambda: None,
    )
    run, drain = order(site, Verb.RUN_TRANSFER, transfer=T), order(site, Verb.DRAIN)
    ask.look()
    node.look()
    report(node)
    state, why = fate(site, run)
    assert state is OrderState.REFUSED
    assert "it came too late" in str(why)
    assert fate(site, drain)[0] is OrderState.CARRIED_OUT  # it has held since it was taken
    assert node.intake.operator.drain is not None


def test_a_controller_of_an_older_version_has_no_orders(node: Node) -> None:
    def refuse(_after: int) -> OrderNews:
        raise ControllerRefusedError("no such door", status=404)

    watch(node, refuse).look()

    def not_proved(_after: int) -> OrderNews:
        raise ControllerRefusedError("who?", status=401)

    with pytest.raises(ControllerRefusedError):
        watch(node, not_proved).look()


def test_an_order_of_a_newer_controller_is_refused_and_those_behind_it_are_taken(
    site: Site, node: Node
) -> None:
    before, unknown, after = (order(site, Verb.SUSPEND) for _ in range(3))

    def newer(position: int) -> OrderNews:
        news = node.upstream.orders(position)
        known = tuple(each for each in news.orders if each.number != unknown.number)
        return OrderNews(orders=known, unknown=(unknown.number,) if news.orders else ())

    watch(node, newer).look()
    watch(node, newer).look()
    node.look()
    report(node)
    assert fate(site, unknown)[0] is OrderState.REFUSED
    assert "does not know this order" in str(fate(site, unknown)[1])
    assert [fate(site, each)[0] for each in (before, after)] == [OrderState.CARRIED_OUT] * 2


# Who may


@pytest.mark.usefixtures("node")
def test_a_member_is_told_its_own_orders_alone_and_settles_its_own_alone(site: Site) -> None:
    key = pki.make_identity()
    site.enrol(key, OTHER)
    given = order(site, Verb.RUN_TRANSFER, transfer=T)
    with closing(site.channel(OTHER, key=key)) as other:
        assert other.orders(OTHER, 0) == OrderNews()
        assert other.orders(OTHER, given.number) == OrderNews()
        other.send_events(
            OTHER,
            [
                Event(
                    member=OTHER,
                    seq=1,
                    at="",
                    event=EventName.ORDER_CARRIED_OUT,
                    facts={"number": given.number, "outcome": "done"},
                )
            ],
        )
    assert fate(site, given) == (OrderState.GIVEN, None)


def test_an_operator_does_not_ask_for_orders_as_a_member_does(site: Site) -> None:
    assert site.ask("GET", "/api/orders?after=0", headers=site.basic())[0] == 403
    assert site.ask("GET", "/api/orders?after=0")[0] == 401


def test_a_member_that_asks_nonsense_is_told(node: Node) -> None:
    with pytest.raises(ControllerRefusedError, match="not after=NUMBER"):
        node.upstream._channel.orders(NODE, -1)


def test_the_controllers_own_member_takes_orders_too(site: Site) -> None:
    me = site.folder.read_bootstrap().name
    given = site.controller.orders.give(Asked(member=me, verb=Verb.SUSPEND), by=ALICE)
    hints = site.controller.upstream.wait()
    assert {next(hints) for _ in Hint} == set(Hint)
    (told,) = site.controller.upstream.orders(0).orders
    assert told.number == given.number
    assert site.controller.upstream.orders(given.number).orders == ()
    site.controller.upstream.send_events(
        [
            Event(
                member=me,
                seq=1,
                at="",
                event=EventName.ORDER_CARRIED_OUT,
                facts={"number": given.number},
            )
        ]
    )
    assert fate(site, given)[0] is OrderState.CARRIED_OUT


@pytest.mark.usefixtures("node")
def test_an_order_to_nobody_is_refused_at_once(site: Site) -> None:
    for name in ("nobody", "node-9"):
        with pytest.raises(UnknownMemberError, match="there is no member"):
            site.controller.orders.give(Asked(member=MemberName(name), verb=Verb.DRAIN), by=ALICE)


# The records, by a clock that stands


@dataclass
class Kept:
    clock: SetClock
    records: OrderRecords
    orders: Orders
    told: list[tuple[EventName, dict[str, object]]]

    def give(self, verb: Verb = Verb.DRAIN, member: MemberName = NODE) -> PassedOrder:
        return self.orders.give(Asked(member=member, verb=verb), by=ALICE)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    clock = SetClock()
    path = tmp_path / "registry.sqlite"
    told: list[tuple[EventName, dict[str, object]]] = []
    with (
        closing(Registry(path, now=clock.now)) as registry,
        closing(OrderRecords(path, now=clock.now)) as records,
    ):
        for name in (NODE, OTHER):
            registry.enrol(
                name, role=Role.NODE, public_key=pki.public_identity(pki.make_identity())
            )
        orders = Orders(
            records,
            record=lambda event, facts: told.append((event, dict(facts))),
            wake=lambda _members: None,
            is_member=lambda name: bool(registry.public_keys(name)),
        )
        yield Kept(clock=clock, records=records, orders=orders, told=told)


def test_an_order_that_nobody_takes_in_time_is_void_and_told_once(kept: Kept) -> None:
    given, taken = kept.give(), kept.give(member=OTHER)
    kept.orders.news(OTHER, taken.number)
    kept.clock.pass_s(ORDER_S - 1)
    kept.orders.look()
    assert kept.orders.find(given.number).state is OrderState.GIVEN
    kept.clock.pass_s(1)
    kept.orders.look()
    kept.orders.look()
    now = kept.orders.find(given.number)
    assert now.state is OrderState.EXPIRED
    assert "not taken within 10 minutes" in str(now.outcome)
    assert kept.orders.news(NODE, 0) == OrderNews()
    assert kept.orders.find(taken.number).state is OrderState.TAKEN
    expired = [facts for event, facts in kept.told if event is EventName.ORDER_EXPIRED]
    assert [(each["number"], each["by"]) for each in expired] == [(given.number, ALICE)]


def test_an_order_of_a_removed_member_is_void_and_no_later_member_of_its_name_gets_it(
    kept: Kept, tmp_path: Path
) -> None:
    given, taken = kept.give(), kept.give()
    kept.orders.news(NODE, given.number)
    with closing(Registry(tmp_path / "registry.sqlite", now=kept.clock.now)) as registry:
        registry.remove_member(NODE)
        kept.orders.look()
        registry.enrol(NODE, role=Role.NODE, public_key="0" * 64)
    for each in (given, taken):
        now = kept.orders.find(each.number)
        assert (now.state, now.outcome) == (
            OrderState.EXPIRED,
            "the member was removed from the cluster",
        )
    assert kept.orders.news(NODE, 0) == OrderNews()


def test_what_a_member_says_late_counts_and_it_says_it_once(kept: Kept) -> None:
    given = kept.give()
    kept.orders.news(NODE, 0)
    kept.clock.pass_s(ORDER_S)
    kept.orders.look()

    def say(seq: int, event: EventName) -> None:
        kept.orders.reported(
            [Event(member=NODE, seq=seq, at="", event=event, facts={"number": given.number})]
        )

    say(1, EventName.ORDER_CARRIED_OUT)
    changes = kept.orders.changes
    say(2, EventName.ORDER_REFUSED)
    assert kept.orders.find(given.number).state is OrderState.CARRIED_OUT
    assert kept.orders.changes == changes


def test_a_flood_of_orders_is_bounded_for_each_member(kept: Kept) -> None:
    for _ in range(MOST_OPEN):
        kept.give()
    with pytest.raises(TooManyOrdersError, match="16 orders wait for node-1 already"):
        kept.give()
    kept.give(member=OTHER)
    assert len(kept.orders.news(NODE, 0).orders) == MOST_OPEN
    kept.clock.pass_s(ORDER_S)
    kept.give()


def test_so_many_orders_are_remembered_and_no_more(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mftgit.adapters.registry.orders.MOST_KEPT", 3)
    given = [kept.give(member=each) for each in (NODE, OTHER) * 3]
    left = [each.number for each in kept.orders.newest()]
    assert left == [each.number for each in reversed(given[-3:])]
    with pytest.raises(UnknownOrderError, match="there is no order"):
        kept.orders.find(given[0].number)
    assert MOST_KEPT > MOST_OPEN


def test_numbers_rise_whatever_the_clock_says(kept: Kept) -> None:
    first = kept.give()
    kept.clock.pass_s(-3600)
    assert kept.give().number == first.number + 1


def test_orders_are_found_by_member_and_transfer_page_by_page(kept: Kept) -> None:
    drains = [kept.give(member=each) for each in (NODE, OTHER)]
    run = kept.orders.give(RUN, by=ALICE)
    assert kept.orders.newest() == [run, *reversed(drains)]
    assert kept.orders.newest(transfer=T) == [run]
    assert kept.orders.newest(member=OTHER) == [drains[1]]
    assert kept.orders.newest(before=run.number, limit=1) == [drains[1]]


def test_two_operators_at_once_get_an_order_each(kept: Kept) -> None:
    numbers: list[int] = []
    threads = [
        threading.Thread(target=lambda: numbers.append(kept.give().number)) for _ in range(8)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(set(numbers)) == 8
    assert [each.number for each in kept.orders.news(NODE, 0).orders] == sorted(numbers)
