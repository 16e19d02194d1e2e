"""Members know of each other how accounts are in use: by their real line to a real controller."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from controller_site import NODE, NOW, Site, controller_site
from member_folder import make_folder
from waiting import until

from mftgit.adapters.channel import Channel, ControllerRefusedError
from mftgit.adapters.code_records import CodeRecords
from mftgit.adapters.tls import pki
from mftgit.member.inbound.service import Inbound
from mftgit.member.uses import UseWatch
from mftgit.model.events.event import EventName, Fact
from mftgit.model.inbound.account import Account, Factor, Login, Place
from mftgit.model.inbound.account_use import AccountUse, UseNews, UseTold
from mftgit.model.inbound.admission import Turned
from mftgit.model.inbound.serving import Served
from mftgit.model.inbound.totp import step_at
from mftgit.model.members.messages import NOT_FOUND, Hint
from mftgit.model.names import AccountName, LocationName, MemberName

ACME, OTHER, THIRD = AccountName("acme"), AccountName("other"), AccountName("third")

ACCOUNT = Account(
    name=ACME,
    home=Place(location=LocationName("in")),
    login=Login(require=(frozenset({Factor.KEY}),), keys=("one",)),
    max_sessions=1,
)
SERVED = Served(account=ACCOUNT, home="/srv/acme")


def step_now() -> int:
    return step_at(NOW().timestamp())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as made:
        yield made


def write_nothing(facts: Sequence[tuple[EventName, Mapping[str, Fact]]], *, flush: bool) -> None:
    assert facts
    assert flush is not None


@dataclass(kw_only=True)
class Peer:
    """A member with its line to the controller, and services that serve nothing."""

    inbound: Inbound
    channel: Channel
    watch: UseWatch
    listener: threading.Thread | None = None

    def redeem(self, account: AccountName, step: int) -> bool:
        return self.inbound._register.redeem(account, step)

    def begin(self) -> Turned | None:
        """Begin a session of an account that may have one."""
        register = self.inbound._register
        with register.lock:
            turned = register.sessions.begin(SERVED, NOW(), heard_since=0.0)
        if turned is None:
            register.used()
        return turned

    def end(self) -> None:
        """End one."""
        register = self.inbound._register
        with register.lock:
            register.sessions.end(ACME)
        register.used()

    def look(self) -> Turned | None:
        """Tell whether one could begin."""
        turned = self.begin()
        if turned is None:
            self.end()
        return turned

    def knows(self, account: AccountName, step: int) -> bool:
        return any(each.step == step for each in self.inbound.uses() if each.account == account)


@pytest.fixture
def peers(site: Site, tmp_path: Path) -> Iterator[Sequence[Peer]]:
    """Two members that listen to the controller."""
    with ExitStack() as stack:
        made = [_peer(site, tmp_path, name, stack) for name in (NODE, MemberName("node-2"))]
        yield made
        for peer in made:
            peer.watch.stop()
        site.controller.stop()
        for peer in made:
            assert peer.listener is not None
            peer.listener.join()


def _peer(site: Site, root: Path, name: MemberName, stack: ExitStack) -> Peer:
    key = pki.make_identity()
    site.enrol(key, name)
    channel = stack.enter_context(closing(site.channel(name, key=key)))
    folder = make_folder(root, name=name)
    inbound = Inbound(
        folder=folder,
        bootstrap=folder.read_bootstrap(),
        write=write_nothing,
        used=lambda: peer.watch.poke(),  # noqa: PLW0108  made below
    )
    watch = UseWatch(lambda told: channel.exchange_uses(name, told), inbound)
    peer = Peer(inbound=inbound, channel=channel, watch=watch)

    def listen() -> None:
        for hint in channel.wait():
            if hint is Hint.USES:
                watch.poke()

    peer.listener = threading.Thread(target=listen)
    watch.start()
    peer.listener.start()
    return peer


def test_a_code_that_one_member_has_taken_is_refused_by_the_others(
    site: Site, peers: Sequence[Peer]
) -> None:
    one, two = peers
    step = step_now()
    upstream = site.controller.upstream  # of the controller's own member
    hints = upstream.wait()
    assert {next(hints) for _ in Hint} == set(Hint)
    assert one.redeem(ACME, step)

    until(lambda: two.knows(ACME, step))

    assert not two.redeem(ACME, step)
    assert not two.redeem(ACME, step - 1)
    assert two.redeem(OTHER, step)
    until(lambda: one.knows(OTHER, step))
    assert not one.redeem(OTHER, step)
    assert next(hint for hint in hints if hint is Hint.USES)
    used = AccountUse(account=THIRD, step=step)
    news = upstream.exchange_uses(UseTold(after=0, accounts=(used,)))
    assert {each.account for each in news.accounts} >= {ACME, THIRD}
    until(lambda: one.knows(THIRD, step))


def test_used_codes_are_told_anew_to_a_controller_that_has_started_anew(
    site: Site, peers: Sequence[Peer]
) -> None:
    step = step_now()
    assert peers[0].redeem(ACME, step)
    until(lambda: peers[1].knows(ACME, step))

    third, key = MemberName("node-3"), pki.make_identity()
    site.enrol(key, third)
    with closing(site.channel(third, key=key)) as channel:
        before = channel.exchange_uses(third, UseTold(after=0))
        assert before.accounts == (AccountUse(account=ACME, step=step),)
        site.controller.stop()
        site.start()
        peers[0].watch.poke()  # as a new line to the controller does
        told = UseTold(after=before.number)
        assert channel.exchange_uses(third, told).whole
        until(lambda: channel.exchange_uses(third, told).accounts == before.accounts)


def test_sessions_at_one_member_count_at_the_others_until_its_line_ends(
    site: Site, peers: Sequence[Peer]
) -> None:
    one, two = peers
    assert one.begin() is None

    until(lambda: two.look() is Turned.BUSY_ELSEWHERE)

    one.end()
    until(lambda: two.look() is None)
    assert two.begin() is None
    until(lambda: one.look() is Turned.BUSY_ELSEWHERE)
    two.watch.stop()
    site.controller._cut_off(MemberName("node-2"))
    until(lambda: one.look() is None)


def test_only_a_member_tells_and_in_the_agreed_shape(site: Site) -> None:
    key = pki.make_identity()
    site.enrol(key)
    with closing(site.channel(key=key)) as channel:
        with pytest.raises(ControllerRefusedError, match="may speak for itself only"):
            channel.exchange_uses(MemberName("node-2"), UseTold(after=0))
        with pytest.raises(ControllerRefusedError, match="not how accounts are in use"):
            channel._request("POST", f"/api/members/{NODE}/uses", body={"after": "x"})
    path = f"/api/members/{NODE}/uses"
    assert site.ask("POST", path, body=b"{}", headers=site.basic())[0] in {401, 403}


class Older:
    """A controller that does not know of this."""

    def __init__(self) -> None:
        self.asked = 0

    def exchange(self, told: UseTold) -> UseNews:
        assert told.after == 0
        self.asked += 1
        raise ControllerRefusedError("HTTP 404", status=NOT_FOUND)


def test_a_controller_of_an_older_version_is_not_complained_of(tmp_path: Path) -> None:
    folder, controller = make_folder(tmp_path), Older()
    inbound = Inbound(folder=folder, bootstrap=folder.read_bootstrap(), write=write_nothing)
    watch = UseWatch(controller.exchange, inbound)
    watch.stop()
    UseWatch(controller.exchange, inbound).look()
    watch.look()

    assert controller.asked == 1


# The records


def test_a_used_code_opens_nothing_after_the_member_has_started_anew(tmp_path: Path) -> None:
    path, step = tmp_path / "used-codes.json", step_now()
    assert CodeRecords(path, now=NOW).take(ACME, step)
    assert json.loads(path.read_text(encoding="utf-8")) == {ACME: step}

    again = CodeRecords(path, now=NOW)

    assert not again.take(ACME, step)
    assert again.take(OTHER, step)


@pytest.mark.parametrize("content", ["", "[]", '{"acme": "x"}', '{"A b": 1}', '{"acme": 1e999}'])
def test_records_that_cannot_be_read_are_begun_anew(tmp_path: Path, content: str) -> None:
    path = tmp_path / "used-codes.json"
    path.write_text(content, encoding="utf-8")

    assert CodeRecords(path, now=NOW).take(ACME, step_now())


def test_a_code_that_cannot_be_kept_in_mind_opens_nothing(tmp_path: Path) -> None:
    codes = CodeRecords(tmp_path / "gone" / "used-codes.json", now=NOW)

    assert not codes.take(ACME, step_now())
