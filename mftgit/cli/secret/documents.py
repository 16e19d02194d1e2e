"""The secrets of a clone's work tree: read, and written for those who need them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import click

from mftgit.adapters import age
from mftgit.adapters.clock import SystemClock
from mftgit.adapters.durable import replace_file
from mftgit.adapters.git.operator_clone import OperatorClone
from mftgit.cli.rules import make_validator
from mftgit.errors import ConfigError, MftgitError
from mftgit.model.documents.document import Kind
from mftgit.model.documents.problem import format_problems
from mftgit.model.names import SecretName
from mftgit.model.printable import printable
from mftgit.model.rules.parts import Part
from mftgit.model.rules.secret import names_of_recipients, recipients_of
from mftgit.model.rules.validate import Validation
from mftgit.model.secrets.document import MAX_RECIPIENTS, Secret, format_secret
from mftgit.model.secrets.value import SecretValue, wrap


class SecretError(MftgitError):
    """A secret cannot be read with the key at hand, or is not there, or is there already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """The work tree of a clone, and what validation found in it."""

    clone: OperatorClone
    validation: Validation

    def part(self, name: str) -> Part | None:
        """Return the document of a secret, as far as there is one."""
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


@contextmanager
def open_documents(path: Path) -> Iterator[Documents]:
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
        yield Documents(clone=clone, validation=validation)


def put(documents: Documents, path: str, made: Secret, value: SecretValue) -> None:
    """Write a secret, and say who can read it and what follows."""
    documents.write(path, made, value)
    tell_readers(documents, path, made.recipients)
    root = documents.clone.root
    click.echo(f"\n  git -C {root} add {path} && git -C {root} commit && git -C {root} push\n")


def tell_readers(documents: Documents, path: str, recipients: tuple[str, ...]) -> None:
    """Say to whom a secret is encrypted."""
    names = names_of_recipients(documents.validation.parts)
    click.echo(printable(f"{path} is encrypted to {', '.join(names[each] for each in recipients)}"))


def now() -> str:
    """Return the moment in the form of `Secret.changed`."""
    return f"{SystemClock().now():%Y-%m-%dT%H:%M:%SZ}"
