"""The part of the protocol of ssh-agent that a client needs to log in (draft-miller-ssh-agent, 3)."""

from collections.abc import Iterable
from socket import socket
from typing import Final

import paramiko
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from mftgit.adapters.ssh.fields import text, u32

_FAILURE: Final = 5
_REQUEST_IDENTITIES, _IDENTITIES_ANSWER = 11, 12
_SIGN_REQUEST, _SIGN_RESPONSE = 13, 14
_RSA_ALGORITHMS: Final = (
    (4, "rsa-sha2-512"),
    (2, "rsa-sha2-256"),
)  # by the flags of a request to sign (4.5.1)
_MOST_BYTES: Final = 256 << 10


class Agent:
    """Signs with keys that stay in the memory of this process; with ``sha1`` also as ssh-rsa (RFC 4253, 6.6)."""

    def __init__(self, keys: Iterable[paramiko.PKey], *, sha1: bool) -> None:
        self._keys = {_blob(key): key for key in keys}
        self._sha1 = sha1

    def serve(self, peer: socket) -> None:
        """Answer the requests of ``peer`` until it hangs up."""
        while True:
            length = int.from_bytes(_exactly(peer, 4))
            if not 1 <= length <= _MOST_BYTES:
                return
            answer = self.answer(_exactly(peer, length))
            peer.sendall(text(answer))

    def answer(self, request: bytes) -> bytes:
        """Return the answer to ``request``, both without their length."""
        if request[0] == _REQUEST_IDENTITIES:
            listed = b"".join(text(blob) + text(b"") for blob in self._keys)
            return bytes((_IDENTITIES_ANSWER,)) + u32(len(self._keys)) + listed
        if request[0] == _SIGN_REQUEST:
            message = paramiko.Message(request[1:])
            key = self._keys.get(message.get_string())
            data, flags = message.get_string(), message.get_int()
            signature = None if key is None else self._sign(key, data, flags)
            if signature is not None:
                return bytes((_SIGN_RESPONSE,)) + text(signature)
        return bytes((_FAILURE,))

    def _sign(self, key: paramiko.PKey, data: bytes, flags: int) -> bytes | None:
        if not isinstance(key, paramiko.RSAKey):
            return key.sign_ssh_data(data).asbytes()
        for flag, algorithm in _RSA_ALGORITHMS:
            if flags & flag:
                return key.sign_ssh_data(data, algorithm).asbytes()
        if not self._sha1 or not isinstance(key.key, rsa.RSAPrivateKey):
            return None
        # paramiko signs with SHA-1 no more.
        signed = key.key.sign(data, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303  the location says legacy
        return text(b"ssh-rsa") + text(signed)


def _blob(key: paramiko.PKey) -> bytes:
    return key.asbytes() if key.public_blob is None else key.public_blob.key_blob


def _exactly(peer: socket, length: int) -> bytes:
    pieces = []
    while length > 0:
        piece = peer.recv(length)
        if not piece:
            raise EOFError
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)
