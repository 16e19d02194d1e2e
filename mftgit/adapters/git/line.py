"""The connections of one fetch, which end when its time is over, whatever the other side is at."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import urllib3
from urllib3.util.ssl_ import create_urllib3_context

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.http_bounds import (
    BoundedConnection,
    BoundedPlainConnection,
    Lines,
    TimedSocket,
)


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = BoundedPlainConnection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = BoundedConnection


_POOLS: Final = {"http": _PlainPool, "https": _SecurePool}


class FetchLine:
    """Connections by ``pool``; ``lines`` are there where they may be ended."""

    def __init__(self, pool: urllib3.PoolManager, lines: Lines | None = None) -> None:
        self.pool = pool
        self._lines = lines

    @property
    def is_late(self) -> bool:
        """Whether they were ended because the time was over."""
        return self._lines is not None and self._lines.ended


@contextmanager
def fetch_line(ca_file: Path | None, *, timeout_s: float, silent_s: float) -> Iterator[FetchLine]:
    """Give connections for ``timeout_s`` that trust ``ca_file``, or by default the authorities of the machine.

    One that gives nothing for ``silent_s``, or too little in four times that (see `Flow`), ends before.
    """
    context = create_urllib3_context()
    context.sslsocket_class = TimedSocket
    if ca_file is None:
        context.load_default_certs()
    lines = Lines()
    timer = threading.Timer(timeout_s, lines.end)
    timer.daemon = True
    bounds = {"lines": lines, "clock": SystemClock(), "timeout_s": silent_s}
    ca_certs = None if ca_file is None else str(ca_file)
    with urllib3.PoolManager(
        ssl_context=context, cert_reqs="CERT_REQUIRED", ca_certs=ca_certs
    ) as pool:
        pool.pool_classes_by_scheme = {
            scheme: partial(kind, **bounds)  # type: ignore[misc]  # for the connection
            for scheme, kind in _POOLS.items()
        }
        timer.start()
        try:
            yield FetchLine(pool, lines)
        finally:
            timer.cancel()
