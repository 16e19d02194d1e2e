"""A transfer goes from an owner that cannot do it to a member that can; and nothing else moves, or goes in circles."""

import shutil
import socket
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from lone_node import lone_node
from outbound_site import SOURCE, TARGET
from outbound_site import site as one_run
from ports import own_port
from sshd import Sshd, running_sshd
from waiting import until

from mftgit.adapters.content.pgp_home import PgpError
from mftgit.adapters.endpoint.contract import (
    EndpointBusyError,
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    FileMissingError,
    HostKeyError,
    LoginError,
)
from mftgit.adapters.s3.errors import SlowDownError
from mftgit.errors import ConfigError, MftgitError
from mftgit.member.outbound.places.lanes import HaltedError
from mftgit.member.outbound.records.intents import StateUnavailableError
from mftgit.member.outbound.service import Outbound
from mftgit.model.configuration.config import (
    Cluster,
    Destination,
    Generation,
    Member,
    Role,
    Source,
    Transfer,
)
from mftgit.model.configuration.plan import plan
from mftgit.model.events.event import EventName
from mftgit.model.locations.location import LocalLocation, Location
from mftgit.model.locations.login import KeyAuth
from mftgit.model.names import LocationName, MemberName, Revision, TransferName
from mftgit.model.transfers.failover import Failover, Sign
from mftgit.model.transfers.retry import Retry
from mftgit.model.transfers.run import RunState
from mftgit.model.transfers.triggers import CronTrigger, Trigger, WatchTrigger

T, U = TransferName("t"), TransferName("u")
HERE, THERE, PARTNER = map(LocationName, ("here", "there", "partner"))
TTL_S = 20.0
"""No owner of a test is to lose its lease because the machine stood still."""
SHORT_TTL_S = 6.0
"""That where a preferred member may be given what it prefers, which takes two of them."""
NEVER = CronTrigger(expression="0 0 1 1 *")
AT_ONCE = Retry(first_s=0.05, longest_s=0.05, jitter=0.0)
GIVE_UP = Failover(after_failures=2, cool_down_s=3600.0)


@dataclass
class Site:
    """Members over one files root that see one partner, each in its own way."""

    root: Path
    server: Sshd
    ttl_s: float = TTL_S
    members: dict[str, Outbound] = field(default_factory=dict)
    events: list[tuple[str, EventName, Any]] = field(default_factory=list)

    def add(self, name: str, partner: Location, *transfers: Transfer) -> Outbound:
        def record(event: EventName, **rest: Any) -> None:
            told = rest.get("each") or [rest.get("facts") or {}]
            self.events.extend((name, event, facts) for facts in told)

        made = lone_node(self.root, name, record)
        shutil.copytree(self.server.secrets_dir, self.root / name / "secrets")
        made.start()
        self.members[name] = made
        wanted = Generation(
            cluster=Cluster(name="c", lease_ttl_s=self.ttl_s),
            member=Member(name=MemberName(name), role=Role.NODE),
            locations={
                HERE: LocalLocation(name=HERE, path="here"),
                THERE: LocalLocation(name=THERE, path="there"),
                PARTNER: replace(partner, name=PARTNER),
            },
            transfers={each.name: each for each in transfers},
            declared=frozenset(each.name for each in transfers),
        )
        prepared = made.prepare(plan(None, wanted), wanted, fresh=False)
        made.apply(prepared, revision=Revision("a" * 40))
        return made

    def drop(self, folder: str, *names: str) -> None:
        (self.root / "here" / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            (self.root / "here" / folder / name).write_text(name, encoding="utf-8")

    def told(self, event: EventName, name: TransferName = T) -> list[tuple[str, Any]]:
        found = [(by, facts) for by, each, facts in self.events if each is event]
        return [(by, facts) for by, facts in found if facts["transfer"] == name]

    def owners(self, name: TransferName = T) -> list[str]:
        return [by for by, _ in self.told(EventName.OWNERSHIP_TAKEN, name)]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "partner").mkdir()
    with running_sshd(tmp_path / "partner") as server:
        made = Site(root=tmp_path, server=server)
        yield made
        for member in made.members.values():
            member.stop()


