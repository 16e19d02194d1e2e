"""What all services of a member know together: who is kept out, who is there, and which codes were used."""

import itertools
import threading
from collections.abc import Callable
from typing import Final

from mftgit.adapters.clock import Clock
from mftgit.member.inbound.recording import Recorder
from mftgit.model.admission import Sessions
from mftgit.model.barrier import Ban, Barrier
from mftgit.model.event_brake import EventBrake
from mftgit.model.events import EventName, Fact
from mftgit.model.finished import Finished
from mftgit.model.names import AccountName, MemberName, ServiceName
from mftgit.model.service import Defence

Arrived = Callable[[ServiceName, Finished], None]
"""Called with each upload once it is written down; it must not wait."""

_MOST_CODES: Final = 100_000


class Register:
    """One for each member; whoever uses its parts holds ``lock``."""

    def __init__(
        self, member: MemberName, recorder: Recorder, clock: Clock, arrived: Arrived
    ) -> None:
        """Nobody is there."""
        self._member = member
        self.lock = threading.RLock()
        self.recorder = recorder
        self.clock = clock
        self.arrived = arrived
        self.barrier = Barrier(member)
        self.sessions = Sessions()
        self.numbers = itertools.count(1)
        self._brake = EventBrake()
        self._steps: dict[AccountName, int] = {}

    def redeem(self, account: AccountName, step: int) -> bool:
        """Take the one-time code of ``step``; False where it or a later one was taken."""
        with self.lock:
            if step <= self._steps.get(account, -1) or len(self._steps) >= _MOST_CODES:
                return False
            self._steps[account] = step
            return True

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
