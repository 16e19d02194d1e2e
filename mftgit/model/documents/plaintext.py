"""Find secrets that stand in a document in plain text; what is found is never told, only where."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from mftgit.model.documents.document import problem_at
from mftgit.model.documents.json_value import Json, Position, join_pointer, walk
from mftgit.model.documents.problem import Problem
from mftgit.model.secrets.document import ARMOR

RULE: Final = "plaintext-secret"

# The last word of a key decides: partner_password is one, password_file is not.
_SECRET_KEY = re.compile(
    r"(?:^|[_-]|(?<=[a-z])(?=[A-Z]))"
    r"(?i:passwords?|passwd|pwd|pass[_-]?phrases?|secrets?|tokens?|api[_-]?keys?|private[_-]?keys?|secret[_-]access[_-]keys?|totp)$"
)
_PRIVATE_KEYS: Final = ("PRIVATE KEY-----", "AGE-SECRET-KEY-1")
_AUTH: Final = "auth"
_REFERENCES: Final = ("file", "secret")
_CERTIFICATE: Final = "certificate"  # public, and kept where a secret would be
_HOST_KEYS: Final = "host_keys"  # those of a service, each with a place in the list
_OPEN_FIELDS: Final = ("description", "recipients", "changed")


def is_secret(parts: Sequence[str]) -> bool:
    """Tell whether the value that ``parts`` lead to is a secret, or within one, going by the names of the keys."""
    return any(_SECRET_KEY.search(part) for part in parts)


def holds_secrets(parts: tuple[str, ...]) -> bool:
    """Tell whether ``parts`` lead to where secrets are named, so that one may stand there by mistake."""
    return _AUTH in parts[:2]


def find_plaintext(
    value: Mapping[str, Json], positions: Mapping[str, Position]
) -> Iterator[Problem]:
    """Give a problem for each secret in ``value``.

    A secret is a text or number under a key such as ``password``, or a private key anywhere. The one
    thing that may stand under such a key is a reference, ``{secret: NAME}`` or ``{file: NAME}``.
    """
    for parts, item in walk(dict(value)):
        if _is_plaintext(parts, item) and not _is_reference(parts, value):
            yield _plaintext(
                parts,
                positions,
                "take a new one: with `mftgit secret set NAME` and {secret: NAME}, "
                "or in a file of the member's secrets folder and {file: NAME}",
            )


def find_unsealed(
    value: Mapping[str, Json], positions: Mapping[str, Position]
) -> Iterator[Problem]:
    """Give a problem for each text in the document of a secret that is neither encrypted nor one of its open fields."""
    for parts, item in walk(dict(value)):
        sealed = parts == ("value",) and isinstance(item, str) and item.startswith(ARMOR)
        if _is_text(item) and not sealed and (parts[0] not in _OPEN_FIELDS or _is_key(item)):
            yield _plaintext(
                parts, positions, "take a new one, and encrypt it: mftgit secret set NAME"
            )


def _plaintext(parts: tuple[str, ...], positions: Mapping[str, Position], way_out: str) -> Problem:
    pointer = join_pointer(parts)
    return problem_at(
        positions[pointer],
        pointer,
        rule=RULE,
        message="a secret in plain text; whoever reads the repository knows it now, so change it",
        hint=way_out,
    )


def _is_plaintext(parts: tuple[str, ...], item: Json) -> bool:
    return _is_key(item) or (_is_text(item) and is_secret(parts))


def _is_text(item: Json) -> bool:
    """Tell whether ``item`` can be a secret: a text with something in it, or a number."""
    return bool(item) if isinstance(item, str) else type(item) in {int, float}


def _is_key(item: Json) -> bool:
    return isinstance(item, str) and any(mark in item for mark in _PRIVATE_KEYS)


def _is_reference(parts: tuple[str, ...], value: Mapping[str, Json]) -> bool:
    if parts[-1] not in _REFERENCES or is_secret(parts[:-2]) or not _takes_reference(parts[:-1]):
        return False
    at: Json = dict(value)
    for part in parts[:-1]:
        at = at[part] if isinstance(at, dict) else at[int(part)] if isinstance(at, list) else None
    return isinstance(at, dict) and len(at) == 1 and not _is_key(at[parts[-1]])


def _takes_reference(parts: tuple[str, ...]) -> bool:
    listed = len(parts) == 2 and parts[0] == _HOST_KEYS and parts[1].isdigit()  # noqa: PLR2004  a list of the document
    return is_secret(parts[-1:]) or parts[-1:] == (_CERTIFICATE,) or listed
