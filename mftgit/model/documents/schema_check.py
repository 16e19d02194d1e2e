"""Hold a document against its schema."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

import referencing
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from mftgit.model.documents.compose import MAX_PROBLEMS_PER_FILE
from mftgit.model.documents.document import problem_at
from mftgit.model.documents.json_value import Json, Position, join_pointer
from mftgit.model.documents.plaintext import holds_secrets
from mftgit.model.documents.problem import Problem
from mftgit.model.documents.schema_words import Failure, Finding, explain


class SchemaChecker:
    """Checks documents of one kind. The schema is compiled once; threads may share it."""

    def __init__(self, schema: Mapping[str, Any], *, is_hidden: bool = False) -> None:
        """Take a schema; ``is_hidden`` keeps every value out of what is told."""
        self._is_hidden = is_hidden
        # The empty registry: a $ref to another document is an error and never goes to the network.
        self._validator = Draft202012Validator(dict(schema), registry=referencing.Registry())

    def check(self, value: Mapping[str, Json], positions: Mapping[str, Position]) -> list[Problem]:
        """Return what does not fit, without a file name, at most `MAX_PROBLEMS_PER_FILE`.

        ``positions`` are those of the document that ``value`` was made from.
        """
        errors = self._validator.iter_errors(value)
        found = (finding for error in errors for finding in explain(self._failure(error)))
        # A mapping without two fields gives the same two findings twice.
        findings = dict.fromkeys(islice(found, MAX_PROBLEMS_PER_FILE))
        return [_locate(finding, positions) for finding in findings]

    def _failure(self, error: ValidationError) -> Failure:
        schema = error.schema if isinstance(error.schema, Mapping) else {}
        parts = tuple(str(part) for part in error.absolute_path)
        is_closed = error.validator == "unevaluatedProperties"
        return Failure(
            parts=parts,
            keyword=str(error.validator),
            wanted=error.validator_value,
            schema=schema,
            instance=error.instance,
            fields=frozenset(self._fields(schema, error.instance)) if is_closed else frozenset(),
            is_name="propertyNames" in error.absolute_schema_path,
            is_hidden=self._is_hidden or holds_secrets(parts),
        )

    def _fields(self, schema: Mapping[str, Any], instance: object) -> set[str]:
        """Return the fields that ``schema`` knows for ``instance``, going by the branch that it takes."""
        names = set(schema.get("properties", {}))
        if "if" in schema:
            taken = self._validator.evolve(schema=schema["if"]).is_valid(instance)
            names |= self._fields(schema.get("then" if taken else "else", {}), instance)
        for part in schema.get("allOf", ()):
            names |= self._fields(part, instance)
        return names


def _locate(finding: Finding, positions: Mapping[str, Position]) -> Problem:
    pointer = join_pointer(finding.parts)
    return problem_at(
        positions[pointer],
        pointer,
        rule=finding.rule,
        message=finding.message,
        hint=finding.hint,
        at_key=finding.at_key,
    )
