"""A form for a document, made from its schema: what each field is, and what comes of what somebody filled in.

What has no field of its own kind is a piece of YAML in the form, so that nothing of a document is out of reach.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, unique
from typing import Any, Final

from mftgit.model.documents.document import read_document
from mftgit.model.documents.json_value import Json, join_pointer
from mftgit.model.documents.sample_text import write_inline, write_yaml

MAX_DEPTH: Final = 6
_SCALARS: Final = frozenset({"string", "number", "integer", "boolean"})
_MISSING: Final = object()


@unique
class FieldKind(Enum):
    """How a field is shown. ONE_OF: exactly one of its parts is there, and which is chosen."""

    TEXT = "text"
    NUMBER = "number"
    CHOICE = "choice"
    LINES = "lines"
    YAML = "yaml"
    GROUP = "group"
    ONE_OF = "one-of"


@dataclass(frozen=True, slots=True, kw_only=True)
class FormField:
    """One field; ``pointer`` is its place in the document and its name in the form.

    ``text`` is what it holds now, ``default`` what counts where it is left empty, ``chosen`` the part of a ONE_OF.
    """

    pointer: str
    label: str
    kind: FieldKind
    text: str = ""
    help: str = ""
    default: str = ""
    options: tuple[str, ...] = ()
    required: bool = False
    chosen: str = ""
    parts: tuple["FormField", ...] = ()

    @property
    def is_filled(self) -> bool:
        """Tell whether the document says anything of it."""
        return bool(self.text or self.chosen) or any(part.is_filled for part in self.parts)


class FormError(Exception):
    """What was filled in cannot be meant; ``pointer`` is the field."""

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(f"{pointer}: {message}")
        self.pointer = pointer


class SchemaForm:
    """Forms for documents of one schema."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        self._defs: Mapping[str, Any] = schema.get("$defs", {})

    def fields(self, value: Mapping[str, Json]) -> tuple[FormField, ...]:
        """Return the fields of a document that says ``value``."""
        return tuple(self._parts(self._schema, dict(value), (), 0))

    def filled(self, value: Mapping[str, Json], said: Mapping[str, str]) -> dict[str, Json]:
        """Return what a document becomes that said ``value``, by the fields that somebody filled in otherwise.

        Raises:
            FormError: one of them cannot be read.
        """
        result: dict[str, Json] = json.loads(json.dumps(value))
        self._fill(self.fields(value), result, said)
        return result

    # What there is

    def _parts(
        self, schema: Mapping[str, Any], value: Json, path: tuple[str, ...], depth: int
    ) -> Iterator[FormField]:
        held = value if isinstance(value, dict) else {}
        whole = self._by_conditions(schema, held)
        for name, each in whole.get("properties", {}).items():
            required = name in whole.get("required", ())
            yield self._field(each, held.get(name, _MISSING), (*path, name), depth, required)
        known = whole.get("properties", {})
        for name, item in held.items():
            if name not in known:
                yield self._field({}, item, (*path, name), depth, required=False)

    def _field(
        self,
        schema: Mapping[str, Any],
        value: Any,
        path: tuple[str, ...],
        depth: int,
        required: bool,  # noqa: FBT001
    ) -> FormField:
        schema = self._resolved(schema)
        kind = self._kind(schema, value, depth)
        parts = (
            tuple(self._parts(schema, value, path, depth + 1))
            if kind in {FieldKind.GROUP, FieldKind.ONE_OF}
            else ()
        )
        default = schema.get("default", _MISSING)
        return FormField(
            pointer=join_pointer(path),
            label=path[-1],
            kind=kind,
            text="" if value is _MISSING or parts else _text(kind, value),
            help=schema.get("description", ""),
            default="" if default is _MISSING else write_inline(default),
            options=_options(schema, value) if kind is FieldKind.CHOICE else (),
            required=required,
            chosen=next(iter(value), "") if isinstance(value, dict) else "",
            parts=parts,
        )

    def _kind(self, schema: Mapping[str, Any], value: Any, depth: int) -> FieldKind:
        types = _types(schema)
        is_object = types == {"object"} and (value is _MISSING or isinstance(value, dict))
        if is_object and schema.get("properties") and depth < MAX_DEPTH:
            return FieldKind.ONE_OF if schema.get("maxProperties") == 1 else FieldKind.GROUP
        if value is not _MISSING and isinstance(value, dict | list):
            return FieldKind.LINES if self._is_lines(schema, value) else FieldKind.YAML
        if "array" in types and self._is_lines(schema, []):
            return FieldKind.LINES
        if not types or not types <= _SCALARS or (isinstance(value, str) and "\n" in value):
            return FieldKind.YAML
        if _enum(schema) or "boolean" in types:
            return FieldKind.CHOICE
        return FieldKind.NUMBER if types & {"number", "integer"} else FieldKind.TEXT

    def _is_lines(self, schema: Mapping[str, Any], value: Any) -> bool:
        """Tell whether a list holds plain words only, and may, so that each is a line."""
        items = self._resolved(schema.get("items", {}))
        plain = isinstance(value, list) and all(
            isinstance(each, str) and each.strip() == each and each and "\n" not in each
            for each in value
        )
        return plain and "string" in _types(items) and _types(schema) == {"array"}

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            name = schema["$ref"].removeprefix("#/$defs/")
            rest = {key: each for key, each in schema.items() if key != "$ref"}
            schema = {**self._defs.get(name, {}), **rest}
        return schema

    def _by_conditions(
        self, schema: Mapping[str, Any], value: Mapping[str, Json]
    ) -> Mapping[str, Any]:
        """Return ``schema`` with what its conditions add for ``value``."""
        found = {
            key: each for key, each in schema.items() if key not in {"if", "then", "else", "allOf"}
        }
        branches = [*schema.get("allOf", ()), *([schema] if "if" in schema else ())]
        for each in branches:
            side = each.get("then" if _holds(each.get("if", {}), value) else "else")
            if side is None:
                continue
            more = self._by_conditions(self._resolved(side), value)
            found["properties"] = {**found.get("properties", {}), **more.get("properties", {})}
            found["required"] = [*found.get("required", ()), *more.get("required", ())]
        return found

    # What was filled in

    def _fill(
        self, fields: Sequence[FormField], into: dict[str, Json], said: Mapping[str, str]
    ) -> None:
        for each in fields:
            if each.kind is FieldKind.GROUP:
                self._fill_group(each, each.parts, into, said)
            elif each.kind is FieldKind.ONE_OF:
                self._fill_one(each, into, said)
            elif (text := said.get(each.pointer)) is not None and _plain(text) != each.text:
                value = self._read(each, _plain(text))
                if value is _MISSING:
                    into.pop(each.label, None)
                else:
                    into[each.label] = value

    def _fill_group(
        self,
        field: FormField,
        parts: Sequence[FormField],
        into: dict[str, Json],
        said: Mapping[str, str],
    ) -> None:
        held = into.get(field.label)
        inside: dict[str, Json] = dict(held) if isinstance(held, dict) else {}
        self._fill(parts, inside, said)
        if inside or held == {}:
            into[field.label] = inside
        else:
            into.pop(field.label, None)

    def _fill_one(self, field: FormField, into: dict[str, Json], said: Mapping[str, str]) -> None:
        chosen = said.get(field.pointer, field.chosen)
        if chosen not in {each.label for each in field.parts}:
            if chosen == "":
                into.pop(field.label, None)
            return
        held = into.get(field.label)
        inside: dict[str, Json] = {
            key: each
            for key, each in (held.items() if isinstance(held, dict) else ())
            if key == chosen
        }
        self._fill([each for each in field.parts if each.label == chosen], inside, said)
        inside.setdefault(chosen, {})
        into[field.label] = inside

    def _read(self, field: FormField, text: str) -> Any:
        """Return the value that ``text`` stands for, `_MISSING` where the field was emptied."""
        if not text.strip():
            return _MISSING
        if field.kind is FieldKind.LINES:
            return [line.strip() for line in text.split("\n") if line.strip()]
        if field.kind is FieldKind.TEXT:
            return text
        if field.kind is FieldKind.NUMBER:
            return _number(field, text.strip())
        if field.kind is FieldKind.CHOICE and text not in {"true", "false"}:
            return text
        return _yaml(field, text)


