"""The description of the API (OpenAPI 3.1), made from its doors."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from mftgit import __version__
from mftgit.controller.web.doors import ApiDoor, Schema, StreamDoor
from mftgit.model.access import OperatorRole
from mftgit.resources import load_schema

Call = ApiDoor | StreamDoor

PATH: Final = "/api/v1/openapi.json"
_PARAMETER: Final = re.compile(r"\{(\w+)(?::\w+)?\}")
_ERROR: Final = {
    "type": "object",
    "properties": {"error": {"type": "string", "description": "What was found, and the way out"}},
    "required": ["error"],
}
_REFUSALS: Final = {
    "400": "The request is not as described",
    "401": "Log in first",
    "403": "Your role is not enough, or the request is from another site's page",
    "404": "There is no such thing",
    "409": "It does not go with the state",
    "429": "Too many wrong passwords; Retry-After tells how long to wait, in seconds",
    "503": "The controller cannot do this just now",
}


def description_door(doors: Sequence[Call]) -> ApiDoor:
    """Return the door to the description of ``doors`` and itself."""
    described: list[dict[str, Any]] = []
    door = ApiDoor(
        method="GET",
        path=PATH,
        role=OperatorRole.READ,
        summary="This description.",
        answer={"type": "object"},
        handle=lambda _: described[0],
    )
    described.append(describe_api([*doors, door]))
    return door


def describe_api(doors: Iterable[Call]) -> dict[str, Any]:
    """Return the OpenAPI document of ``doors``."""
    paths: dict[str, dict[str, Any]] = {}
    named: dict[str, Schema] = {"error": _ERROR}
    for door in sorted(doors, key=lambda each: each.path):
        if isinstance(door.answer, str):
            named[door.answer] = answer_schema(door)
        paths.setdefault(_plain(door.path), {})[door.method.lower()] = _operation(door)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mftgit",
            "version": __version__,
            "description": "What the Web Manager does, for programs. Log in as an operator, with Basic.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "security": [{"operator": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"operator": {"type": "http", "scheme": "basic"}},
            "schemas": named,
        },
    }


def answer_schema(door: Call) -> Schema:
    """Return the whole schema of what ``door`` answers."""
    if isinstance(door.answer, str):
        return load_schema(door.answer)
    return door.answer


def _plain(path: str) -> str:
    return _PARAMETER.sub(r"{\1}", path)


def _operation(door: Call) -> dict[str, Any]:
    named = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(door.path)
    ]
    asked = [
        {"name": name, "in": "query", "schema": dict(schema)}
        for name, schema in sorted(door.query.items())
    ]
    told: dict[str, Any] = {
        "operationId": f"{door.method.lower()}{_plain(door.path).removeprefix('/api/v1')}",
        "summary": door.summary,
        "description": f"For operators with the role `{door.role.value}` or more.",
        "parameters": [*named, *asked],
        "responses": _responses(door),
    }
    if door.body is not None:
        content = {"application/json": {"schema": door.body}}
        told["requestBody"] = {"required": True, "content": content}
    return told


def _responses(door: Call) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/error"}}}
    answer = door.answer
    if isinstance(answer, str):
        answer = {"$ref": f"#/components/schemas/{answer}"}
    good = {door.media_type: {"schema": answer}}
    refused = {
        status: {"description": words, "content": error} for status, words in _REFUSALS.items()
    }
    return {"200": {"description": "Done", "content": good}, **refused}
