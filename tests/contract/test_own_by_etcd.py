"""Members that own transfers by leases in etcd; the transfers are real, and so is etcd."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from etcd_cluster import Cluster as Etcds
from lone_node import lone_node
from waiting import until

from mftgit.adapters.coordinator import CoordinatorUnavailableError, Session, Wish
from mftgit.member.outbound.ownership.coordination import AbsentCoordinator
from mftgit.member.outbound.service import Outbound
from mftgit.model.configuration.config import (
    AfterSuccess,
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
from mftgit.model.locations.location import LocalLocation
from mftgit.model.locations.login import SecretRef
from mftgit.model.locations.tls import TlsAuth
from mftgit.model.names import Epoch, LocationName, MemberName, Revision, TransferName
from mftgit.model.ownership.etcd import EtcdPlace
from mftgit.model.ownership.standing import Handover, Standing
from mftgit.model.transfers.triggers import WatchBy, WatchTrigger

pytestmark = pytest.mark.needs("etcd")

HERE, THERE, T = LocationName("here"), LocationName("there"), TransferName("t")
TTL_S = 2.0
OFTEN = WatchTrigger(every_s=0.1)


@dataclass
class Site:
    """Members over one files root."""

    root: Path
    ttl_s: float = TTL_S
    members: list[Outbound] = field(default_factory=list)
    active: dict[int, Generation] = field(default_factory=dict)
    taken: list[tuple[str, int]] = field(default_factory=list)

    def add(self, name: str) -> Outbound:
        def record(event: EventName, **rest: Any) -> None:
            if event is EventName.OWNERSHIP_TAKEN:
                self.taken += [(name, int(epoch)) for epoch in rest["epochs"]]

        made = lone_node(self.root, name, record)
        made.start()
        self.members.append(made)
        return made

    def run(
        self,
        member: Outbound,
        etcd: EtcdPlace | None,
        *,
        fresh: bool = True,
        trigger: WatchTrigger = OFTEN,
    ) -> None:
        wanted = generation(etcd, trigger, self.ttl_s)
        steps = plan(self.active.get(id(member)), wanted)
        ready = member.prepare(steps, wanted, fresh=fresh)
        member.apply(ready, revision=Revision("a" * 40))
        self.active[id(member)] = wanted

    def deliver(self, name: str) -> None:
        """See that a file is brought to the other folder."""
        (self.root / "here").mkdir(exist_ok=True)
        (self.root / "here" / name).write_text(name, encoding="utf-8")
        until((self.root / "there" / name).exists)


def generation(etcd: EtcdPlace | None, trigger: WatchTrigger, ttl_s: float) -> Generation:
    transfer = Transfer(
        name=T,
        source=Source(location=HERE, stable_s=0.0),
        destination=Destination(location=THERE),
        trigger=trigger,
        after_success=AfterSuccess.DELETE,
    )
    return Generation(
        cluster=Cluster(name="c", lease_ttl_s=ttl_s, etcd=etcd),
        member=Member(name=MemberName("m"), role=Role.NODE),
        locations={
            HERE: LocalLocation(name=HERE, path="here"),
            THERE: LocalLocation(name=THERE, path="there"),
        },
        transfers={T: transfer},
        declared=frozenset({T}),
    )


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(root=tmp_path)
    yield made
    for member in made.members:
        member.stop()


def place(etcds: Etcds, prefix: str | None = None) -> EtcdPlace:
    urls = tuple(str(each) for each in etcds.endpoints)
    return EtcdPlace(endpoints=urls, prefix=prefix or etcds.fresh_prefix())


def connections(etcds: Etcds) -> int:
    """Return how many connections to an etcd's gate are open at their nearer end (proc_net_tcp)."""
    gates = {f"{each.port:04X}" for each in etcds.endpoints}
    lines = Path("/proc/self/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    return sum(
        line.split()[2].rpartition(":")[2] in gates and line.split()[3] in ("01", "08")
        for line in lines
    )


