"""Find out with which key a commit is signed, by SSH or GPG; who may sign is not asked here."""

import re
from typing import Final, Self

from mftgit.adapters.git import ssh_signature
from mftgit.adapters.git.gpg import GpgError, Keyring
from mftgit.adapters.git.ssh_signature import ssh_signer
from mftgit.model.documents.places import GPG_SIGNERS_FILE
from mftgit.model.keys.openpgp import read_gpg_signature
from mftgit.model.names import Revision
from mftgit.model.trust.signers import Key
from mftgit.model.trust.trust import Evidence, FlawError, Outcome, Policy

_GPG_BEGIN: Final = "-----BEGIN PGP SIGNATURE-----"
_HEADER: Final = b"gpgsig"
_COMMITTER: Final = re.compile(rb"^committer [^\n]*> ([0-9]{1,18}) [+-][0-9]{4}$", re.MULTILINE)


class Examiner:
    """Tells of commits what they show, one after the other; close it, for key rings of gpg may lie behind it.

    A key ring is made when the first commit asks for one by GPG, once for each policy.
    """

    def __init__(self) -> None:
        """Make no key ring yet."""
        self._keyrings: dict[tuple[bytes, ...], Keyring | GpgError] = {}
        self._told: dict[tuple[tuple[bytes, ...], Revision], Evidence] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove every key ring."""
        for each in self._keyrings.values():
            if isinstance(each, Keyring):
                each.close()
        self._keyrings.clear()

    def __call__(self, policy: Policy, revision: Revision, raw: bytes) -> Evidence:
        """Return what the commit of which ``raw`` are the bytes shows of who signed it, by the keys of ``policy``."""
        asked = policy.gpg_keys, revision
        if asked not in self._told:
            self._told[asked] = self._examine(policy, revision, raw)
        return self._told[asked]

    def _examine(self, policy: Policy, revision: Revision, raw: bytes) -> Evidence:
        committed = _COMMITTER.search(raw.partition(b"\n\n")[0])
        at_s = int(committed[1]) if committed else 0
        try:
            key = self._signer(policy, raw, at_s)
        except FlawError as flaw:
            return Evidence(revision=revision, at_s=at_s, flaw=flaw.outcome, detail=str(flaw))
        return Evidence(revision=revision, at_s=at_s, key=key)

    def _signer(self, policy: Policy, raw: bytes, at_s: int) -> Key:
        payload, armor = _split(raw)
        first = armor.lstrip().partition("\n")[0]
        if first == ssh_signature.BEGIN:
            return ssh_signer(armor, payload)
        if first != _GPG_BEGIN:
            raise FlawError(Outcome.UNKNOWN_KIND, f"found {first[:60]!r}")
        try:
            packet = read_gpg_signature(armor)
        except ValueError as error:
            raise FlawError(Outcome.MALFORMED, str(error)) from None
        if not policy.gpg_keys:
            raise FlawError(Outcome.NOT_ALLOWED, f"{GPG_SIGNERS_FILE} has no key")
        return self._ask_gpg(policy, packet, payload, at_s)

    def _ask_gpg(self, policy: Policy, packet: bytes, payload: bytes, at_s: int) -> Key:
        try:
            return self._keyring(policy.gpg_keys).signer(packet, payload, at_s=at_s)
        except GpgError as error:  # what failed once would cost its time limit for every commit
            self._keyrings[policy.gpg_keys] = error
            raise FlawError(Outcome.NOT_CHECKED, str(error)) from None

    def _keyring(self, keys: tuple[bytes, ...]) -> Keyring:
        found = self._keyrings.get(keys)
        if isinstance(found, GpgError):
            raise found
        if found is None:
            found = self._keyrings[keys] = Keyring(keys)
        return found


def _split(raw: bytes) -> tuple[bytes, str]:
    """Return what was signed, and the signature, as git takes them apart."""
    head, end, message = raw.partition(b"\n\n")
    kept: list[bytes] = []
    armor: list[bytes] = []
    into = kept
    for line in head.split(b"\n"):
        if line.startswith(_HEADER):
            if armor or not line.startswith(_HEADER + b" "):
                raise FlawError(Outcome.MALFORMED, "the commit has more than one signature")
            into = armor
            armor.append(line.removeprefix(_HEADER + b" "))
        elif into is armor and line.startswith(b" "):
            armor.append(line[1:])
        else:
            into = kept
            kept.append(line)
    if not armor:
        raise FlawError(Outcome.UNSIGNED)
    return b"\n".join(kept) + end + message, b"\n".join(armor).decode("ascii", "replace")
