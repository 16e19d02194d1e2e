"""Whether a value that was sent as JSON is as its schema says."""

from collections.abc import Mapping
from typing import Any, Final

import referencing
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from mftgit.model.documents.json_value import join_pointer

_MAX_WORDS: Final = 300


class JsonFit:
    """Holds values against one schema, which is compiled once; threads may share it. No ``$ref`` is fetched."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Take the schema, draft 2020-12."""
        self._validator = Draft202012Validator(dict(schema), registry=referencing.Registry())

    def why_not(self, value: Any) -> str | None:
        """Return what of ``value`` does not fit, and where; None where all does."""
        error = best_match(self._validator.iter_errors(value))
        if error is None:
            return None
        pointer = join_pointer(tuple(str(part) for part in error.absolute_path))
        return f"{pointer or 'the body'}: {error.message[:_MAX_WORDS]}"
