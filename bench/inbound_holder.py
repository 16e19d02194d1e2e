"""Hold connections that do nothing: ``python inbound_holder.py PORT KEY COUNT USER=FOLDER ...``, until the input ends.

Each has logged in, and has sent a file to the folder and fetched it. A library makes it and then lets go of the
socket, which stays open: so a connection costs this process nothing, and is looked at once, at the end.
"""

import socket
import sys
from itertools import cycle, islice
from pathlib import Path

import paramiko

CIPHER = "aes128-gcm@openssh.com"
_FILE_BYTES = 256 << 10


def main() -> int:
    """Open them one after the other, say so, and wait for the word to go; tell how many were hung up on meanwhile."""
    port, key, count, *users = sys.argv[1:]
    own = paramiko.Ed25519Key.from_private_key_file(key)
    held = [_open(int(port), own, *user.split("=")) for user in islice(cycle(users), int(count))]
    print("held", flush=True)
    sys.stdin.read()
    print(sum(_is_over(each) for each in held), flush=True)
    return 0


def _open(port: int, key: paramiko.PKey, user: str, folder: str) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    kept = sock.dup()
    transport = paramiko.Transport(sock)
    transport.get_security_options().ciphers = (CIPHER,)
    transport.start_client(timeout=60)
    transport.auth_publickey(user, key)
    session = paramiko.SFTPClient.from_transport(transport)
    assert session is not None
    name = f"{folder}{kept.getsockname()[1]}"
    with session.open(name, "wb") as file:
        file.set_pipelined()
        file.write(bytes(_FILE_BYTES))
    with session.open(name, "rb") as file:
        assert len(file.read()) == _FILE_BYTES
    session.remove(name)
    transport.close()
    transport.join(10)
    return kept


def _is_over(sock: socket.socket) -> bool:
    """Tell whether the other side has hung up; what it sent meanwhile is taken in."""
    sock.settimeout(0)
    try:
        while sock.recv(1 << 16):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


if __name__ == "__main__":
    assert Path(sys.argv[2]).exists()
    sys.exit(main())
