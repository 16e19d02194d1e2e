"""Members of a `FaultSite` that die, sleep and are cut off in turn, by chance, while files are put out."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event
from typing import Final

from fault_site import TRANSFERS, TTL_S, FaultSite

from mftgit.adapters.clock import SystemClock

_TICK_S: Final = 0.05
_CLOCK: Final = SystemClock()


@dataclass
class Chaos:
    """What is done to ``site``, and how often it was; ``every_s`` is the mean time from one fault to the next."""

    site: FaultSite
    chance: random.Random
    every_s: float = 1.2
    files_a_second: float = 4.0
    kills: int = 0
    stops: int = 0
    cuts: int = 0
    etcd_faults: int = 0
    _down: set[str] = field(default_factory=set)
    _later: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def run(
        self, for_s: float, *, faults: int = 0, until: Callable[[], object] = lambda: False
    ) -> None:
        """Let it all loose for so long, and for so many kills and stops, or ``until``; then let all be well."""
        begun = now = _CLOCK.boottime()
        next_at, files = now, 0
        most_s = for_s + 60 * bool(faults)  # on a busy machine there are fewer in a second
        while now < begun + most_s and not until():
            if now >= begun + for_s and self.kills + self.stops >= faults:
                break
            if files < (now - begun) * self.files_a_second:
                self.site.put(self.chance.choice(TRANSFERS))
                files += 1
            self._do_what_is_due(now)
            if now >= next_at:
                self._fault(now)
                next_at = now + self.chance.uniform(0, 2 * self.every_s)
            Event().wait(_TICK_S)
            now = _CLOCK.boottime()
        self._do_what_is_due(now + 1_000)
        self.site.heal()

    def told(self) -> str:
        arrivals = self.site.arrivals
        return (
            f"{len(arrivals.sent)} files, {self.kills} kills, {self.stops} stops, {self.cuts} cuts, "
            f"{self.etcd_faults} kills and stops of etcds: {len(arrivals.lost())} lost, "
            f"{len(arrivals.repeated())} repeated, {len(arrivals.torn())} torn"
        )

    def _do_what_is_due(self, now: float) -> None:
        due = [act for at, act in self._later if at <= now]
        self._later = [each for each in self._later if each[0] > now]
        for act in due:
            act()

    def _fault(self, now: float) -> None:
        kinds: list[Callable[[float], None]] = [self._kill, self._stop]
        kind = self.chance.choices([*kinds, self._cut, self._etcd], weights=(9, 9, 1, 2))[0]
        kind(now)

    def _victim(self) -> str | None:
        """Return an owner, mostly, and any other node sometimes; one is always left that is well."""
        well = [name for name in self.site.nodes if name not in self._down]
        if len(well) < 2:
            return None
        owner = self.site.owner(self.chance.choice(TRANSFERS))
        return owner if owner in well and self.chance.random() < 0.9 else self.chance.choice(well)

    def _kill(self, now: float) -> None:
        victim = self._victim()
        if victim is None:
            return
        self.site.made.kill(victim)
        self.kills += 1
        self._down.add(victim)
        self._after(now, (0.0, 2.0), lambda: self._back(victim, self.site.start))

    def _stop(self, now: float) -> None:
        victim = self._victim()
        if victim is None:
            return
        self.site.stop(victim)
        self.stops += 1
        self._down.add(victim)
        self._after(now, (0.2, 2.5), lambda: self._back(victim, self.site.wake))

    def _back(self, name: str, bring: Callable[[str], None]) -> None:
        self._down.discard(name)
        bring(name)

    def _cut(self, now: float) -> None:
        """Cut a node off from something, in one direction or both."""
        site = self.site
        etcds = [] if site.etcds is None else list(site.etcds.parts.values())
        node = site.parts[self.chance.choice(site.nodes)]
        other = self.chance.choice([site.parts["partner"], site.parts["controller"], *etcds])
        ways = self.chance.choice(
            [[(node, other)], [(other, node)], [(node, other), (other, node)]]
        )
        for way in ways:
            site.net.cut_one_way(*way)
        self.cuts += 1
        self._after(now, (0.2, 2.0), site.net.mend)

    def _etcd(self, now: float) -> None:
        """Kill or stop an etcd, mostly the leader; two that are away are no quorum."""
        etcds = self.site.etcds
        if etcds is None:
            self._cut(now)
            return
        well = sorted(etcds.parts.keys() - self._down)
        if len(well) < 2:
            return
        victim = self.chance.choice(well)
        self.etcd_faults += 1
        self._down.add(victim)
        if self.chance.random() < 0.5:
            etcds.kill(victim)
            self._after(now, (0.2, 2.0), lambda: self._back(victim, etcds.start))
        else:
            etcds.stop(victim)
            self._after(now, (0.2, 2.0), lambda: self._back(victim, etcds.wake))

    def _after(self, now: float, ttls: tuple[float, float], act: Callable[[], None]) -> None:
        self._later.append((now + TTL_S * self.chance.uniform(*ttls), act))
