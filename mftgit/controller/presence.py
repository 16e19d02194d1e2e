"""When each member was last heard of: kept in memory, written down in one go every few seconds."""

import threading
from collections.abc import Callable
from datetime import datetime

from loguru import logger

from mftgit.adapters.registry import Registry
from mftgit.errors import MftgitError
from mftgit.model.names import MemberName

WRITE_EVERY_S = 3.0
"""A sign of life costs no write of its own; a status may be this much out of date."""


class Presence:
    """One thread that writes down who was heard of."""

    def __init__(self, registry: Registry, *, now: Callable[[], datetime]) -> None:
        """Write to ``registry``."""
        self._registry = registry
        self._now = now
        self._lock = threading.Lock()
        self._heard: dict[MemberName, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def heard(self, member: MemberName) -> None:
        """Note that ``member`` was heard of just now; callable from any thread, and cheap."""
        with self._lock:
            self._heard[member] = self._now().timestamp()

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
        if not heard:
            return
        try:
            self._registry.seen(heard)
        except MftgitError as error:
            logger.warning("signs of life not written down", error=str(error))
