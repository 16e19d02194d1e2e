"""Decide by what gpg writes to ``--status-fd`` (doc/DETAILS of GnuPG) whether it has done what it was to do."""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from mftgit.model.keys.openpgp import DIGESTS

_PREFIX: Final = "[GNUPG:] "
_CIPHERS: Final = {"7": "AES128", "8": "AES192", "9": "AES256"}
"""The ciphers that are taken, by OpenPGP's numbers: those with blocks of 128 bits that RFC 9580 asks for."""

_KINDS: Final = ("00", "01")
"""Signatures over bytes, and over text."""

_VALID_FIELDS: Final = 10
_TOLD: Final = 8
_SAID: Final = {
    "BADMDC": "it was changed on its way",
    "BADSIG": "its signature is not of this content",
    "EXPSIG": "its signature has expired",
    "EXPKEYSIG": "the key that it is signed by has expired",
    "REVKEYSIG": "the key that it is signed by was revoked",
    "INV_RECP": "it cannot be encrypted to a recipient, whose key may have expired",
    "INV_SGNR": "the signing key cannot sign; it may have expired",
}
"""What these mean, the first that is there."""

_QUIET: Final = (
    "KEY_CONSIDERED",
    "ENC_TO",
    "PROGRESS",
    "SIG_ID",
    "KEYEXPIRED",
    "PINENTRY_LAUNCHED",
)

Lines = Sequence[Sequence[str]]


def read_status(text: str) -> Lines:
    """Return the words of each line that gpg has written for programs."""
    lines = (
        line.removeprefix(_PREFIX).split() for line in text.split("\n") if line.startswith(_PREFIX)
    )
    return [line for line in lines if line]


def imported_keys(lines: Lines, *, private: bool) -> frozenset[str]:
    """Return the fingerprints of the keys that gpg has taken in; with ``private`` of those alone."""
    flags = 16 if private else 0
    return frozenset(
        line[2]
        for line in lines
        if line[0] == "IMPORT_OK" and len(line) > 2 and int(line[1]) & flags == flags  # noqa: PLR2004
    )


def why_not_made(lines: Lines, code: int, *, encrypted: bool, signed: bool) -> str | None:
    """Return why what gpg gave is not the message that was asked for, as the end of a sentence, or None."""
    wanted = {"END_ENCRYPTION": int(encrypted), "SIG_CREATED": int(signed)}
    if code == 0 and all(_count(lines, name) == count for name, count in wanted.items()):
        return None
    return _tell(lines, "gpg did not do it")


def why_not_decrypted(lines: Lines, code: int, *, signers: AbstractSet[str] | None) -> str | None:
    """Return why what gpg gave is not to be used, or None.

    It has to be one message, encrypted with integrity protection by a modern cipher. ``signers`` are the fingerprints
    of primary keys by one of which it has to be signed too; None: no signature was looked at.
    """
    return next(_faults_of_decrypting(lines, code, signers), None)


def why_not_verified(lines: Lines, code: int, *, signers: AbstractSet[str]) -> str | None:
    """Return why what gpg gave is not signed by one of ``signers``, and nothing else, or None."""
    return next(_faults_of_verifying(lines, code, signers), None)


def _faults_of_decrypting(
    lines: Lines, code: int, signers: AbstractSet[str] | None
) -> Iterator[str]:
    names = [line[0] for line in lines]
    about = next((line for line in lines if line[0] == "DECRYPTION_INFO"), None)
    mdc, cipher, aead = (*(about or ())[1:4], "0", "0", "0")[:3]
    if about is not None and mdc == "0" and aead == "0":
        yield "it is encrypted without integrity protection (MDC), so that nobody can tell what it was"
    if about is not None and cipher not in _CIPHERS:
        yield f"it is encrypted by the old cipher {cipher}; expected one of {', '.join(_CIPHERS.values())}"
    if "BADMDC" in names or "DECRYPTION_FAILED" in names or about is None:
        yield _tell(lines, "it cannot be decrypted with this key")
    once = ("BEGIN_DECRYPTION", "PLAINTEXT", "DECRYPTION_OKAY", "END_DECRYPTION")
    if any(names.count(name) != 1 for name in (*once, *(("GOODMDC",) if aead == "0" else ()))):
        yield _tell(lines, "it is not one encrypted message")
    begun, made, ended = map(names.index, ("BEGIN_DECRYPTION", "PLAINTEXT", "END_DECRYPTION"))
    if not begun < made < ended:
        yield _tell(lines, "it is not one encrypted message")
    if signers is not None:
        yield from _faults_of_signing(lines, signers)
        if not begun < names.index("VALIDSIG") < ended:
            yield "its signature is not within what is encrypted"
    if code != 0:
        yield _tell(lines, "gpg does not say that it is good")


def _faults_of_verifying(lines: Lines, code: int, signers: AbstractSet[str]) -> Iterator[str]:
    if _count(lines, "BEGIN_DECRYPTION") or _count(lines, "ENC_TO"):
        yield "it is encrypted: use pgp_decrypt"
    yield from _faults_of_signing(lines, signers)
    if _count(lines, "PLAINTEXT") != 1:
        yield _tell(lines, "it is not one signed message")
    if code != 0:
        yield _tell(lines, "gpg does not say that it is good")


def _faults_of_signing(lines: Lines, signers: AbstractSet[str]) -> Iterator[str]:
    for line in lines:
        if line[0] == "ERRSIG":
            yield f"it is signed by the key {line[1]}, which the step does not name, or in an old way"
        if line[0] in _SAID:
            yield _SAID[line[0]]
    if any(_count(lines, name) != 1 for name in ("NEWSIG", "GOODSIG", "VALIDSIG")):
        yield _tell(lines, f"it has {_count(lines, 'NEWSIG')} signatures; expected one")
    (valid,) = (line[1:] for line in lines if line[0] == "VALIDSIG")
    if len(valid) != _VALID_FIELDS:
        yield "gpg does not say who has signed it"
    digest, kind, primary = valid[7:]
    if digest not in map(str, DIGESTS) or kind not in _KINDS:
        yield f"its signature is of the kind {kind} by the digest {digest}; expected SHA-2 over a file"
    if primary not in signers:
        yield f"it is signed by {primary}, which the step does not name"


def _count(lines: Lines, name: str) -> int:
    return sum(line[0] == name for line in lines)


def _tell(lines: Lines, what: str) -> str:
    """Return ``what`` with the words of gpg that matter; what they hold of the message is left out."""
    if _count(lines, "NODATA") and not _count(lines, "PLAINTEXT"):
        return "it is no OpenPGP message"
    meaning = next((_SAID[line[0]] for line in lines if line[0] in _SAID), what)
    names = dict.fromkeys(
        " ".join(line[:2]) if line[0] in {"ERROR", "NODATA", "FAILURE"} else line[0]
        for line in lines
        if line[0] not in _QUIET
    )
    said = ", ".join(list(names)[:_TOLD]) or "nothing"
    return f"{meaning} (gpg says {said})"
