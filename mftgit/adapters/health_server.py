"""Answers a load balancer that asks whether clients are welcome."""

import socket
from collections.abc import Callable
from http import HTTPStatus

from mftgit.adapters.plain_http import Answer, Bounds, PlainHttp, Spot, said


class HealthServer(PlainHttp):
    """``/readyz`` and ``/healthz`` on one listening socket; each connection has one answer, within 5 s."""

    def __init__(self, listening: socket.socket, ready: Callable[[], bool]) -> None:
        """``ready`` says whether new clients are welcome; it must not wait. The socket stays its owner's."""

        def is_ready() -> Answer:
            return said(HTTPStatus.OK if ready() else HTTPStatus.SERVICE_UNAVAILABLE)

        spots = {
            "/readyz": Spot(answer=is_ready),
            "/healthz": Spot(answer=lambda: said(HTTPStatus.OK)),
        }
        super().__init__(listening, spots, bounds=Bounds(), name="health")
