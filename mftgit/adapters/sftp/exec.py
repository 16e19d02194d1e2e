"""A command beside SFTP, on a channel of its own of the same connection (RFC 4254, 6.5)."""

from threading import Timer

import paramiko

_PIECE_BYTES = 32 << 10


def output_of(
    transport: paramiko.Transport, command: str, given: bytes, *, within_s: float, most_bytes: int
) -> bytes | None:
    """Run ``command`` with ``given`` as its input, and return what it writes; None where the server lets none run.

    What is not there after ``within_s`` seconds, or goes beyond ``most_bytes``, is left out.

    Raises:
        SSHException, EOFError, OSError: the connection was lost.
    """
    try:
        channel = transport.open_session(timeout=within_s)
    except paramiko.SSHException:
        if not transport.is_active():
            raise
        return None
    watch = Timer(within_s, channel.close)  # ends every wait below
    watch.start()
    try:
        channel.exec_command(command)
        channel.sendall(given)
        channel.shutdown_write()
        return _read(channel, most_bytes)
    except (paramiko.SSHException, EOFError, OSError):
        if not transport.is_active():
            raise
        return None
    finally:
        watch.cancel()
        watch.join()
        channel.close()


def _read(channel: paramiko.Channel, most_bytes: int) -> bytes:
    output = b""
    while len(output) < most_bytes and (piece := channel.recv(_PIECE_BYTES)):
        output += piece
    return output[:most_bytes]
