"""Find secrets that stand in a document in plain text; what is found is never told, only where."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from mftgit.model.documents import problem_at
from mftgit.model.json_value import Json, Position, join_pointer, walk
from mftgit.model.problem import Problem

RULE: Final = "plaintext-secret"

# The last word of a key decides: partner_password is one, password_file is not.
_SECRET_KEY = re.compile(
    r"(?:^|[_-]|(?<=[a-z])(?=[A-Z]))"
    r"(?i:passwords?|passwd|pwd|pass[_-]?phrases?|secrets?|tokens?|api[_-]?keys?|private[_-]?keys?)$"
)
_PRIVATE_KEY = "PRIVATE KEY-----"


def is_secret(parts: Sequence[str]) -> bool:
    """Tell whether the value that ``parts`` lead to is a secret, or within one, going by the names of the keys."""
    return any(_SECRET_KEY.search(part) for part in parts)


def find_plaintext(
    value: Mapping[str, Json], positions: Mapping[str, Position]
) -> Iterator[Problem]:
    """Give a problem for each secret in ``value``.

    A secret is a text or number under a key such as ``password``, or a private key anywhere. The one
    thing that may stand under such a key is a reference, ``{file: NAME}``.
    """
    for parts, item in walk(dict(value)):
        if _is_plaintext(parts, item) and not _is_reference(parts, value):
            pointer = join_pointer(parts)
            yield problem_at(
                positions[pointer],
                pointer,
                rule=RULE,
                message="a secret in plain text; whoever reads the repository knows it now, so change it",
                hint="put the new one into a file of the member's secrets folder and name that: {file: NAME}",
            )


def _is_plaintext(parts: tuple[str, ...], item: Json) -> bool:
    if isinstance(item, str):
        return bool(item) and (is_secret(parts) or _PRIVATE_KEY in item)
    return isinstance(item, int | float) and not isinstance(item, bool) and is_secret(parts)


def _is_reference(parts: tuple[str, ...], value: Mapping[str, Json]) -> bool:
    if parts[-1] != "file" or is_secret(parts[:-2]):
        return False
    at: Json = dict(value)
    for part in parts[:-1]:
        at = at[part] if isinstance(at, dict) else at[int(part)] if isinstance(at, list) else None
    return isinstance(at, dict) and len(at) == 1 and _PRIVATE_KEY not in str(at["file"])
