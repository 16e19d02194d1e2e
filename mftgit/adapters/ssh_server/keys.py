"""The host keys of a server: which are shown, and how all of them are announced (OpenSSH's PROTOCOL, 2.5)."""

import io
import struct
from collections.abc import Sequence
from typing import Final

import paramiko
from paramiko.common import cMSG_GLOBAL_REQUEST, cMSG_REQUEST_FAILURE, cMSG_REQUEST_SUCCESS

from mftgit.adapters.ssh_server.message import message
from mftgit.errors import ConfigError
from mftgit.model.keys.algorithms import HOST_KEYS, Algorithms
from mftgit.model.keys.ssh_key import MIN_RSA_BITS, RSA, read_strings

ANNOUNCE: Final = "hostkeys-00@openssh.com"
PROVE: Final = "hostkeys-prove-00@openssh.com"

_KINDS: Final = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
_NO_KEY: Final = (paramiko.SSHException, ValueError, IndexError, AssertionError, struct.error)
_MOST: Final = 16
"""How many keys one request may ask a proof of; OpenSSH's client takes no more than that."""


class HostKeys:
    """``texts`` are OpenSSH private keys; of each kind the first is shown, if ``algorithms`` has its kind."""

    def __init__(self, texts: Sequence[str], algorithms: Algorithms) -> None:
        """Read them.

        Raises:
            ConfigError: one is none, or is too weak, or none of them can be shown.
        """
        keys = [_read(text, place) for place, text in enumerate(texts, start=1)]
        self._keys = {key.asbytes(): key for key in keys}
        self.shown: dict[str, paramiko.PKey] = {}
        for kind, names in algorithms.host_keys_by_kind().items():
            first = next((key for key in keys if key.get_name() == kind), None)
            if first is not None:
                current = (name for name in names if name in HOST_KEYS)
                self.shown.update(dict.fromkeys(current, first))
        if not self.shown:
            raise ConfigError(
                "no host key can be shown: "
                f"there are {', '.join(key.get_name() for key in keys) or 'none'}, "
                f"and the algorithms for host keys are {', '.join(algorithms.host_keys)}"
            )

    def announcement(self) -> paramiko.Message:
        """Return the request that tells a client of all keys."""
        return message(cMSG_GLOBAL_REQUEST, ANNOUNCE, False, *self._keys)  # noqa: FBT003  a field

    def answer(
        self, asked: paramiko.Message, *, session_id: bytes, algorithm: str
    ) -> paramiko.Message | None:
        """Answer a global request (RFC 4254, 4): there is a proof of host keys, and nothing else; see `prove`."""
        kind, wants_reply = asked.get_string(), asked.get_boolean()
        proofs = None
        if kind == PROVE.encode():
            proofs = self.prove(asked.get_remainder(), session_id=session_id, algorithm=algorithm)
        if not wants_reply:
            return None
        if proofs is None:
            return message(cMSG_REQUEST_FAILURE)
        return message(cMSG_REQUEST_SUCCESS, *proofs)

    def prove(self, asked: bytes, *, session_id: bytes, algorithm: str) -> list[bytes] | None:
        """Return a signature by each key that ``asked`` lists; None where it lists another, or nonsense.

        An RSA key signs by ``algorithm`` where keys were exchanged under that, for so the client expects it.
        """
        try:
            blobs = read_strings(asked)
        except ValueError:
            return None
        if not 1 <= len(blobs) <= _MOST or not self._keys.keys() >= set(blobs):
            return None
        return [self._prove(blob, session_id, algorithm) for blob in blobs]

    def _prove(self, blob: bytes, session_id: bytes, algorithm: str) -> bytes:
        signed = paramiko.Message()
        for part in (PROVE.encode(), session_id, blob):
            signed.add_string(part)
        key = self._keys[blob]
        kind = key.get_name()
        if kind == RSA:
            kind = algorithm if algorithm.startswith("rsa-") else "rsa-sha2-512"
        return key.sign_ssh_data(signed.asbytes(), kind).asbytes()


def _read(text: str, place: int) -> paramiko.PKey:
    for kind in _KINDS:
        try:
            key = kind.from_private_key(io.StringIO(text))
        except _NO_KEY:
            continue
        if key.get_name() == RSA and key.get_bits() < MIN_RSA_BITS:
            raise ConfigError(
                f"host key {place} is an RSA key of {key.get_bits()} bits; expected {MIN_RSA_BITS} or more"
            )
        return key
    raise ConfigError(
        f"host key {place} is not a private key of type ed25519, ecdsa or rsa without a passphrase: "
        "make one with \"ssh-keygen -t ed25519 -N ''\""
    )