def _types(schema: Mapping[str, Any]) -> frozenset[str]:
    found = schema.get("type")
    if found is None:
        return frozenset({"string"}) if _enum(schema) else frozenset()
    return frozenset([found] if isinstance(found, str) else found)


def _enum(schema: Mapping[str, Any]) -> Sequence[Any]:
    """Return what may be chosen: named by the schema, or where it is no template."""
    for each in (schema, schema.get("else", {})):
        if "enum" in each:
            found: Sequence[Any] = each["enum"]
            return found
    return ()


def _options(schema: Mapping[str, Any], value: Any) -> tuple[str, ...]:
    named = [str(each) for each in _enum(schema)] or ["true", "false"]
    held = [] if value is _MISSING else [_text(FieldKind.CHOICE, value)]
    return tuple(dict.fromkeys([*named, *held]))


def _text(kind: FieldKind, value: Any) -> str:
    if kind is FieldKind.LINES:
        return "\n".join(value)
    if kind is FieldKind.YAML:
        return write_yaml(value).removesuffix("\n").removesuffix("\n...")
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").removesuffix("\n")


def _number(field: FormField, text: str) -> Json:
    if "{{" in text:
        return text
    value = _yaml(field, text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FormError(field.pointer, f"{text[:100]!r} is no number")
    return value


def _yaml(field: FormField, text: str) -> Json:
    indented = "\n".join(f"  {line}" for line in text.split("\n"))
    reading = read_document(f"value:\n{indented}\n".encode("utf-8", "replace"), json=False)
    if reading.document is None or reading.document.value.keys() != {"value"}:
        why = reading.problems[0].message if reading.problems else "it is no single value"
        raise FormError(field.pointer, f"this piece of YAML cannot be read: {why}")
    value = reading.document.value["value"]
    if value is None and text.strip() not in {"null", "~"}:
        raise FormError(field.pointer, "this piece of YAML says nothing")
    return value


def _holds(condition: Mapping[str, Any], value: Mapping[str, Json]) -> bool:
    """Tell whether a condition of the schemas holds: what fields are there, and what they say."""
    if any(name not in value for name in condition.get("required", ())):
        return False
    for name, each in condition.get("properties", {}).items():
        if name in value and not _fits(each, value[name]):
            return False
    return True


def _fits(wanted: Mapping[str, Any], value: Json) -> bool:
    if "const" in wanted and wanted["const"] != value:
        return False
    return "enum" not in wanted or value in wanted["enum"]
