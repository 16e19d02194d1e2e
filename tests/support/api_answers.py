"""See that an answer of the API is what its description says."""

import re
from typing import Any

from jsonschema import Draft202012Validator

from mftgit.controller.web.doors import ApiDoor
from mftgit.controller.web.openapi import answer_schema
from mftgit.controller.web.parts import WebParts
from mftgit.controller.web.site import all_doors


def check_answer(parts: WebParts, method: str, path: str, answer: Any) -> None:
    """Hold ``answer`` against the schema of the call."""
    way = path.partition("?")[0]
    for door in all_doors(parts):
        if isinstance(door, ApiDoor) and door.method == method and _fits(door.path, way):
            Draft202012Validator(dict(answer_schema(door))).validate(answer)
            return
    raise AssertionError(f"there is no call {method} {way}")


def _fits(pattern: str, path: str) -> bool:
    parts = re.split(r"(\{\w+(?::\w+)?\})", pattern)
    words = (
        (".+" if ":path" in each else "[^/]+") if "{" in each else re.escape(each) for each in parts
    )
    return re.fullmatch("".join(words), path) is not None
