"""Configuration repositories in memory, for the tests of the model."""

import hashlib
import zoneinfo
from collections.abc import Mapping
from functools import cache, partial

from mftgit.model.documents.problem import Problem
from mftgit.model.rules.tree import Entry, Tree
from mftgit.model.rules.validate import Validation, Validator
from mftgit.resources import load_schemas

KEY = "SHA256:R2tJvYwQ0n3bXlMf8sZpKc5uHd1oEaWgT7iVyBqN4xU"

VALID = {
    "cluster.yaml": "name: acme\n",
    "members/controller.yaml": "role: controller\n",
    "members/node-1.yaml": "role: node\nlabels: {site: berlin}\nvariables: {region: emea, port: 2222}\n",
    "members/node-2.yaml": "role: node\nlabels: {site: paris}\nvariables: {region: apac, port: 2223}\n",
    "locations/inbox.yaml": "type: local\npath: inbox\n",
    "locations/outbox.yaml": "type: local\npath: outbox\n",
    "transfers/invoices.yaml": (
        "source: {location: inbox}\n"
        "destination: {location: outbox}\n"
        "trigger: {watch: {every_s: 1}}\n"
        "active_on: nodes\n"
    ),
}
"""A small valid repository."""


def entry(content: str | bytes, mode: int = 0o100644) -> Entry:
    """Return a file of a tree."""
    data = content.encode() if isinstance(content, str) else content
    return Entry(
        mode=mode,
        oid=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        load=partial(bytes, data),
    )


def tree(files: Mapping[str, str | bytes]) -> Tree:
    """Return plain files as a tree."""
    return {path: entry(content) for path, content in files.items()}


@cache
def validator() -> Validator:
    """Return one validator for all tests; what it remembers must never change an answer."""
    return Validator(schemas=load_schemas(), timezones=frozenset(zoneinfo.available_timezones()))


def validate(changes: Mapping[str, str | bytes | None]) -> Validation:
    """Validate `VALID` with some files changed, added, or (None) taken away."""
    files = {**VALID, **changes}
    return validator().validate(
        tree({path: content for path, content in files.items() if content is not None})
    )


def found(changes: Mapping[str, str | bytes | None]) -> list[tuple[str, str, str]]:
    """Return file, pointer and rule of every problem of `VALID` with ``changes``."""
    return [(each.file, each.pointer, each.rule) for each in validate(changes).problems]


def only(changes: Mapping[str, str | bytes | None]) -> Problem:
    """Return the one problem of `VALID` with ``changes``."""
    (problem,) = validate(changes).problems
    return problem
