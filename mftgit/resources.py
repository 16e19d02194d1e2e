"""Find the JSON schemas, the git hooks and the sample configuration that are installed with mftgit.

They lie at the top of the repository and are installed as the packages ``mftgit.schemas``, ``mftgit.hooks`` and
``mftgit.sample_config_repo``; no other module knows that.
"""

import json
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

_SCHEMA_SUFFIX = ".schema.json"


def load_schema(name: str) -> dict[str, Any]:
    """Return the installed schema ``name``, as ``transfer``."""
    found: dict[str, Any] = json.loads(
        (files("mftgit.schemas") / f"{name}{_SCHEMA_SUFFIX}").read_bytes()
    )
    return found


def load_schemas() -> dict[str, Any]:
    """Return every installed schema by its name, as ``{"transfer": {...}}``."""
    return {
        entry.name.removesuffix(_SCHEMA_SUFFIX): json.loads(entry.read_bytes())
        for entry in files("mftgit.schemas").iterdir()
        if entry.name.endswith(_SCHEMA_SUFFIX)
    }


def read_hook(name: str) -> str:
    """Return the script of the git hook ``name``; ``@PYTHON@`` stands for the interpreter that it calls."""
    return (files("mftgit.hooks") / name).read_text(encoding="utf-8")


def read_sample() -> dict[str, bytes]:
    """Return the documents of the sample configuration repository by path, as ``{"cluster.yaml": b"..."}``."""
    with as_file(files("mftgit.sample_config_repo")) as root:
        return {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in sorted(Path(root).rglob("*"))
            if path.is_file() and path.suffix in {".yaml", ".yml", ".md"}
        }
