"""A source that one member bans is kept out by all, until that ends or an operator lifts it."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest
from clocks import SetClock
from controller_site import NODE, NOW, Site, controller_site
from waiting import WAIT_S, until

from mftgit.adapters.channel import ControllerRefusedError
from mftgit.adapters.clock import rfc3339
from mftgit.adapters.registry import bans as ban_records
from mftgit.adapters.registry.bans import BanRecords
from mftgit.adapters.tls import pki
from mftgit.cli.main import run_verb
from mftgit.controller.members import bans as controller_bans
from mftgit.member.bans import BanWatch
from mftgit.model.events.event import Event, EventName
from mftgit.model.inbound.bans import LONGEST_BAN_S, BanNews, Reported, ban_facts
from mftgit.model.members.messages import Hint
from mftgit.model.names import MemberName, ServiceName
from mftgit.resources import load_schemas

OTHER = MemberName("node-2")
SOURCE = "192.0.2.7/32"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as made:
        yield made


def banned(
    seq: int, source: str = SOURCE, *, seconds: float = 900.0, at: str | None = None
) -> Event:
    return Event(
        member=OTHER,
        seq=seq,
        at=at or rfc3339(NOW()),
        event=EventName.SOURCE_BANNED,
        facts=ban_facts(source, seconds=seconds, service=ServiceName("partners"), failures=10),
    )


class Kept:
    """What a member keeps out."""

    def __init__(self) -> None:
        self.out: dict[str, float] = {}
        self.changed = threading.Event()

    def ban(self, source: str, seconds: float, by: str) -> None:
        assert by == OTHER
        self.out[source] = seconds
        self.changed.set()

    def lift(self, source: str) -> None:
        del self.out[source]
        self.changed.set()

    def until(self, reached: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not reached():
            assert time.monotonic() < end
            self.changed.wait(0.1)
            self.changed.clear()


@pytest.fixture
def kept(site: Site) -> Iterator[Kept]:
    """What node-1 keeps out, which listens to the controller as a member does."""
    made = Kept()
    node = site.node()
    watch = BanWatch(node.upstream.bans, made)

    def listen() -> None:
        for hint in node.upstream.wait():
            if hint is Hint.BANS:
                watch.poke()

    thread = threading.Thread(target=listen)
    watch.start()
    thread.start()
    yield made
    watch.stop()
    site.stop()
    thread.join()


def test_what_one_member_bans_every_member_keeps_out_until_an_operator_lifts_it(
    site: Site, kept: Kept, capsys: pytest.CaptureFixture[str]
) -> None:
    key = pki.make_identity()
    site.enrol(key, OTHER)
    with closing(site.channel(OTHER, key=key)) as other:
        first = banned(1)
        other.send_events(OTHER, [first, banned(2, "2001:db8::/64")])
        kept.until(lambda: len(kept.out) == 2)
        assert 840 < kept.out[SOURCE] <= 900
        folder = str(site.folder.root)
        assert run_verb(["ban", "list", "--dir", folder]) == 0
        assert "2001:db8::/64" in capsys.readouterr().out
        for verb, count in (("list", 2), ("lift", 1)):
            words = ["ban", verb, *(["192.0.2.7"] if verb == "lift" else [])]
            assert run_verb([*words, "--dir", folder, "--json"]) == 0
            told = json.loads(capsys.readouterr().out)
            jsonschema.Draft202012Validator(load_schemas()[f"output-ban-{verb}"]).validate(told)
            assert len(told) == count
        kept.until(lambda: list(kept.out) == ["2001:db8::/64"])
        other.send_events(OTHER, [first])  # the answer was lost, say: it was lifted all the same
        assert [each.source for each in other.bans(0).bans] == ["2001:db8::/64"]
        assert run_verb(["ban", "lift", "192.0.2.7", "--dir", folder]) == 2
        assert "is not banned" in capsys.readouterr().err
        assert run_verb(["ban", "lift", "there", "--dir", folder]) == 2
        assert "is no source" in capsys.readouterr().err
        assert run_verb(["ban", "lift", "2001:db8::5", "--dir", folder]) == 0
        assert run_verb(["ban", "list", "--dir", folder]) == 0
        assert "No source is banned" in capsys.readouterr().out
    lifted = [each for _, each in site.events.after(0) if each.event is EventName.SOURCE_UNBANNED]
    assert [each.facts["source"] for each in lifted] == [SOURCE, "2001:db8::/64"]


def test_the_controller_s_own_member_bans_and_is_told_too(site: Site) -> None:
    upstream = site.controller.upstream
    hints = upstream.wait()
    assert {next(hints) for _ in Hint} == set(Hint)
    upstream.send_events([banned(1)])
    assert next(hint for hint in hints if hint is Hint.BANS)
    assert [each.source for each in upstream.bans(0).bans] == [SOURCE]


def test_bans_outlive_the_controller_s_process_and_only_who_is_known_hears_of_them(
    site: Site,
) -> None:
    key = pki.make_identity()
    site.enrol(key, OTHER)
    waited = rfc3339(NOW() - timedelta(seconds=600))
    with closing(site.channel(OTHER, key=key)) as other:
        other.send_events(OTHER, [banned(1, at=waited)], sent_at=rfc3339(NOW()))
    site.controller.stop()
    site.start()
    with closing(site.channel(OTHER, key=key)) as other:
        (found,) = other.bans(0).bans
        assert 240 < found.left_s <= 300
    assert site.ask("GET", "/api/bans")[0] == 401
    assert site.ask("GET", "/api/bans?after=x", headers=site.basic())[0] == 400
    with closing(site.channel(NODE, key=key)) as stranger, pytest.raises(ControllerRefusedError):
        stranger.bans(0)


# The records


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def records(tmp_path: Path, clock: SetClock) -> Iterator[BanRecords]:
    with closing(BanRecords(tmp_path / "registry.sqlite", now=clock.now)) as made:
        yield made


def reported(source: str, *, left_s: float = 900.0, seq: int = 1, by: str = "node-2") -> Reported:
    return Reported(
        source=source,
        left_s=left_s,
        by=MemberName(by),
        service=ServiceName("partners"),
        failures=10,
        seq=seq,
    )


def sources(news: BanNews) -> list[str]:
    return [each.source for each in news.bans]


def test_a_ban_ends_by_itself_and_a_later_one_makes_it_longer_but_never_shorter(
    records: BanRecords, clock: SetClock
) -> None:
    records.take([reported("a")])
    clock.pass_s(800)
    records.take([reported("a", left_s=10, by="node-3"), reported("b", left_s=0)])
    assert [(each.source, each.left_s) for each in records.in_force()] == [("a", 100)]
    records.take([reported("a", by="node-3")])
    assert records.in_force()[0].left_s == 900
    clock.pass_s(900)
    assert not records.in_force()
    assert not records.news(1, limit=10).bans  # who knows of it knows when it ends


def test_who_asks_is_told_what_changed_since_in_parts(records: BanRecords) -> None:
    records.take([reported("a"), reported("b"), reported("c")])
    first = records.news(0, limit=2)
    assert (sources(first), first.more) == (["a", "b"], True)
    rest = records.news(first.number, limit=2)
    assert (sources(rest), rest.more, rest.number) == (["c"], False, records.number())
    records.lift("b")
    (lifted,) = records.news(rest.number, limit=2).bans
    assert (lifted.source, lifted.left_s) == ("b", 0)
    assert sources(records.news(0, limit=9)) == ["a", "c"]
    assert not records.news(records.number(), limit=9).bans


def test_records_from_a_backup_give_no_number_a_second_time(
    tmp_path: Path, records: BanRecords, clock: SetClock
) -> None:
    records.take([reported("a")])
    before = records.number()
    clock.pass_s(5)
    with closing(BanRecords(tmp_path / "empty.sqlite", now=clock.now)) as older:
        older.take([reported("b")])
        assert older.number() > before


def test_of_too_many_bans_those_that_end_first_go(
    records: BanRecords, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ban_records, "MOST_BANS", 2)
    records.take([reported(name, left_s=left) for name, left in (("a", 50), ("b", 70), ("c", 60))])
    assert [each.source for each in records.in_force()] == ["c", "b"]
    records.lift("b")
    clock.pass_s(LONGEST_BAN_S + 1)
    records.take([])
    assert not records.news(1, limit=9).bans


class Lost:
    """A controller whose records were lost: what it says is new has lower numbers than what it said before."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.number = 1000

    def bans(self, after: int) -> BanNews:
        self.asked.append(after)
        return BanNews(number=self.number, bans=(), more=False)


def test_a_member_asks_for_all_where_the_controller_s_records_are_not_those_of_before() -> None:
    controller = Lost()
    watch = BanWatch(controller.bans, Kept())
    watch.look()
    watch.look()
    controller.number = 10
    watch.look()
    watch.look()
    assert controller.asked == [0, 1000, 1000, 0, 10]


def test_an_attack_from_many_sources_wakes_the_members_now_and_then(
    records: BanRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller_bans, "_GATHER_S", WAIT_S)  # the attack is over before
    woken: list[None] = []
    bans = controller_bans.Bans(records, wake=lambda: woken.append(None))
    bans.start()
    until(lambda: woken)
    for seq in range(1, 60):
        bans.reported([banned(seq, f"192.0.2.{seq}")], None)
    bans.stop()
    assert len(records.in_force()) == 59
    assert len(woken) < 3
