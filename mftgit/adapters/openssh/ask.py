"""What ssh runs to ask for a password (SSH_ASKPASS of ssh(1)): it fetches one from the process that started ssh.

It runs in a Python of its own, without this package, and so uses nothing but the standard library. Its argument is the
path of a socket, which says nothing where there is no password left.
"""

import socket
import sys


def fetch(path: str) -> bytes:
    """Return what is said at the socket ``path``."""
    with socket.socket(socket.AF_UNIX) as door:
        door.connect(path)
        return b"".join(iter(lambda: door.recv(4096), b""))


if __name__ == "__main__":
    password = fetch(sys.argv[1])
    sys.stdout.buffer.write(password + b"\n")
    sys.exit(0 if password else 1)
