"""What connections to HTTP servers do otherwise than those of the libraries."""

import socket
import ssl
from contextlib import closing
from pathlib import Path
from threading import Thread
from typing import cast

from dav_servers import Shown

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.http_bounds import TimedSocket


def test_tls_is_given_what_a_slow_line_takes_within_the_time_out(tmp_path: Path) -> None:
    """All of it that is given at a time has to be taken then; 1 MiB in 30 s is more than many a line carries."""
    shown = Shown.for_hosts("127.0.0.1")
    client = ssl.create_default_context(cadata=shown.authority.certificate.decode())
    client.sslsocket_class = TimedSocket
    content, taken = bytes(1 << 20), bytearray()
    with socket.create_server(("127.0.0.1", 0)) as door:

        def take() -> None:
            plain, _ = door.accept()
            with closing(shown.context(tmp_path).wrap_socket(plain, server_side=True)) as there:
                while len(taken) < len(content) and (piece := there.recv(1 << 16)):
                    taken.extend(piece)

        server = Thread(target=take)
        server.start()
        plain = socket.create_connection(door.getsockname())
        here = cast("TimedSocket", client.wrap_socket(plain, server_hostname="127.0.0.1"))
        here.clock, here.timeout_s = SystemClock(), 30.0
        here.wait(None)
        with closing(here):
            sent = here.send(content)
            here.sendall(content[sent:])
            assert here.recv(1) == b""  # it has all of it
        server.join()
    assert sent == 64 << 10
    assert taken == content
