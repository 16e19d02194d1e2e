"""The folder where git looks for hooks: put ours there and take them away, and leave those of others alone."""

import os
from collections.abc import Iterable, Mapping
from enum import Enum, unique
from pathlib import Path

from mftgit.adapters.durable import write_file
from mftgit.errors import ConfigError

_MARK = b"# mftgit-hook:"
_MARK_WITHIN_BYTES = 200
_MODE = 0o755


@unique
class HookState(Enum):
    """What became of one hook."""

    INSTALLED = "installed"
    UNCHANGED = "unchanged"
    REMOVED = "removed"
    ABSENT = "absent"
    FOREIGN = "foreign"


def install_hooks(folder: Path, scripts: Mapping[str, str]) -> dict[str, HookState]:
    """Write ``scripts`` by name into ``folder``; an older one of ours is replaced.

    Raises:
        ConfigError: one of the names is taken by a hook of somebody else, or the folder cannot be written; then
            nothing was changed.
    """
    foreign = [
        name for name in scripts if os.path.lexists(folder / name) and not _ours(folder / name)
    ]
    if foreign:
        raise ConfigError(
            "\n".join(_taken(folder / name, scripts[name]) for name in foreign)
            + "\nnothing was installed"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return {name: _install(folder / name, text.encode()) for name, text in scripts.items()}
    except OSError as error:
        raise ConfigError(f"{error.filename}: cannot be written: {error.strerror}") from error


def remove_hooks(folder: Path, names: Iterable[str]) -> dict[str, HookState]:
    """Take away those of ``names`` that are ours, and tell what the others are.

    Raises:
        ConfigError: one cannot be removed.
    """
    return {name: _remove(folder / name) for name in names}


def _install(path: Path, content: bytes) -> HookState:
    if path.exists() and path.read_bytes() == content and os.access(path, os.X_OK):
        return HookState.UNCHANGED
    write_file(path, content, mode=_MODE)
    return HookState.INSTALLED


def _remove(path: Path) -> HookState:
    if not os.path.lexists(path):
        return HookState.ABSENT
    if not _ours(path):
        return HookState.FOREIGN
    try:
        path.unlink()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be removed: {error.strerror}") from error
    return HookState.REMOVED


def _ours(path: Path) -> bool:
    """Tell whether ``path`` is a file that was written here; a link is not, wherever it leads."""
    if path.is_symlink() or not path.is_file():
        return False
    try:
        with path.open("rb") as stream:
            return _MARK in stream.read(_MARK_WITHIN_BYTES)
    except OSError:  # whoever installed it could read it
        return False


def _taken(path: Path, script: str) -> str:
    call = script.rstrip().rpartition("\n")[2].removeprefix("exec ")
    python = next(line for line in script.splitlines() if line.startswith("python="))
    return (
        f"{path} is there and not one of mftgit's; move it away, or let it ask mftgit too, by these lines in it:\n"
        f"    {python}\n    {call} || exit 1"
    )
