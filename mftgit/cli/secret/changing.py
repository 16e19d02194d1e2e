"""Secrets are made, changed, and encrypted to others: ``set``, ``rotate``, ``edit`` and ``rekey``."""

import os
import shlex
from dataclasses import replace
from pathlib import Path

import click

from mftgit.adapters import age
from mftgit.adapters.private_edit import edit as edit_privately
from mftgit.cli.options import Name, path_argument
from mftgit.cli.secret.documents import (
    Documents,
    SecretError,
    now,
    open_documents,
    put,
    tell_readers,
)
from mftgit.cli.secret.keys import decrypt, key_options, read_key, read_value, value_of
from mftgit.errors import ConfigError, MftgitError
from mftgit.model.documents.document import Kind
from mftgit.model.names import SecretName
from mftgit.model.secrets.document import Secret


@click.command(
    "set",
    epilog="""\b
Examples:
  mftgit secret set partner-password config
  mftgit secret set partner-key config < ~/.ssh/partner
""",
)
@click.argument("name", type=Name())
@path_argument
def set_(name: SecretName, path: Path) -> None:
    """Make the secret NAME in PATH/secrets, of what is typed, without an echo, or comes by standard input.

    It is encrypted to each member that runs a transfer or service which names it, or a transfer with a location or a
    service with an account that does, and to the operators that cluster.yaml names.
    """
    with open_documents(path) as documents:
        if documents.part(name) is not None:
            raise SecretError(f"there is a secret {name!r} already: mftgit secret rotate {name}")
        value = read_value(name)
        made = Secret(name=name, recipients=documents.recipients(name), changed=now(), value="")
        put(documents, f"secrets/{name}.yaml", made, value)


@click.command(
    epilog="""\b
Example:
  mftgit secret rotate partner-password config
"""
)
@click.argument("name", type=Name())
@path_argument
def rotate(name: SecretName, path: Path) -> None:
    """Give the secret NAME another value, read as by `set`, and note the date; needs no key."""
    with open_documents(path) as documents:
        part, known = documents.secret(name)
        value = read_value(name)
        put(
            documents,
            part.path,
            replace(known, recipients=documents.recipients(name), changed=now()),
            value,
        )


@click.command(
    epilog="""\b
Example:
  mftgit secret edit partner-password config --identity ~/.config/mftgit/age.key
"""
)
@click.argument("name", type=Name())
@path_argument
@key_options
def edit(name: SecretName, path: Path, identity: Path | None, folder: Path | None) -> None:
    """Change the secret NAME in your editor ($VISUAL, $EDITOR or vi), in a file in memory that is wiped after."""
    key = read_key(identity, folder)
    with open_documents(path) as documents:
        part, known = documents.secret(name)
        before = decrypt(key, part, known).reveal()
        after = edit_privately(before, _editor())
        if not before.endswith("\n"):
            after = after.removesuffix("\n")  # editors add one
        if after == before:
            click.echo(f"{part.path} is as it was.")
            return
        put(
            documents,
            part.path,
            replace(known, recipients=documents.recipients(name), changed=now()),
            value_of(name, after),
        )


@click.command(
    epilog="""\b
Examples:
  mftgit secret rekey config --identity ~/.config/mftgit/age.key
  mftgit secret rekey config --dir /var/lib/mftgit
"""
)
@path_argument
@key_options
@click.option("--all", "every", is_flag=True, help="Also those whose recipients are right already.")
def rekey(path: Path, identity: Path | None, folder: Path | None, every: bool) -> None:
    """Encrypt the secrets in PATH to those who need them now; their values and dates stay as they are.

    Who left can still read what was encrypted before: rotate it.
    """
    key = read_key(identity, folder)
    failed = []
    with open_documents(path) as documents:
        for name in sorted(documents.validation.parts[Kind.SECRET]):
            try:
                _rekey(documents, key, name, every=every)
            except MftgitError as error:
                failed.append(str(error))
    if failed:
        raise SecretError("not encrypted anew:\n" + "\n".join(f"  {each}" for each in failed))
    click.echo(f"\n{path}: every secret is encrypted to those who need it.")


def _rekey(documents: Documents, key: age.Identity, name: str, *, every: bool) -> None:
    part, known = documents.secret(name)
    wanted = documents.recipients(name)
    if not wanted and SecretName(name) not in documents.validation.readers:
        click.echo(f"{part.path} is left as it is: nothing names it, and there is no operator")
    elif every or set(wanted) != set(known.recipients) or part.checked.problems:
        value = decrypt(key, part, known)
        documents.write(part.path, replace(known, recipients=wanted), value)
        tell_readers(documents, part.path, wanted)


def _editor() -> list[str]:
    found = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        words = shlex.split(found)
    except ValueError as error:
        raise ConfigError(
            f"the editor {found!r} cannot be read: {error}: set EDITOR anew"
        ) from None
    if not words:
        raise ConfigError(f"the editor {found!r} names no program: set EDITOR, as in EDITOR=vi")
    return words
