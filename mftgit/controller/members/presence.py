"""When each member was last heard of, and when its line ended: in memory, and written down every few seconds.

The line is the request with which a member waits for hints: the system ends it with the member's process.
"""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime

from loguru import logger

from mftgit.adapters.registry.registry import Registry
from mftgit.errors import MftgitError
from mftgit.model.names import MemberName

WRITE_EVERY_S = 3.0
"""A sign of life costs no write of its own; a status may be this much out of date."""


class Presence:
    """One thread that writes down who was heard of."""

    def __init__(
        self,
        registry: Registry,
        *,
        now: Callable[[], datetime],
        listens: Callable[[MemberName], None],
        cut_off: Callable[[MemberName], None],
    ) -> None:
        """Write to ``registry``; ``listens`` is called when a member listens, ``cut_off`` when its last line ended."""
        self._registry = registry
        self._now = now
        self._tell_listens, self._tell_cut_off = listens, cut_off
        self._lock = threading.Lock()
        self._heard: dict[MemberName, float] = {}
        self._cut_off: dict[MemberName, float] = {}
        self._lines: Counter[MemberName] = Counter()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def heard(self, member: MemberName) -> None:
        """Note that ``member`` was heard of just now; callable from any thread, and cheap."""
        with self._lock:
            self._heard[member] = self._now().timestamp()

    def opened(self, member: MemberName) -> None:
        """Note that ``member`` listens from now on; callable from any thread, as the next one."""
        with self._lock:
            self._lines[member] += 1
        self.heard(member)
        self._tell_listens(member)

    def ended(self, member: MemberName) -> None:
        """Note that ``member`` has ended a line; what counts is its last one."""
        with self._lock:
            self._lines[member] -= 1
            if self._lines[member]:
                return
            del self._lines[member]
            self._cut_off[member] = self._now().timestamp()
        self._tell_cut_off(member)

    def stop(self) -> None:
        """Write once more and end."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(WRITE_EVERY_S):
            self._write()
        self._write()

    def _write(self) -> None:
        with self._lock:
            heard, self._heard = self._heard, {}
            cut_off, self._cut_off = self._cut_off, {}
        if not (heard or cut_off):
            return
        try:
            self._registry.seen(heard, cut_off)
        except MftgitError as error:
            logger.warning("signs of life not written down", error=str(error))
