"""One-time codes of operators: enrolled and ended on the controller's machine, asked for in the Web Manager.

A key is kept sealed by the controller's own age key, so that a copy of the records alone opens nothing.
"""

from pathlib import Path

from mftgit.adapters.age import Identity, encrypt
from mftgit.adapters.clock import Clock
from mftgit.adapters.passwords import make_code_key
from mftgit.adapters.registry.operator_codes import OperatorCodes
from mftgit.model.inbound.totp import read_key, step_of
from mftgit.model.names import OperatorName


class Codes:
    """The codes of all operators; usable from many threads."""

    def __init__(self, records: OperatorCodes, age_key: Path, *, clock: Clock) -> None:
        """Keep keys in ``records``, sealed by the one in the file ``age_key``."""
        self._records = records
        self._age_key = age_key
        self._clock = clock

    def enrol(self, name: OperatorName) -> str:
        """Make a key for ``name`` in the place of the one before, and return it in base32, for an app.

        Raises:
            ConfigError: the controller has no age key.
        """
        key = make_code_key()
        own = Identity(self._age_key).recipients[0]
        self._records.enrol(name, encrypt(key.encode(), [own]))
        return key

    def remove(self, name: OperatorName) -> bool:
        """Ask ``name`` for no codes any more; tell whether that is news."""
        return self._records.remove(name)

    def mark(self, name: str) -> str | None:
        """Return what changes whenever the key of ``name`` does; None where it needs no codes."""
        return self._records.sealed(name)

    def takes(self, name: str, code: str) -> bool:
        """Use up ``code``; tell whether it was one that holds now. An operator without a key needs none.

        Raises:
            ConfigError: the controller's age key cannot be read.
            NotForUsError: the key was sealed by another one.
        """
        sealed = self._records.sealed(name)
        if sealed is None:
            return True
        key = read_key(Identity(self._age_key).decrypt(sealed).decode())
        step = step_of(key, code, self._clock.now().timestamp())
        return step is not None and self._records.use(name, step)

    def close(self) -> None:
        """Let go of the records."""
        self._records.close()
