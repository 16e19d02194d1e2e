"""Which TLS the servers here speak."""

import ssl
from typing import Final

_TLS_1_2_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Forward secrecy and authenticated encryption only (RFC 9325, 4.2); those of TLS 1.3 are all of that kind."""


def restrict(context: ssl.SSLContext) -> None:
    """Have ``context`` speak TLS 1.2 or newer, without what is weak, and begin no handshake anew."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS_1_2_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
