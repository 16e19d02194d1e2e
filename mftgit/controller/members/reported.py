"""What members last said of themselves, in memory: so that no look parses what thousands of transfers are told by."""

import threading
from collections.abc import Sequence

from mftgit.adapters.clock import Clock
from mftgit.adapters.registry.registry import Registry
from mftgit.model.members.messages import MemberStatus, judge_silence
from mftgit.model.names import MemberName, TransferName
from mftgit.model.transfers.view import TransferView, view_all

JUDGED_EVERY_S = 1.0
"""How often it is judged anew who is silent, and what follows from that, however many ask."""


class Reported:
    """The statuses by member. For any thread."""

    def __init__(self, registry: Registry, *, me: MemberName, clock: Clock) -> None:
        """Begin with what ``registry`` has; ``me`` is the controller's own member, which is never silent."""
        self._registry = registry
        self._me = me
        self._clock = clock
        self._lock = threading.Lock()
        self._changes = 0
        self._statuses = {
            each.name: each.status for each in registry.members() if each.status is not None
        }
        self._judged: tuple[tuple[int, int], list[MemberStatus], tuple[TransferView, ...]] | None
        self._judged = None
        self._by_name: dict[TransferName, list[TransferView]] = {}

    def take(self, status: MemberStatus) -> None:
        """Keep what a member says from now on."""
        with self._lock:
            self._statuses[status.name] = status
            self._changes += 1

    @property
    def mark(self) -> str:
        """Return what is another text as soon as something may look otherwise."""
        members = self.members()
        return f"{self._changes}/{'/'.join(each.state.value for each in members)}"

    def members(self) -> list[MemberStatus]:
        """Return how each member is that has ever said something, by name."""
        return self._look()[0]

    def transfers(self) -> tuple[TransferView, ...]:
        """Return every transfer, by name."""
        return self._look()[1]

    def find(self, name: TransferName) -> Sequence[TransferView]:
        """Return the transfer ``name``: several where each member runs it for itself, none where there is none."""
        self._look()
        with self._lock:
            return tuple(self._by_name.get(name, ()))

    def _look(self) -> tuple[list[MemberStatus], tuple[TransferView, ...]]:
        with self._lock:
            now = self._clock.boottime()
            key = self._changes, int(now / JUDGED_EVERY_S)
            if self._judged is None or self._judged[0] != key:
                members = self._judge()
                views = view_all(members)
                self._by_name = {}
                for each in views:
                    self._by_name.setdefault(each.name, []).append(each)
                self._judged = key, members, views
            return self._judged[1], self._judged[2]

    def _judge(self) -> list[MemberStatus]:
        now_s = self._clock.now().timestamp()
        found = []
        for name, (last_seen, cut_off) in self._registry.seen_at().items():
            status = self._statuses.get(name)
            if status is None:
                continue
            if name != self._me:
                silent_s = None if last_seen is None else max(0.0, now_s - last_seen)
                cut_off_s = None if cut_off is None else max(0.0, now_s - cut_off)
                status = judge_silence(status, silent_s, cut_off_s=cut_off_s)
            found.append(status)
        return found
