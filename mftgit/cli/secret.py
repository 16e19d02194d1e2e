"""``mftgit secret``: passwords and private keys, encrypted in a person's clone."""

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from mftgit.adapters import age
from mftgit.adapters.clock import SystemClock, rfc3339
from mftgit.adapters.durable import replace_file
from mftgit.adapters.git_commit import LogEntry
from mftgit.adapters.operator_clone import OperatorClone
from mftgit.adapters.private_edit import edit as edit_privately
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.options import Name, json_option, path_argument, print_json
from mftgit.cli.rules import make_validator
from mftgit.errors import ConfigError, MftgitError
from mftgit.model.documents import Kind
from mftgit.model.names import SecretName
from mftgit.model.parts import Part, declared_members
from mftgit.model.printable import printable
from mftgit.model.problem import format_problems
from mftgit.model.secret_document import MAX_RECIPIENTS, Secret, format_secret
from mftgit.model.secret_rules import names_of_recipients, recipients_of
from mftgit.model.secret_value import MAX_VALUE_BYTES, SecretValue, unwrap, wrap
from mftgit.model.validate import Validation

NOT_AS_IT_SHOULD_BE = 1

_F = TypeVar("_F", bound=Callable[..., Any])


class SecretError(MftgitError):
    """A secret cannot be read with the key at hand, or is not there, or is there already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Documents:
    """The work tree of a clone, and what validation found in it."""

    clone: OperatorClone
    validation: Validation

    def part(self, name: str) -> Part | None:
        return self.validation.parts[Kind.SECRET].get(name)

    def secret(self, name: str) -> tuple[Part, Secret]:
        """Return a secret that is there; raises MftgitError."""
        part = self.part(name)
        if part is None:
            known = ", ".join(sorted(self.validation.parts[Kind.SECRET])) or "none"
            raise SecretError(
                f"there is no secret {name!r}: there is {known}; make it: mftgit secret set {name}"
            )
        built = part.checked.sound.built if part.checked.sound else None
        if not isinstance(built, Secret):
            raise ConfigError(
                f"{part.path} is not valid: see `mftgit validate`; to begin anew, remove it and set it"
            )
        return part, replace(built, name=SecretName(name))

    def recipients(self, name: str) -> tuple[str, ...]:
        """Return to whom the secret ``name`` is to be encrypted."""
        needing = self.validation.readers.get(SecretName(name), ())
        return recipients_of(self.validation.parts, needing)

    def write(self, path: str, secret: Secret, value: SecretValue) -> None:
        """Encrypt ``value`` to ``secret.recipients`` and write the document; raises MftgitError."""
        if not secret.recipients:
            raise ConfigError(
                f"nobody could read {path}: let what is used name it (mftgit secret --help), and its members have "
                "an age_recipient, or name somebody in cluster.yaml: age: {operators: {alice: age1…}}"
            )
        if len(secret.recipients) > MAX_RECIPIENTS:
            raise ConfigError(
                f"{path} would have {len(secret.recipients)} recipients; at most {MAX_RECIPIENTS} are taken: "
                "let fewer members run what needs it"
            )
        if path.endswith(".json"):
            raise ConfigError(f"{path} is not written: call it secrets/{secret.name}.yaml")
        sealed = age.encrypt(wrap(path, value), secret.recipients)
        file = self.clone.root / path
        try:
            file.parent.mkdir(exist_ok=True)
            replace_file(file, format_secret(replace(secret, value=sealed)).encode())
        except OSError as error:
            raise MftgitError(f"{file}: cannot be written: {error.strerror}") from error


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


@secret.command(
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
    with _documents(path) as documents:
        if documents.part(name) is not None:
            raise SecretError(f"there is a secret {name!r} already: mftgit secret rotate {name}")
        value = _read_value(name)
        made = Secret(name=name, recipients=documents.recipients(name), changed=_now(), value="")
        _put(documents, f"secrets/{name}.yaml", made, value)


@secret.command(
    epilog="""\b
Example:
  mftgit secret rotate partner-password config
"""
)
@click.argument("name", type=Name())
@path_argument
def rotate(name: SecretName, path: Path) -> None:
    """Give the secret NAME another value, read as by `set`, and note the date; needs no key."""
    with _documents(path) as documents:
        part, known = documents.secret(name)
        value = _read_value(name)
        _put(
            documents,
            part.path,
            replace(known, recipients=documents.recipients(name), changed=_now()),
            value,
        )


@secret.command(
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
    key = _key(identity, folder)
    with _documents(path) as documents:
        part, known = documents.secret(name)
        before = _decrypt(key, part, known).reveal()
        after = edit_privately(before, _editor())
        if not before.endswith("\n"):
            after = after.removesuffix("\n")  # editors add one
        if after == before:
            click.echo(f"{part.path} is as it was.")
            return
        _put(
            documents,
            part.path,
            replace(known, recipients=documents.recipients(name), changed=_now()),
            _value(name, after),
        )


@secret.command(
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
    key = _key(identity, folder)
    failed = []
    with _documents(path) as documents:
        for name in sorted(documents.validation.parts[Kind.SECRET]):
            try:
                _rekey(documents, key, name, every=every)
            except MftgitError as error:
                failed.append(str(error))
    if failed:
        raise SecretError("not encrypted anew:\n" + "\n".join(f"  {each}" for each in failed))
    click.echo(f"\n{path}: every secret is encrypted to those who need it.")


def _rekey(documents: _Documents, key: age.Identity, name: str, *, every: bool) -> None:
    part, known = documents.secret(name)
    wanted = documents.recipients(name)
    if not wanted and SecretName(name) not in documents.validation.readers:
        click.echo(f"{part.path} is left as it is: nothing names it, and there is no operator")
    elif every or set(wanted) != set(known.recipients) or part.checked.problems:
        value = _decrypt(key, part, known)
        documents.write(part.path, replace(known, recipients=wanted), value)
        _tell_readers(documents, part.path, wanted)


@secret.command(
    epilog="""\b
