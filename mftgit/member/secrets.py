"""Decrypt the secrets that a generation needs, in memory, as part of its verification."""

from dataclasses import replace
from pathlib import Path

from loguru import logger

from mftgit.adapters.age import Identity, NotForUsError
from mftgit.errors import ConfigError
from mftgit.model.configuration.config import Generation
from mftgit.model.configuration.rendered import InvalidConfigError
from mftgit.model.documents.document import Kind
from mftgit.model.documents.problem import Problem, format_problem
from mftgit.model.names import SecretName
from mftgit.model.rules.parts import Part, Parts
from mftgit.model.secrets.document import Secret
from mftgit.model.secrets.needs import secrets_needed
from mftgit.model.secrets.value import SecretValue, unwrap


class Unsealer:
    """Decrypts with the key in ``age_key``; it remembers the values of the last generation. One thread calls."""

    def __init__(self, age_key: Path) -> None:
        self._age_key = age_key
        self._known: dict[tuple[str, str], SecretValue] = {}

    def unseal(self, generation: Generation, parts: Parts, *, fresh: bool) -> Generation:
        """Return ``generation``, which was rendered of ``parts``, with the values of its secrets.

        Those of locations of other members are left out where they cannot be decrypted: they are for deliveries that
        another member began. So is any of a generation that is not ``fresh``: what was run before starts without, and
        its runs tell what they lack.

        Raises:
            InvalidConfigError: it is ``fresh``, and a secret that this member needs cannot be decrypted.
        """
        needed = secrets_needed(generation)
        values: dict[SecretName, SecretValue] = {}
        known: dict[tuple[str, str], SecretValue] = {}
        problems = []
        for name, secret in generation.sealed.items():
            part = parts[Kind.SECRET][name]
            found = self._open(part, secret)
            if isinstance(found, SecretValue):
                values[name] = known[part.path, part.oid] = found
            elif name in needed:
                problems.append(found)
        if problems and fresh:
            raise InvalidConfigError(problems)
        for problem in problems:
            logger.error("a secret cannot be read", problem=format_problem(problem))
        self._known = known
        return replace(generation, secrets=values)

    def _open(self, part: Part, secret: Secret) -> SecretValue | Problem:
        """Return the value, or why there is none."""
        key = (part.path, part.oid)
        if key in self._known:
            return self._known[key]
        try:
            identity = Identity(self._age_key)
        except ConfigError as error:
            return _problem(part, str(error), "put the file back, or see docs/how-to/secrets.md")
        try:
            return unwrap(part.path, identity.decrypt(secret.value))
        except NotForUsError as error:
            named = next((each for each in identity.recipients if each in secret.recipients), None)
            why = (
                f"{named} is among the recipients, but the value is not encrypted to it ({error})"
                if named
                else f"it is not encrypted to {identity.recipients[0]}, the key of this member"
            )
            return _problem(
                part, why, "check age_recipient of this member, then: mftgit secret rekey"
            )
        except ValueError as error:
            return _problem(part, str(error), "set it anew: mftgit secret rotate NAME")


def _problem(part: Part, why: str, way_out: str) -> Problem:
    return part.problem(
        "/value",
        rule="secret",
        message=f"this member cannot read the secret {part.name!r}: {why}",
        hint=way_out,
    )
