"""Ports that are a test's own, also while nothing listens on them.

What the system gives for port 0 it gives again once that is free: to a test that runs beside this one, or to a client.
A server that starts later than its port is chosen, or more than once, or stays away, has one from below that range.
"""

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10_000
_AT_LEAST = 10_000
_TRIES = 1_000


@contextmanager
def own_port() -> Iterator[int]:
    """Give a port of 127.0.0.1 that no other test has for the time of the block, in whichever process."""
    end = max(int(_RANGE.read_text(encoding="ascii").split()[0]), _LOWEST + _AT_LEAST)
    for _ in range(_TRIES):
        port = random.randrange(_LOWEST, end)
        mark = _mark(port)
        if mark:
            with mark:
                yield port
            return
    raise AssertionError(f"of {_TRIES} ports from {_LOWEST} to {end} none is free")


def _mark(port: int) -> socket.socket | None:
    """Take the name that stands for ``port`` among tests; the kernel gives it back when the process ends."""
    mark = socket.socket(socket.AF_UNIX)
    try:
        mark.bind(f"\0mftgit tests: port {port}")
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        mark.close()
        return None
    return mark
