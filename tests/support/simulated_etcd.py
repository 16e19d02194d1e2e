"""An etcd and its members in one thread, where time passes only when it is told to: for thousands of schedules.

The etcd takes questions as the gateway has them. Requests get lost, arrive late or without a reply, and members stand
still in the middle of one; meanwhile the others go on. It ends its own leases late, or not at all, so that what
members do about silent ones is what counts.
"""

import base64
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

from mftgit.adapters.coordinator import CoordinatorUnavailableError, SessionLostError, Wish
from mftgit.adapters.etcd.calls import Access, Answer, NotFoundError
from mftgit.adapters.etcd.coordinator import EtcdCoordinator
from mftgit.member.outbound.ownership.own import Ownership, Term
from mftgit.model.names import MemberName, TransferName
from mftgit.model.ownership.lease import renew_every_s
from mftgit.model.ownership.standing import Standing
from mftgit.model.ownership.view import FREE

TTL_S: Final = 10.0
T: Final = TransferName("t")
STEP_S: Final = 0.25
SOON_S: Final = 3 * TTL_S
"""So long after all is well somebody owns what is free: its former owner's session has to run out, too."""

_TROUBLE: Final = ("lost", "late", "unanswered", "frozen before", "frozen after")


@dataclass(kw_only=True)
class Key:
    value: str
    created: int
    changed: int
    lease: int


@dataclass(kw_only=True)
class SimulatedEtcd:
    """One that works; ``late_s`` is how much later than it should it ends a lease."""

    late_s: float
    now: float = 0.0
    revision: int = 1
    keys: dict[bytes, Key] = field(default_factory=dict)
    leases: dict[int, tuple[int, float]] = field(default_factory=dict)  # seconds, and since when

    def answer(self, path: str, question: Any) -> Any:
        steps: dict[str, Callable[[Any], Any]] = {
            "/lease/grant": self._grant,
            "/lease/keepalive": self._keep_alive,
            "/lease/revoke": self._revoke,
            "/kv/txn": self._transaction,
        }
        says = steps[path](question)
        return says | {"header": {"revision": self.revision, "raft_term": 1}}

    def end_leases(self) -> None:
        for lease, (seconds, since) in tuple(self.leases.items()):
            if self.now > since + seconds + self.late_s:
                self._revoke({"ID": lease})

    def _grant(self, question: Any) -> Any:
        lease = 1000 + len(self.leases) + self.revision
        while lease in self.leases:
            lease += 1
        self.revision += 1  # so that no number comes again
        self.leases[lease] = (question["TTL"], self.now)
        return {"ID": lease}

    def _keep_alive(self, question: Any) -> Any:
        lease = question["ID"]
        if lease in self.leases:
            self.leases[lease] = (self.leases[lease][0], self.now)
        seconds = self.leases.get(lease, (0, 0.0))[0]
        return {"result": {"TTL": seconds, "header": {"raft_term": 1}}}

    def _revoke(self, question: Any) -> Any:
        lease = question["ID"]
        if self.leases.pop(lease, None) is None:
            raise NotFoundError("no such lease")
        self.revision += 1
        self.keys = {name: key for name, key in self.keys.items() if key.lease != lease}
        return {}

    def _transaction(self, question: Any) -> Any:
        """Do it, and count one revision, as etcd does for all of a transaction."""
        self.revision += 1
        return self._branch(question)

    def _branch(self, question: Any) -> Any:
        holds = all(self._holds(each) for each in question["compare"])
        steps = question["success" if holds else "failure"]
        said = {"responses": [self._step(each) for each in steps]}
        return said | ({"succeeded": True} if holds else {})

    def _holds(self, compare: Any) -> bool:
        key = self.keys.get(base64.b64decode(compare["key"]))
        if compare["target"] == "CREATE":
            return (key.created if key else 0) == int(compare["create_revision"])
        return (key.changed if key else 0) == int(compare["mod_revision"])

    def _step(self, step: Any) -> Any:
        ((what, asked),) = step.items()
        if what == "request_txn":
            return {"response_txn": self._branch(asked)}
        name = base64.b64decode(asked["key"])
        if what == "request_range":
            return {"response_range": self._range(name, asked)}
        before = self.keys.pop(name, None)
        if what == "request_put":
            if asked["lease"] and asked["lease"] not in self.leases:
                raise NotFoundError("no such lease")
            created = before.created if before else self.revision
            self.keys[name] = Key(
                value=asked["value"], created=created, changed=self.revision, lease=asked["lease"]
            )
        return {}

    def _range(self, first: bytes, asked: Any) -> Any:
        end = base64.b64decode(asked["range_end"]) if "range_end" in asked else first + b"\0"
        found = {name: key for name, key in sorted(self.keys.items()) if first <= name < end}
        told = [
            {
                "key": base64.b64encode(name).decode(),
                "value": key.value,
                "create_revision": str(key.created),
                "mod_revision": str(key.changed),
                "lease": str(key.lease),
            }
            for name, key in found.items()
        ]
        if asked.get("limit"):
            told = sorted(told, key=lambda each: -int(each["mod_revision"]))[: asked["limit"]]
        return {"kvs": told, "count": str(len(found))} if told else {}


