"""``mftgit account``: what accounts log in with, as it is kept in secrets."""

import sys

import click

from mftgit.adapters.passwords import MAX_PASSWORD_BYTES, hash_password, make_code_key
from mftgit.cli.app_link import echo_app_link
from mftgit.cli.options import Name, json_option, print_json
from mftgit.errors import ConfigError
from mftgit.model.inbound.totp import key_uri
from mftgit.model.names import AccountName


@click.group()
def account() -> None:
    """Make what an account in accounts/NAME.yaml logs in with; it is kept by `mftgit secret`.

    \b
    The account names where it lies:
      login: {password: {secret: alice-hash}, totp: {secret: alice-totp}}
    """  # noqa: D301  click's mark for a paragraph that is left as it is


@account.command(
    "hash-password",
    epilog="""\b
Examples:
  mftgit account hash-password
  mftgit account hash-password | mftgit secret set alice-hash config
""",
)
@json_option
def hash_password_(as_json: bool) -> None:
    """Print the argon2id hash of a password that is typed, without an echo, or comes by standard input."""
    hashed = hash_password(_read_password())
    if as_json:
        print_json({"hash": hashed})
    else:
        click.echo(hashed)


@account.command(
    epilog="""\b
Examples:
  mftgit account totp alice
  mftgit account totp alice --issuer "Acme Bank" | mftgit secret set alice-totp config
"""
)
@click.argument("name", type=Name())
@click.option(
    "--issuer",
    default="mftgit",
    show_default=True,
    metavar="TEXT",
    help="Whose account it is, as the app shows it.",
)
@json_option
def totp(name: AccountName, issuer: str, as_json: bool) -> None:
    """Make a key of one-time codes (RFC 6238) for the account NAME, and print it in base32.

    The link for an authenticator app, on a terminal with a QR code of it, goes to standard error, so that a pipe takes
    the key alone. All of it is secret.
    """
    key = make_code_key()
    uri = key_uri(key, account=name, issuer=issuer)
    if as_json:
        print_json({"account": name, "key": key, "uri": uri})
        return
    click.echo(key)
    click.echo(f"\nFor the app of {name}, as a link, and on a terminal as a QR code:", err=True)
    echo_app_link(uri, err=True)


def _read_password() -> str:
    """Read a password from the terminal without an echo, twice, or the one line of standard input."""
    if sys.stdin.isatty():
        password = str(
            click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        )
    else:
        content = sys.stdin.buffer.read(MAX_PASSWORD_BYTES + 2)
        try:
            password = content.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise ConfigError("the password is not taken: it is not UTF-8") from None
    if wrong := _wrong(password):
        raise ConfigError(f"the password is not taken: {wrong}")
    return password


def _wrong(password: str) -> str | None:
    if not password:
        return "it is empty"
    if not password.isprintable():
        return "it holds a line break or a control character: give one line"
    if len(password.encode("utf-8", "surrogateescape")) > MAX_PASSWORD_BYTES:
        return f"it has more than {MAX_PASSWORD_BYTES:,} bytes"
    return None
