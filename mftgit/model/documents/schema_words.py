"""Tell in plain words what a keyword of JSON Schema found wrong."""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mftgit.model.documents.plaintext import is_secret

_SHOWN_LENGTH: Final = 60
_PLAIN: Final = re.compile(r"[-+]?[0-9]+(\.[0-9]+)?|true|false")
"""What is a number, or true or false, once it is without quotes."""
_TYPES: Final = {
    "object": "a mapping",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """``instance``, which ``parts`` lead to, does not satisfy ``keyword: wanted`` of ``schema``.

    ``fields`` are the fields that the schema knows for this instance; only asked for unknown fields.
    ``is_hidden`` tells that the value may be a secret by its place, whatever its key is called.
    ``is_name`` tells that the instance is not a value but a key of the mapping that ``parts`` lead to.
    """

    parts: tuple[str, ...]
    keyword: str
    wanted: Any
    schema: Mapping[str, Any]
    instance: Any
    fields: frozenset[str] = frozenset()
    is_name: bool = False
    is_hidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a failure comes to for a person; ``at_key`` when the key is wrong and not its value."""

    parts: tuple[str, ...]
    rule: str
    message: str
    hint: str
    at_key: bool = False


def explain(failure: Failure) -> Iterator[Finding]:
    """Give what ``failure`` comes to; no text under a password-like key is ever part of it."""
    if failure.is_name:
        yield Finding(
            parts=(*failure.parts, failure.instance),
            rule="form",
            message=f"the name {show(failure.instance)} cannot be used here",
            hint=_describe(failure) or "choose another name",
            at_key=True,
        )
    else:
        yield from _EXPLAIN.get(failure.keyword, _explain_other)(failure)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question for the known word that is nearest to ``word``, or an empty text."""
    near = difflib.get_close_matches(word, sorted(known), n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def _describe(failure: Failure) -> str:
    description = failure.schema.get("description")
    return f"expected: {description}" if description else ""


def show(value: object) -> str:
    """Return ``value`` short enough for a message, on one line, with nothing that a terminal would act upon."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "nothing"}[value]
    text = repr(value)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}…"


def _found(failure: Failure) -> str:
    hidden = failure.is_hidden or is_secret(failure.parts)
    return "what it is now" if hidden else show(failure.instance)


def _explain_type(failure: Failure) -> Iterator[Finding]:
    wanted = [failure.wanted] if isinstance(failure.wanted, str) else failure.wanted
    hint = _describe(failure)
    if wanted == ["string"] and isinstance(failure.instance, bool | int | float):
        hint = "put it in quotes"
    words = " or ".join(_TYPES[name] for name in wanted)
    yield Finding(
        parts=failure.parts,
        rule="type",
        message=f"must be {words}, is {_found(failure)}",
        hint=hint or "change it",
    )


def _explain_pattern(failure: Failure) -> Iterator[Finding]:
    wanted = failure.schema.get("type", "string")
    if wanted == "string" or "string" not in wanted or len(wanted) > 2:  # noqa: PLR2004  one type, or a template
        message, hint = f"must not be {_found(failure)}", _describe(failure)
    else:
        message = f"must be {_TYPES[wanted[0]]}, is the text {_found(failure)}"
        way = "it without quotes" if _PLAIN.fullmatch(str(failure.instance)) else _TYPES[wanted[0]]
        hint = f'write {way}, or one template: "{{{{ variable }}}}"'
    yield Finding(parts=failure.parts, rule="form", message=message, hint=hint or "change it")


def _explain_choice(failure: Failure) -> Iterator[Finding]:
    choices = [failure.wanted] if failure.keyword == "const" else failure.wanted
    words = ", ".join(show(choice).strip("'") for choice in choices)
    near = did_you_mean(failure.instance, choices) if isinstance(failure.instance, str) else ""
    yield Finding(
        parts=failure.parts,
        rule="choice",
        message=f"must be {'one of ' if len(choices) > 1 else ''}{words}, is {_found(failure)}",
        hint=near or _describe(failure) or "choose one of them",
    )


def _explain_missing(failure: Failure) -> Iterator[Finding]:
    for name in failure.wanted:
        if name not in failure.instance:
            field = failure.schema.get("properties", {}).get(name, {})
            yield Finding(
                parts=failure.parts,
                rule="missing-field",
                message=f"the field {name!r} is missing",
                hint=f"add {name}: {field.get('description', 'it is required')}",
            )


def _explain_unknown(failure: Failure) -> Iterator[Finding]:
    schema, here, anywhere = failure.schema, failure.fields, set(_all_fields(failure.schema))
    branches = schema.get("allOf", [schema])
    deciding = ", ".join(branches[0].get("if", {}).get("properties", {}))
    for name in failure.instance:
        if name in here:
            continue
        if name in anywhere:
            message, hint = (
                f"the field {name!r} does not go with this {deciding}",
                f"remove it, or change {deciding}",
            )
        else:
            message = f"the field {show(name)} is not known"
            hint = did_you_mean(name, anywhere) or f"known here: {', '.join(sorted(here))}"
        yield Finding(
            parts=(*failure.parts, name),
            rule="unknown-field",
            message=message,
            hint=hint,
            at_key=True,
        )


def _all_fields(schema: Mapping[str, Any]) -> Iterator[str]:
    yield from schema.get("properties", {})
    for branch in ("then", "else"):
        if branch in schema:
            yield from _all_fields(schema[branch])
    for part in schema.get("allOf", ()):
        yield from _all_fields(part)


def _explain_range(failure: Failure) -> Iterator[Finding]:
    bound = "at least" if failure.keyword == "minimum" else "at most"
    yield Finding(
        parts=failure.parts,
        rule="range",
        message=f"must be {bound} {failure.wanted}, is {_found(failure)}",
        hint=_describe(failure) or "choose another number",
    )


def _explain_size(failure: Failure) -> Iterator[Finding]:
    unit = {"Items": "items", "Properties": "fields", "Length": "characters"}[failure.keyword[3:]]
    bound = "at least" if failure.keyword.startswith("min") else "at most"
    size = f"{bound} {failure.wanted} {unit if failure.wanted != 1 else unit[:-1]}"
    hint = _describe(failure) or "change it"
    if unit == "fields" and failure.schema.get("minProperties") == failure.schema.get(
        "maxProperties"
    ):
        names = ", ".join(failure.schema["properties"])
        size, hint = f"exactly {failure.wanted} of {names}", "have one of them and no other"
    yield Finding(
        parts=failure.parts,
        rule="size",
        message=f"must have {size}, has {len(failure.instance)}",
        hint=hint,
    )


def _explain_other(failure: Failure) -> Iterator[Finding]:
    # Only a schema that is not ours comes here; its own words could tell a secret.
    yield Finding(
        parts=failure.parts,
        rule="schema",
        message=f"does not satisfy {failure.keyword}",
        hint="see the schema",
    )


_EXPLAIN: Final[dict[str, Callable[[Failure], Iterator[Finding]]]] = {
    "type": _explain_type,
    "pattern": _explain_pattern,
    "enum": _explain_choice,
    "const": _explain_choice,
    "required": _explain_missing,
    "unevaluatedProperties": _explain_unknown,
    "minimum": _explain_range,
    "maximum": _explain_range,
    "minItems": _explain_size,
    "maxItems": _explain_size,
    "minProperties": _explain_size,
    "maxProperties": _explain_size,
    "minLength": _explain_size,
    "maxLength": _explain_size,
}
