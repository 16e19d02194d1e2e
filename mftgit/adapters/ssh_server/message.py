"""Messages that a server sends, made of their fields (RFC 4251, 5)."""

import paramiko


def message(kind: bytes, *fields: bytes | str | int) -> paramiko.Message:
    """Return the message of ``kind``: an int of 32 bits, a boolean, or a string for each of ``fields``."""
    made = paramiko.Message()
    made.add_byte(kind)
    for field in fields:
        if isinstance(field, bool):
            made.add_boolean(field)
        elif isinstance(field, int):
            made.add_int(field)
        else:
            made.add_string(field)
    return made
