"""Decide by what gpg writes to ``--status-fd`` (doc/DETAILS of GnuPG) who made a signature."""

from collections.abc import Iterator
from typing import Final

from mftgit.model.documents.places import GPG_SIGNERS_FILE
from mftgit.model.keys.openpgp import DIGESTS, GpgKey
from mftgit.model.trust.trust import FlawError, Outcome

_PREFIX: Final = "[GNUPG:] "
_FLAWS: Final = {
    "BADSIG": (Outcome.TAMPERED, ""),
    "EXPSIG": (Outcome.EXPIRED, "it is the signature that had"),
    "EXPKEYSIG": (Outcome.EXPIRED, "by the date that the key itself has"),
    "REVKEYSIG": (Outcome.REVOKED, "by its owner"),
}
_VERDICTS: Final = ("GOODSIG", "ERRSIG", *_FLAWS)
_ERRORS: Final = {
    "6": (Outcome.NOT_YET_VALID, "the key was made later"),
    "9": (Outcome.NOT_ALLOWED, f"no line of {GPG_SIGNERS_FILE} has it"),
}
_VALID_FIELDS: Final = 10
_OF_BYTES: Final = "00"
_ERROR_FIELDS: Final = 6


def signed_by(status: str, code: int) -> GpgKey:
    """Return the primary key of what made the one signature that gpg has looked at, leaving with ``code``.

    Raises:
        FlawError: gpg tells of none that is good, or of more than one.
    """
    lines = list(_lines(status))
    verdicts = [line for line in lines if line[0] in _VERDICTS]
    if len(verdicts) != 1 or sum(line[0] == "NEWSIG" for line in lines) != 1:
        raise FlawError(Outcome.MALFORMED, f"gpg tells of {len(verdicts)} signatures")
    name, *fields = verdicts[0]
    if name == "ERRSIG":
        reason = fields[5] if len(fields) >= _ERROR_FIELDS else "?"
        raise FlawError(*_ERRORS.get(reason, (Outcome.MALFORMED, f"gpg's reason is {reason}")))
    if name in _FLAWS:
        raise FlawError(*_FLAWS[name])
    valid = [line[1:] for line in lines if line[0] == "VALIDSIG"]
    if code != 0 or len(valid) != 1 or len(valid[0]) != _VALID_FIELDS:
        raise FlawError(Outcome.MALFORMED, "gpg does not say that it is valid")
    digest, kind, primary = valid[0][7:]
    if digest not in map(str, DIGESTS) or kind != _OF_BYTES:
        raise FlawError(Outcome.MALFORMED, "it is of another kind than gpg was asked for")
    return GpgKey(fingerprint=primary)


def imported(status: str) -> frozenset[str] | None:
    """Return the fingerprints of the keys that gpg has taken in; None where it did not come to its end."""
    lines = list(_lines(status))
    if not any(line[0] == "IMPORT_RES" for line in lines):
        return None
    return frozenset(line[2] for line in lines if line[0] == "IMPORT_OK" and line[2:])


def _lines(status: str) -> Iterator[list[str]]:
    for line in status.split("\n"):
        if line.startswith(_PREFIX) and (words := line.removeprefix(_PREFIX).split()):
            yield words
