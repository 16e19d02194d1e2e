"""Documents of secrets, encrypted with the real age."""

from dataclasses import dataclass
from pathlib import Path

from mftgit.adapters import age
from mftgit.model.names import SecretName
from mftgit.model.secrets.document import Secret, format_secret
from mftgit.model.secrets.value import SecretValue, wrap

CHANGED = "2026-11-24T15:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A private key in a file, and its public half."""

    path: Path
    public: str


def make_key(folder: Path, name: str) -> Key:
    path = folder / f"{name}.age.key"
    return Key(path=path, public=age.make_identity(path))


def sealed(
    name: str,
    value: str,
    *readers: Key,
    path: str | None = None,
    recorded: tuple[Key, ...] | None = None,
    changed: str = CHANGED,
) -> str:
    """Return the document of a secret: encrypted for ``path``, and said to be encrypted to ``recorded``."""
    content = wrap(path or f"secrets/{name}.yaml", SecretValue(value))
    return format_secret(
        Secret(
            name=SecretName(name),
            recipients=tuple(each.public for each in recorded or readers),
            changed=changed,
            value=age.encrypt(content, [each.public for each in readers]),
        )
    )
