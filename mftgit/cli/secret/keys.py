"""With which key secrets are read, and what their values are made of."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from mftgit.adapters import age
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.secret.documents import SecretError
from mftgit.errors import ConfigError
from mftgit.model.rules.parts import Part
from mftgit.model.secrets.document import Secret
from mftgit.model.secrets.value import MAX_VALUE_BYTES, SecretValue, unwrap

_F = TypeVar("_F", bound=Callable[..., Any])


def key_options(function: _F) -> _F:
    """Take ``--identity FILE`` or ``--dir DIR``: with which key to read."""
    file = click.option(
        "--identity",
        "identity",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="A file with your own private key, as `mftgit secret keygen` makes it.",
    )
    folder = click.option(
        "--dir",
        "folder",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        metavar="DIR",
        help="Or a member's state folder, on its machine.",
    )
    return file(folder(function))


def read_key(identity: Path | None, folder: Path | None) -> age.Identity:
    """Return the key that is to be used; see `key_options`."""
    if identity is not None:
        return age.Identity(identity)
    if folder is not None:
        return age.Identity(StateFolder(folder).age_key)
    raise click.UsageError(
        "with which key? give --identity FILE, or --dir DIR of a member that can read it"
    )


def decrypt(key: age.Identity, part: Part, known: Secret) -> SecretValue:
    """Return the value of a secret; raises SecretError where ``key`` does not open it."""
    try:
        return unwrap(part.path, key.decrypt(known.value))
    except (age.NotForUsError, ValueError) as error:
        raise SecretError(f"{part.path} cannot be read with {key.recipients[0]}: {error}") from None


def read_value(name: str) -> SecretValue:
    """Read a value from the terminal without an echo, twice, or from standard input to its end."""
    if sys.stdin.isatty():
        return value_of(name, click.prompt(name, hide_input=True, confirmation_prompt=True))
    content = sys.stdin.buffer.read(MAX_VALUE_BYTES + 1)
    return value_of(name, content.decode("utf-8", "surrogateescape"))


def value_of(name: str, text: str) -> SecretValue:
    """Return ``text`` as the value of ``name``; raises ConfigError where it is none."""
    try:
        return SecretValue(text)
    except ValueError as error:
        raise ConfigError(f"the value of {name} is not taken: {error}") from None