def test_a_member_that_stops_hangs_up(site: Site, etcds: Etcds) -> None:
    one = site.add("one")
    site.run(one, place(etcds))
    site.deliver("a")
    assert connections(etcds)
    one.stop()
    until(lambda: not connections(etcds))


def test_another_member_takes_over_at_once_when_the_owner_stops(site: Site, etcds: Etcds) -> None:
    site.ttl_s = 600.0  # no lease ends by itself
    etcd = place(etcds)
    one, two = site.add("one"), site.add("two")
    site.run(one, etcd)
    site.deliver("a")
    site.run(two, etcd)
    one.stop()
    site.deliver("b")
    (first, below), (second, above) = site.taken
    assert (first, second) == ("one", "two")
    assert above > below
    assert two.status()[0].owner == "two"


def test_an_upload_that_reached_another_member_is_taken_on_at_once(
    site: Site, etcds: Etcds
) -> None:
    etcd, seldom = place(etcds), WatchTrigger(every_s=86_400.0, by=WatchBy.POLLING)
    members = [site.add(name) for name in ("one", "two")]
    for each in members:
        site.run(each, etcd, trigger=seldom)
        each._news.follow(expects=True)
    until(lambda: all(each.status()[0].owner for each in members))
    for number, each in enumerate(members):  # the second of them does not own it
        file = site.root / "here" / str(number)
        file.parent.mkdir(exist_ok=True)
        file.write_text("x", encoding="utf-8")
        each.noticed(str(file))
        until((site.root / "there" / str(number)).exists)


def test_members_move_to_etcd_and_back_and_no_two_owners_have_one_epoch(
    site: Site, etcds: Etcds
) -> None:
    etcd = place(etcds)
    one, two = site.add("one"), site.add("two")
    for name, way in (("a", None), ("b", etcd), ("c", None), ("d", etcd)):
        site.run(one, way)
        site.deliver(name)  # while the other one is where it was before
        site.run(two, way)
        site.deliver(name * 2)
    owners = {
        epoch: {name for name, each in site.taken if each == epoch} for _, epoch in site.taken
    }
    assert all(len(names) == 1 for names in owners.values())
    assert {name for name, _ in site.taken} == {"one", "two"}
    assert sorted(path.name for path in (site.root / "there").glob("[!.]*")) == [
        "a", "aa", "b", "bb", "c", "cc", "d", "dd",
    ]  # fmt: skip


def test_what_was_never_run_needs_an_etcd_that_answers_and_what_runs_does_not(
    site: Site, etcds: Etcds
) -> None:
    etcd = place(etcds)
    for each in etcds.etcds:
        each.stop()
    one = site.add("one")
    with pytest.raises(CoordinatorUnavailableError):
        site.run(one, etcd)

    site.run(one, etcd, fresh=False)
    assert one.status()[0].owner is None
    site.run(one, etcd)  # a further revision, over the same etcd

    for each in etcds.etcds:
        each.go_on()
    site.deliver("a")


def test_whoever_lacks_what_logs_in_owns_nothing_and_runs(site: Site, etcds: Etcds) -> None:
    urls = tuple(str(each) for each in etcds.endpoints)
    missing = TlsAuth(password=SecretRef(file="missing"))
    etcd = EtcdPlace(endpoints=urls, prefix="/p", username="u", auth=missing)
    one = site.add("one")
    site.run(one, etcd, fresh=False)
    assert one.status()[0].owner is None
    site.run(one, None)
    site.deliver("a")


def test_who_cannot_log_in_is_told_so_whatever_it_asks() -> None:
    absent = AbsentCoordinator("no key")
    session = Session(id="1.1", sent_at=0.0, ttl_s=2.0)
    steps: list[Callable[[], object]] = [
        lambda: absent.open(Standing()),
        lambda: absent.renew(session),
        lambda: absent.tell(session, Standing()),
        absent.look,
        lambda: absent.take(session, {T: Wish(why="")}),
        lambda: absent.give_back(session, {T: Handover(epoch=Epoch(1))}),
        lambda: absent.close(session, "over"),
    ]
    for step in steps:
        with pytest.raises(CoordinatorUnavailableError, match="no key"):
            step()
