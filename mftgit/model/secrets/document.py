"""What ``secrets/NAME.yaml`` says: a value encrypted with age, and to whom."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mftgit.model.documents.fault import Fault
from mftgit.model.names import SecretName

MAX_RECIPIENTS: Final = 200
ARMOR: Final = "-----BEGIN AGE ENCRYPTED FILE-----\n"

_MAX_HEADER_BYTES: Final = 32 * 1024
"""More than the most recipients have; who decrypts reads it again for each of them."""

_END: Final = "\n-----END AGE ENCRYPTED FILE-----"
_ROW: Final = 64
"""Age takes an armored text only where all lines but the last have exactly so many characters."""

_REKEY: Final = "encrypt it anew: mftgit secret rekey"


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """``secrets/NAME.yaml``.

    ``value`` is the armored text that age writes, and ``recipients`` are to whom it says that it is encrypted: age
    shows only how many they are. ``changed`` is when the value was set, in UTC.
    """

    name: SecretName
    recipients: tuple[str, ...]
    changed: str
    value: str
    description: str | None = None


def build_secret(name: SecretName, value: Mapping[str, Any]) -> Secret:
    """Return what a document says that has passed its schema."""
    return Secret(
        name=name,
        recipients=tuple(value["recipients"]),
        changed=value["changed"],
        value=value["value"],
        description=value.get("description"),
    )


def format_secret(secret: Secret) -> str:
    """Return the document of ``secret``, in YAML."""
    lines = (
        []
        if secret.description is None
        else [f"description: {json.dumps(secret.description, ensure_ascii=False)}"]
    )
    lines += ["recipients:", *(f"  - {each}" for each in secret.recipients)]
    lines += [f"changed: {secret.changed}", "value: |"]
    lines += [f"  {line}" for line in secret.value.splitlines()]
    return "\n".join(lines) + "\n"


def check_secret(secret: Secret) -> Iterator[Fault]:
    """Give what is wrong with ``secret`` as far as that can be seen without any key."""
    kinds, named = _stanzas(secret.value), len(set(secret.recipients))
    other = next((each for each in kinds or () if each != "X25519"), None)
    if kinds is None or other is not None:
        found = "is not as age writes it" if other is None else f"is encrypted to a {other!r}"
        yield Fault(
            pointer="/value",
            rule="secret",
            message=f"the value {found}",
            hint="only keys of age itself (age1…) are used; set it: mftgit secret rotate",
        )
    elif len(kinds) != named:
        yield Fault(
            pointer="/recipients",
            rule="secret",
            message=f"the value is encrypted to {len(kinds)} recipients, but this names {named}",
            hint=_REKEY,
        )


def _stanzas(armored: str) -> list[str] | None:
    """Return for whom a text is encrypted, by kinds of keys; None where it is no text of age.

    What begins with ``-> `` is a recipient (age-encryption.org/v1); those whose kind ends in ``-grease`` are none.
    """
    text = armored.strip()
    if not (text.startswith(ARMOR) and text.endswith(_END)):
        return None
    *rows, last = text[len(ARMOR) : -len(_END)].split("\n")
    if any(len(row) != _ROW for row in rows) or not 0 < len(last) <= _ROW:
        return None
    try:
        content = base64.b64decode("".join((*rows, last)), validate=True)
    except ValueError:  # binascii.Error, or what is not ASCII
        return None
    header, mark, _ = content.partition(b"\n--- ")
    lines = header.decode("ascii", "replace").split("\n")
    if not mark or len(header) > _MAX_HEADER_BYTES or lines[0] != "age-encryption.org/v1":
        return None
    kinds = [line.split(" ")[1] for line in lines if line.startswith("-> ")]
    return [kind for kind in kinds if not kind.endswith("-grease")]
