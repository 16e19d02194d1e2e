"""paramiko's client, which waits for a machine that is busy."""

import socket

import paramiko
from waiting import WAIT_S


def transport_to(server: int | socket.socket, *, window_bytes: int = 2 << 20) -> paramiko.Transport:
    """Return what is to log in to a port of this machine, or over a socket; by itself it waits for 15 seconds only."""
    at = ("127.0.0.1", server) if isinstance(server, int) else server
    made = paramiko.Transport(at, default_window_size=window_bytes)
    made.banner_timeout = made.handshake_timeout = made.auth_timeout = WAIT_S
    return made