@pytest.fixture
def nobody() -> Iterator[int]:
    """Give a port on which nobody listens."""
    with own_port() as port:
        yield port


@pytest.fixture
def silent() -> Iterator[int]:
    """Give the port of a partner that takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def members_seen(by: Outbound) -> Collection[MemberName]:
    keeper = by._owning.keeper
    return keeper.sight.members if keeper else ()


def transfer(trigger: Trigger = WatchTrigger(every_s=0.2), *, failover: Failover = GIVE_UP) -> Transfer:  # fmt: skip  # noqa: B008
    return Transfer(
        name=T,
        source=Source(location=HERE, path="t", stable_s=0.0),
        destination=Destination(location=PARTNER),
        trigger=trigger,
        retry=AT_ONCE,
        prefer=(MemberName("one"),),
        failover=failover,
    )


OTHER = replace(
    transfer(),
    name=U,
    source=Source(location=HERE, path="u", stable_s=0.0),
    destination=Destination(location=THERE),
)


@pytest.mark.needs("sshd")
@pytest.mark.parametrize("kind", ["nobody", "silent", "other key", "no secret"])
def test_what_the_owner_cannot_do_alone_goes_to_a_member_that_can_and_the_rest_stays(
    site: Site, kind: str, request: pytest.FixtureRequest
) -> None:
    if kind == "nobody":
        site.ttl_s = SHORT_TTL_S
    good = site.server.location(timeout_s=0.5)
    bad = {
        "nobody": lambda: replace(good, port=request.getfixturevalue("nobody")),
        "silent": lambda: replace(good, port=request.getfixturevalue("silent")),
        "other key": lambda: replace(good, host_keys=("SHA256:" + "a" * 43,)),
        "no secret": lambda: replace(good, auth=(KeyAuth(file="missing"),)),
    }[kind]()
    site.add("one", bad, transfer(), OTHER)
    until(lambda: site.owners() == site.owners(U) == ["one"])
    site.drop("t", "a")
    until(lambda: len(site.told(EventName.RUN_FAILED)) >= 3)
    assert site.told(EventName.OWNERSHIP_LOST) == []  # there is nobody else
    two = site.add("two", replace(site.server.location(), timeout_s=20.0), transfer(), OTHER)
    until((site.server.folder / "a").exists)
    assert site.owners() == ["one", "two"]
    until(lambda: site.told(EventName.OWNERSHIP_LOST))  # which is told after it was given back
    ((by, lost),) = site.told(EventName.OWNERSHIP_LOST)
    assert by == "one"
    assert lost["reason"].startswith("one could not do it: ")
    (_, (_, taken)) = site.told(EventName.OWNERSHIP_TAKEN)
    assert taken["reason"] == lost["reason"][:200]
    site.drop("u", "b")
    until((site.root / "there" / "b").exists)
    if kind == "nobody":  # it is preferred, and is given nothing back before the cool-down is over
        Event().wait(2 * SHORT_TTL_S)
    assert (site.owners(), site.owners(U)) == (["one", "two"], ["one"])
    assert {each.name: each.owner for each in two.status()} == {T: "two", U: "one"}


@pytest.mark.needs("sshd")
def test_where_nobody_can_each_tries_once_and_then_it_stays(site: Site, nobody: int) -> None:
    bad = replace(site.server.location(), port=nobody)
    site.add("one", bad, transfer())
    until(lambda: site.owners() == ["one"])
    site.add("two", bad, transfer())
    site.drop("t", "a")
    until(lambda: [by for by, _ in site.told(EventName.RUN_FAILED)].count("two") >= 8)
    assert site.owners() == ["one", "two"]


@pytest.mark.needs("sshd")
def test_after_the_cool_down_it_goes_back_and_stays_away_for_longer_when_that_was_no_use(
    site: Site, nobody: int
) -> None:
    site.ttl_s = SHORT_TTL_S
    rules = Failover(after_failures=1, cool_down_s=2.0)
    site.add("one", replace(site.server.location(), port=nobody), transfer(failover=rules))
    until(lambda: site.owners() == ["one"])
    site.add("two", site.server.location(), transfer(failover=rules))
    site.drop("t", "a")
    until((site.server.folder / "a").exists)
    until(lambda: site.owners() == ["one", "two", "one"])
    site.drop("t", "b")
    until((site.server.folder / "b").exists)
    assert site.owners()[:4] == ["one", "two", "one", "two"]  # and goes back again
    until(lambda: site.members["one"]._lines[T].health.given_up == 2)


@pytest.mark.needs("sshd")
def test_on_a_schedule_the_member_that_can_tries_at_once(site: Site, nobody: int) -> None:
    nightly = replace(
        transfer(NEVER, failover=replace(GIVE_UP, after_failures=1)),
        source=Source(location=PARTNER, stable_s=0.0),
        destination=Destination(location=THERE),
    )
    (site.server.folder / "a").write_text("a", encoding="utf-8")
    one = site.add("one", replace(site.server.location(), port=nobody), nightly)
    until(lambda: site.owners() == ["one"])
    site.add("two", site.server.location(), nightly)
    until(lambda: len(members_seen(one)) == 2)
    one.run_now(T)  # which cannot even look whether there is something
    until((site.root / "there" / "a").exists)
    assert site.owners() == ["one", "two"]


@pytest.mark.needs("sshd")
def test_with_0_it_never_moves(site: Site, nobody: int) -> None:
    never = transfer(failover=Failover(after_failures=0))
    one = site.add("one", replace(site.server.location(), port=nobody), never)
    until(lambda: site.owners() == ["one"])
    site.add("two", site.server.location(), never)
    until(lambda: len(members_seen(one)) == 2)
    site.drop("t", "a")
    until(lambda: len(site.told(EventName.RUN_FAILED)) >= 8)
    assert site.owners() == ["one"]


@pytest.mark.parametrize(
    ("error", "sign"),
    [
        (EndpointLostError, Sign.UNABLE),
        (HostKeyError, Sign.UNABLE),
        (LoginError, Sign.UNABLE),
        (ConfigError, Sign.UNABLE),
        (EndpointRefusedError, Sign.UNABLE),
        (StateUnavailableError, Sign.UNABLE),
        (PgpError, Sign.UNABLE),
        (SlowDownError, Sign.NEITHER),
        (HaltedError, Sign.NEITHER),
        (FileMissingError, Sign.NEITHER),
        (EndpointBusyError, Sign.NEITHER),
        (EndpointFullError, Sign.NEITHER),
    ],
)
def test_what_may_be_this_member_s_alone_counts_where_it_ends_a_run(
    tmp_path: Path, error: type[MftgitError], sign: Sign
) -> None:
    there = one_run(tmp_path)
    there.put("a", b"1")
    there.broken[SOURCE] = error("so")
    outcome = there.run(1)
    assert (outcome.sign, outcome.unable) == (sign, "so" if sign is Sign.UNABLE else "")
    there.broken.clear()
    assert there.run(1).sign is Sign.ABLE


@pytest.mark.parametrize(
    ("error", "sign"),
    [
        (EndpointLostError, Sign.UNABLE),
        (LoginError, Sign.UNABLE),
        (ConfigError, Sign.UNABLE),
        (EndpointRefusedError, Sign.NEITHER),
        (EndpointFullError, Sign.NEITHER),
    ],
)
def test_what_may_be_of_the_file_alone_does_not_count(
    tmp_path: Path, error: type[MftgitError], sign: Sign
) -> None:
    there = one_run(tmp_path)
    there.put("a", b"1")
    there.broken[TARGET] = error("so")
    outcome = there.run(1)
    assert (outcome.outcome, outcome.sign) == (RunState.FAILED, sign)
