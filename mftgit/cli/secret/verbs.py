"""The verbs of ``mftgit secret``, and the key of a person who reads secrets."""

from pathlib import Path

import click

from mftgit.adapters import age
from mftgit.cli.secret.audit import audit
from mftgit.cli.secret.changing import edit, rekey, rotate, set_
from mftgit.cli.secret.documents import SecretError
from mftgit.errors import ConfigError


@click.group()
def secret() -> None:
    """Keep passwords and private keys in a clone, encrypted to those who need them; they count once they are pushed.

    \b
    A location names one, or the content of a transfer, a service, or an account:
      auth:
        - password: {secret: partner-password}
    """  # noqa: D301  click's mark for a paragraph that is left as it is


@secret.command(
    epilog="""\b
Example:
  mftgit secret keygen ~/.config/mftgit/age.key
"""
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def keygen(file: Path) -> None:
    """Make a private key of age in FILE, for a person who shall read secrets, and print its public half."""
    if file.exists():
        raise SecretError(f"{file} is there already: choose another name")
    try:
        public = age.make_identity(file)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror}") from error
    click.echo(
        f"Write into cluster.yaml, then `mftgit secret rekey`:\n\n  age: {{operators: {{NAME: {public}}}}}"
    )


for _each in (set_, rotate, edit, rekey, audit):
    secret.add_command(_each)
