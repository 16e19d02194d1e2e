"""What all services of a member know together: who is kept out, who is there, and which codes were used."""

import itertools
import threading
from collections.abc import Callable, Iterable

from mftgit.adapters.clock import Clock
from mftgit.adapters.code_records import CodeRecords
from mftgit.member.inbound.recording import Recorder
from mftgit.model.events.brake import EventBrake
from mftgit.model.events.event import EventName, Fact
from mftgit.model.inbound.account_use import AccountUse
from mftgit.model.inbound.admission import Sessions
from mftgit.model.inbound.barrier import Ban, Barrier
from mftgit.model.inbound.finished import Finished
from mftgit.model.inbound.service import Defence
from mftgit.model.names import AccountName, MemberName, ServiceName

Arrived = Callable[[ServiceName, Finished], None]
"""Called with each upload once it is written down; it must not wait."""


class Register:
    """One for each member; whoever uses its parts holds ``lock``."""

    def __init__(
        self,
        member: MemberName,
        recorder: Recorder,
        clock: Clock,
        codes: CodeRecords,
        *,
        arrived: Arrived,
        used: Callable[[], None],
    ) -> None:
        """Nobody is there. ``used`` is called when an account comes, goes or uses a code."""
        self._member = member
        self.lock = threading.RLock()
        self.recorder = recorder
        self.clock = clock
        self.arrived = arrived
        self.used = used
        self.barrier = Barrier(member)
        self.sessions = Sessions()
        self.numbers = itertools.count(1)
        self._brake = EventBrake()
        self._codes = codes
        self._doubts: list[Callable[[], None]] = []

    def redeem(self, account: AccountName, step: int) -> bool:
        """Take the one-time code of ``step``; False where it or a later one was used, as far as is known here."""
        taken = self._codes.take(account, step)
        if taken:
            self.used()
        return taken

    def uses(self) -> list[AccountUse]:
        """Return how accounts are in use at this member."""
        codes = self._codes.recent()
        with self.lock:
            sessions = self.sessions.counts()
        return [
            AccountUse(account=name, sessions=sessions.get(name, 0), step=codes.get(name))
            for name in sessions.keys() | codes.keys()
        ]

    def learn_uses(self, uses: Iterable[AccountUse], *, whole: bool) -> None:
        """Take in how they are at the others; see `mftgit.member.uses.Accounts`."""
        told = tuple(uses)
        self._codes.learn({each.account: each.step for each in told if each.step is not None})
        counts = {each.account: each.sessions for each in told}
        with self.lock:
            self.sessions.learn(counts, whole=whole, at=self.clock.boottime())
        self.settle()

    def doubt(self, again: Callable[[], None]) -> None:
        """Have ``again`` called when more is known of the other members, and every so often in any case."""
        with self.lock:
            self._doubts.append(again)
        self.used()  # which asks

    def settle(self) -> None:
        """Have everybody who is in doubt look again."""
        with self.lock:
            doubts, self._doubts = self._doubts, []
        for again in doubts:
            again()

    def judge(
        self, service: ServiceName, address: str, defence: Defence, facts: dict[str, Fact]
    ) -> tuple[float, Ban | None]:
        """Count a failed try of ``address`` at ``service``; return by how long to delay the answer, and a ban."""
        now = self.clock.boottime()
        with self.lock:
            judged = self.barrier.failed(address, defence, now)
        self.tell_refused(service, address, {**facts, "failures": judged.failures})
        if judged.ban is not None:
            banned: dict[str, Fact] = {
                "source": judged.ban.source,
                "seconds": defence.ban_s,
                "service": service,
                "failures": judged.failures,
            }
            self.recorder.put(EventName.SOURCE_BANNED, banned)
        return judged.delay_s, judged.ban

    def tell_refused(self, service: ServiceName, address: str, facts: dict[str, Fact]) -> None:
        """Tell that somebody was not let in; of many such only some."""
        with self.lock:
            before = self._brake.offer(address, self.clock.boottime())
        if before is not None:
            told: dict[str, Fact] = {"service": service, "source": address, **facts}
            if before:
                told["untold"] = before
            self.recorder.put(EventName.INBOUND_LOGIN_FAILED, told)

    def tick(self) -> None:
        """Let those in again whose time is over, and tell how many failures were not told."""
        now = self.clock.boottime()
        with self.lock:
            over, quiet = self.barrier.expire(now), self._brake.over(now)
        for ban in over:
            if ban.by == self._member:  # whoever banned it tells
                self.recorder.put(EventName.SOURCE_UNBANNED, {"source": ban.source, "by": ban.by})
        for address, count in quiet:
            facts: dict[str, Fact] = {"source": address, "untold": count}
            self.recorder.put(EventName.INBOUND_LOGIN_FAILED, facts)
