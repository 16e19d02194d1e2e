"""What is on the disk in the end: the demo's claims are counted there, not remembered."""

import hashlib
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

_LOOK_S = 0.02
_MARK = "~"


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Files by what became of them."""

    dropped: int
    delivered: int
    lost: int
    duplicated: int
    damaged: int

    @property
    def clean(self) -> bool:
        """Tell whether every file arrived whole, once."""
        return not (self.lost or self.duplicated or self.damaged)


class Consumer:
    """The partner's own program: takes every file that becomes visible away at once, under a name never used before.

    So a second delivery of one file is a second file on the disk.
    """

    def __init__(self, incoming: Path, received: Path) -> None:
        """Move files from ``incoming`` to ``received``."""
        self._incoming = incoming
        self._received = received
        self._stop = threading.Event()
        self._taken = 0
        self._thread = threading.Thread()

    def start(self) -> None:
        """Begin to take, also after a stop."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="consumer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take what is there and end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._take()
            self._stop.wait(_LOOK_S)
        self._take()

    def _take(self) -> None:
        for path in sorted(self._incoming.iterdir()):
            if path.name.startswith(".") or not path.is_file():
                continue
            self._taken += 1
            path.rename(self._received / f"{self._taken:06d}{_MARK}{path.name}")


def received_names(received: Path) -> Counter[str]:
    """Return how often each name arrived."""
    return Counter(path.name.split(_MARK, 1)[1] for path in received.iterdir())


def count(dropped: dict[str, str], received: Path) -> Count:
    """Compare what was dropped (name to SHA-256) with what lies in ``received``."""
    arrived = received_names(received)
    damaged = sum(
        _digest(path) != dropped.get(path.name.split(_MARK, 1)[1]) for path in received.iterdir()
    )
    return Count(
        dropped=len(dropped),
        delivered=len(arrived),
        lost=len(dropped.keys() - arrived.keys()),
        duplicated=sum(times - 1 for times in arrived.values()),
        damaged=damaged,
    )


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
