"""Removing what is left of uploads that broke off long ago."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mftgit.adapters.clock import Clock
from mftgit.adapters.home.contract import HomeError
from mftgit.adapters.home.temporary import drop
from mftgit.adapters.home.walk import below
from mftgit.model.inbound.account_path import MAX_DEPTH, TEMPORARY, Parts, is_reserved

_MAX_WAITING: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What one call has looked at and removed. ``done``: every folder was looked at since the last time it was."""

    looked_at: int
    removed: int
    removed_bytes: int
    done: bool


class Sweep:
    """Looks through the folders ``roots``, a part of them with each call, and begins anew when it is through.

    Links are not followed, and folders of the cluster's own are not entered. What a session writes to is locked by it
    and stays; a session that goes on with one just then has either locked it, or begins with a copy of it. Several
    members may sweep the same storage.
    """

    def __init__(self, roots: Iterable[str], *, stalled_s: float, clock: Clock) -> None:
        self._roots = sorted(set(roots))
        self._stalled_s = stalled_s
        self._clock = clock
        self._waiting: list[tuple[str, Parts]] = []

    def go(self, most: int) -> Swept:
        """Look at folders until there were ``most`` names in them; storage that cannot be reached is passed over."""
        if not self._waiting:
            self._waiting = [(root, ()) for root in reversed(self._roots)]
        # Since its last change, and not by the time of change that a client may set.
        idle_since_s = self._clock.now().timestamp() - self._stalled_s
        looked_at = removed = removed_bytes = 0
        while self._waiting and looked_at < most:
            root, parts = self._waiting.pop()
            try:
                with below(root, parts) as folder:
                    names = self._look(folder, root, parts)
                    looked_at += names[0]
                    for name in names[1]:
                        found = drop(folder, name, idle_since_s=idle_since_s)
                        if found is not None:
                            removed += 1
                            removed_bytes += found.st_size
            except (OSError, HomeError):
                continue  # it was moved or removed meanwhile, or will be there the next time
        return Swept(
            looked_at=looked_at,
            removed=removed,
            removed_bytes=removed_bytes,
            done=not self._waiting,
        )

    def _look(self, folder: int, root: str, parts: Parts) -> tuple[int, list[str]]:
        """Note the folders in ``folder``; return how many names are there, and which are temporaries."""
        looked_at = 0
        temporaries: list[str] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                looked_at += 1
                if entry.name.startswith(TEMPORARY):
                    temporaries.append(entry.name)
                elif (
                    len(self._waiting) < _MAX_WAITING
                    and len(parts) < MAX_DEPTH
                    and not is_reserved(entry.name)
                    and entry.is_dir(follow_symlinks=False)
                ):
                    self._waiting.append((root, (*parts, entry.name)))
        return looked_at, temporaries
