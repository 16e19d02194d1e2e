"""Whether a host's certificate, if its signature is good, is for the host that is meant (PROTOCOL.certkeys)."""

import re
from collections.abc import Collection
from datetime import datetime
from typing import Final

from mftgit.model.keys.ssh_certificate import Certificate, CertifiedAs
from mftgit.model.keys.ssh_key import PublicKey, read_key_text

_MOST_STARS: Final = 4


def read_authority(line: str) -> PublicKey:
    """Return the public key of an authority, from a line as a file ``.pub`` has it.

    Raises:
        ValueError: it is none, or of a kind that is not taken.
    """
    kind, _, rest = line.strip().partition(" ")
    return read_key_text(kind, rest.partition(" ")[0])


def host_flaw(
    certificate: Certificate, *, host: str, authorities: Collection[PublicKey], now: datetime
) -> str | None:
    """Return why ``certificate`` does not vouch for ``host``; None where it does, if its signature is good.

    A certificate without principals vouches for nobody, and one with options that have to be understood is refused,
    for OpenSSH defines none for hosts. ``*`` and ``?`` in a principal are as OpenSSH's client has them.
    """
    if certificate.authority not in authorities:
        return f"the authority {certificate.authority.fingerprint} is none of host_ca"
    if certificate.certified_as != CertifiedAs.HOST:
        return "it is for a user, and not for a host"
    if certificate.options:
        return f"it has the option {certificate.options[0][:60]!r}, which is not known for hosts"
    if not any(_matches(pattern, host) for pattern in certificate.principals):
        names = ", ".join(certificate.principals)[:200] or "nobody"
        return f"it is for {names!r}, and not for {host!r}"
    if not certificate.holds_at(now):
        return f"it is {certificate.window}, and now it is {now.isoformat(timespec='seconds')}"
    return None


def _matches(pattern: str, host: str) -> bool:
    # Each * of a run says the same, and many of them would take long.
    whole = re.escape(re.sub(r"\*+", "*", pattern.lower()))
    if whole.count(r"\*") > _MOST_STARS:
        return False
    return bool(re.fullmatch(whole.replace(r"\*", ".*").replace(r"\?", "."), host.lower()))