@dataclass(kw_only=True)
class World:
    """Members and their etcd; ``trouble`` is the share of requests that something happens to."""

    random: Random
    etcd: SimulatedEtcd
    trouble: float = 0.0
    members: list["Simulated"] = field(default_factory=list)
    busy: set[str] = field(default_factory=set)
    late: list[tuple[float, str, Any]] = field(default_factory=list)
    owners: set[str] = field(default_factory=set)

    def add(self, name: str, *, rate: float) -> None:
        self.members.append(Simulated(self, name, rate=rate))

    def pass_s(self, seconds: float) -> None:
        """Let it pass; members that are in the middle of something stand still meanwhile."""
        for _ in range(int(seconds / STEP_S)):
            self.etcd.now += STEP_S
            self.etcd.end_leases()
            self._deliver()
            for member in self.members:
                if member.name not in self.busy:
                    self.busy.add(member.name)
                    member.step()
                    self.busy.discard(member.name)
                self.check()

    def check(self) -> None:
        owners = {member.name for member in self.members if member.owns()}
        assert len(owners) <= 1, f"{self.etcd.now:.1f} s: two own it: {sorted(owners)}"
        self.owners |= owners

    def _deliver(self) -> None:
        due = [each for each in self.late if each[0] <= self.etcd.now]
        self.late = [each for each in self.late if each[0] > self.etcd.now]
        for _, path, question in due:
            with suppress(NotFoundError):
                self.etcd.answer(path, question)

    def ask(self, path: str, question: Any) -> Any:
        """Answer, or have something happen to it."""
        what = self.random.choice(_TROUBLE) if self.random.random() < self.trouble else ""
        seconds = TTL_S * self.random.choice((0.1, 0.5, 0.9, 1.0, 1.1, 2.0))
        if what == "late":
            self.late.append((self.etcd.now + seconds, path, question))
        if what in {"lost", "late"}:
            raise CoordinatorUnavailableError(what)
        if what == "frozen before":
            self.pass_s(seconds)
        says = self.etcd.answer(path, question)
        if what == "frozen after":
            self.pass_s(seconds)
        if what == "unanswered":
            raise CoordinatorUnavailableError(what)
        return says


class Simulated:
    """A member: the coordinator of the product, and what the keeper and the heartbeat do with it, in one thread."""

    def __init__(self, world: World, name: str, *, rate: float) -> None:
        self.name = name
        self._world = world
        self._rate = rate
        access = Access(endpoints=())
        self.coordinator = EtcdCoordinator(
            access, prefix="/p", member=MemberName(name), ttl_s=TTL_S, clock=self
        )
        self.coordinator._calls = self.coordinator._renewals = self  # type: ignore[assignment]
        self._term: Term | None = None
        self._owned: Ownership | None = None
        self._renewed_at = 0.0

    def boottime(self) -> float:
        return self._rate * self._world.etcd.now

    def now(self) -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC) + timedelta(seconds=self.boottime())

    def ask(self, path: str, question: Any, *, until: float | None = None) -> Answer:
        del until
        return Answer(sent_at=self.boottime(), says=self._world.ask(path, question))

    def owns(self) -> bool:
        return self._owned is not None and self._owned.valid()

    def step(self) -> None:
        try:
            self._turn()
        except SessionLostError:
            self._term = self._owned = None
        except CoordinatorUnavailableError:
            pass

    def _turn(self) -> None:
        if self._term is None or not self._term.valid():
            self._term = self._owned = None
            self._term = Term(self.coordinator.open(Standing()), clock=self)
        term = self._term
        if self.boottime() >= term.session.sent_at + renew_every_s(TTL_S):
            term.prolong(self.coordinator.renew(term.session))
        view = self.coordinator.look().views.get(T, FREE)
        if view.owner is None and self._owned is None:
            taken = self.coordinator.take(term.session, {T: Wish(why="")})
            self._owned = Ownership(taken[T], term) if T in taken else None


def schedules(count: int) -> Iterator[Random]:
    """Give the chances of so many schedules, the same ones each time."""
    return (Random(seed) for seed in range(count))


def simulate_all(count: int) -> int:
    """Simulate so many schedules; return in how many of them more than one member came to own it."""
    return sum(len(simulate(random).owners) > 1 for random in schedules(count))


def simulate(random: Random) -> World:
    """Let three members have trouble for a while and then none; see that nothing was owned by two, and is by one."""
    etcd = SimulatedEtcd(late_s=random.choice((0.0, 0.5, 2 * TTL_S, 1e9)))
    world = World(random=random, etcd=etcd, trouble=random.choice((0.01, 0.03, 0.1)))
    for name in ("one", "two", "three"):
        world.add(name, rate=random.choice((0.99, 1.0, 1.01)))
    world.pass_s(5 * TTL_S)
    world.trouble = 0.0
    world.pass_s(2 * TTL_S + SOON_S)
    assert any(member.owns() for member in world.members), "nobody owns it"
    return world