Examples:
  mftgit secret audit
  mftgit secret audit config --json
"""
)
@path_argument
@json_option
def audit(path: Path, as_json: bool) -> int:
    """List who can read each secret in PATH, who should, and when it was changed; exits with 1 where these differ."""
    with _documents(path) as documents:
        parts = documents.validation.parts[Kind.SECRET]
        rows = [_row_or_error(documents, name, parts[name]) for name in sorted(parts)]
    if as_json:
        print_json({"secrets": rows})
    else:
        for row in rows:
            _tell_row(row)
    wrong = any(
        "error" in row or row["missing"] or not all(each["needed"] for each in row["readers"])
        for row in rows
    )
    return NOT_AS_IT_SHOULD_BE if wrong else 0


def _row_or_error(documents: _Documents, name: str, part: Part) -> dict[str, Any]:
    try:
        return _row(documents, name)
    except MftgitError as error:
        return {"name": name, "file": part.path, "error": str(error)}


def _row(documents: _Documents, name: str) -> dict[str, Any]:
    part, known = documents.secret(name)
    names = names_of_recipients(documents.validation.parts)
    wanted = documents.recipients(name)
    needing = documents.validation.readers.get(SecretName(name), ())
    members = declared_members(documents.validation.parts)
    keyless = [
        f"member {each}"
        for each in needing
        if each not in members or members[each].age_recipient is None
    ]
    last = documents.clone.last_change(part.path)
    return {
        "name": name,
        "file": part.path,
        "used": SecretName(name) in documents.validation.readers,
        "changed": known.changed,
        "commit": last and _commit(last),
        "readers": [
            {"recipient": each, "who": names.get(each), "needed": each in wanted}
            for each in known.recipients
        ],
        "missing": [*(names[each] for each in wanted if each not in known.recipients), *keyless],
    }


def _commit(entry: LogEntry) -> dict[str, str]:
    return {"revision": entry.revision, "at": rfc3339(entry.at), "author": entry.author}


def _tell_row(row: dict[str, Any]) -> None:
    if "error" in row:
        click.secho(printable(f"{row['name']}: {row['error']}"), fg="red")
        return
    commit = row["commit"]
    by = (
        f"last commit {commit['revision'][:12]} by {commit['author']}"
        if commit
        else "not committed"
    )
    click.echo(printable(f"{row['name']}: changed {row['changed']}, {by}"))
    if not row["used"]:
        click.echo("  nothing names it")
    for reader in row["readers"]:
        who = reader["who"] or f"{reader['recipient']}, whom no document names"
        needs = "" if reader["needed"] else "  (does not need it: rekey, and rotate)"
        click.echo(f"  read by {who}{needs}")
    for who in row["missing"]:
        click.secho(f"  cannot be read by {who}, who needs it: rekey", fg="red")


@contextmanager
def _documents(path: Path) -> Iterator[_Documents]:
    """Read the clone's work tree; cluster and members have to be valid, for they say to whom to encrypt."""
    with OperatorClone(path) as clone:
        if clone.bare:
            raise ConfigError(f"{path} has no work tree: secrets are written in a clone")
        validation = make_validator().validate(clone.documents())
        wrong = [
            each
            for each in validation.problems
            if each.rule != "secret" and each.file.startswith(("cluster.", "members/"))
        ]
        if wrong:
            raise ConfigError(f"who may read is not clear:\n{format_problems(wrong)}")
        yield _Documents(clone=clone, validation=validation)


def _key(identity: Path | None, folder: Path | None) -> age.Identity:
    if identity is not None:
        return age.Identity(identity)
    if folder is not None:
        return age.Identity(StateFolder(folder).age_key)
    raise click.UsageError(
        "with which key? give --identity FILE, or --dir DIR of a member that can read it"
    )


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


def _decrypt(key: age.Identity, part: Part, known: Secret) -> SecretValue:
    try:
        return unwrap(part.path, key.decrypt(known.value))
    except (age.NotForUsError, ValueError) as error:
        raise SecretError(f"{part.path} cannot be read with {key.recipients[0]}: {error}") from None


def _read_value(name: str) -> SecretValue:
    """Read a value from the terminal without an echo, twice, or from standard input to its end."""
    if sys.stdin.isatty():
        return _value(name, click.prompt(name, hide_input=True, confirmation_prompt=True))
    content = sys.stdin.buffer.read(MAX_VALUE_BYTES + 1)
    return _value(name, content.decode("utf-8", "surrogateescape"))


def _value(name: str, text: str) -> SecretValue:
    try:
        return SecretValue(text)
    except ValueError as error:
        raise ConfigError(f"the value of {name} is not taken: {error}") from None


def _put(documents: _Documents, path: str, made: Secret, value: SecretValue) -> None:
    documents.write(path, made, value)
    _tell_readers(documents, path, made.recipients)
    root = documents.clone.root
    click.echo(f"\n  git -C {root} add {path} && git -C {root} commit && git -C {root} push\n")


def _tell_readers(documents: _Documents, path: str, recipients: tuple[str, ...]) -> None:
    names = names_of_recipients(documents.validation.parts)
    click.echo(printable(f"{path} is encrypted to {', '.join(names[each] for each in recipients)}"))


def _now() -> str:
    return f"{SystemClock().now():%Y-%m-%dT%H:%M:%SZ}"
