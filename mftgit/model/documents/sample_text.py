"""What a new document begins with, and how a value is written where nothing of a text can be kept."""

from collections.abc import Mapping
from typing import Any

import yaml


def sample_text(schema: Mapping[str, Any]) -> str:
    """Return the first example of a document's schema as YAML; nothing where it has none."""
    examples = schema.get("examples", ())
    return write_yaml(examples[0]) if examples else ""


def write_yaml(value: Any) -> str:
    """Return ``value`` as YAML in the subset that documents are written in, keys in their order."""
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
    return text


def write_inline(value: Any) -> str:
    """Return ``value`` on one line, with brackets around what has parts."""
    text: str = yaml.safe_dump(
        value, sort_keys=False, allow_unicode=True, default_flow_style=True, width=1_000_000_000
    )
    return text.removesuffix("\n").removesuffix("\n...")
