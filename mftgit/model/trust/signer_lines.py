"""Change ``trust/allowed_signers`` line by line; what is not meant stays as its author wrote it."""

import base64
import re
from typing import Final

from mftgit.model.keys.openpgp import GpgKey
from mftgit.model.trust.signers import PRINCIPALS, Signer

_PRINCIPAL: Final = re.compile(r'[^\s",#!][^\s",]*')


def check_principal(text: str) -> str:
    """Return ``text`` when it can say whose a key is.

    Raises:
        ValueError: it cannot.
    """
    if not (_PRINCIPAL.fullmatch(text) and text.isprintable()):
        raise ValueError(
            f"{text!r} does not name a signer: expected a name without blanks, commas and quotes, "
            "as alice@example.org"
        )
    return text


def add_signer(content: str, principal: str, public_key: str) -> str:
    """Return ``content`` with a last line that lets ``public_key``, as it stands in a line, sign commits."""
    end = "" if not content or content.endswith("\n") else "\n"
    return f'{content}{end}{principal} namespaces="git" {public_key.strip()}\n'


def gpg_key_line(key: GpgKey) -> str:
    """Return ``key`` as it stands in a line, with its fingerprint for people behind it."""
    return f"{key.kind} {base64.b64encode(key.packets).decode()} {key.fingerprint}"


def remove_signer(content: str, signers: tuple[Signer, ...], principal: str) -> str:
    """Return ``content``, of which ``signers`` are the lines, without ``principal`` and what is nobody else's."""
    lines: list[str | None] = list(content.split("\n"))
    for signer in signers:
        if principal in signer.principals:
            lines[signer.line - 1] = _without(lines[signer.line - 1] or "", signer, principal)
    return "\n".join(line for line in lines if line is not None)


def _without(line: str, signer: Signer, principal: str) -> str | None:
    left = [each for each in signer.principals if each != principal]
    if all(each.startswith("!") for each in left):
        return None
    return PRINCIPALS.sub(
        lambda found: found[0].replace(found[1] or found[2], ",".join(left)), line, 1
    )
