"""The documents in a folder of this machine, as the gate would see them if they were committed and pushed."""

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from mftgit.errors import ConfigError
from mftgit.model.rules.tree import Entry, Tree

_NOT_DOCUMENTS = frozenset({".git", "__pycache__", "__init__.py"})


def read_folder(folder: Path) -> Tree:
    """Return every file below ``folder`` but git's and Python's own; what git passes over (sockets …) is not there.

    Raises:
        ConfigError: the folder or a file in it cannot be read.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder: expected the configuration's top folder")
    try:
        return {
            path.relative_to(folder).as_posix(): _entry(path) for path in sorted(_files(folder))
        }
    except OSError as error:
        raise ConfigError(f"{error.filename}: cannot be read: {error.strerror}") from error


def read_files(folder: Path, names: list[str]) -> Tree:
    """Return just the files of ``names`` (below ``folder``) that are there; raises ConfigError.

    A slash at the end, as git gives it to a repository within the repository, is left out.
    """
    there = [name.rstrip("/") for name in names if os.path.lexists(folder / name)]
    try:
        return {name: _entry(folder / name) for name in there}
    except OSError as error:
        raise ConfigError(f"{error.filename}: cannot be read: {error.strerror}") from error


def importable(documents: Mapping[str, bytes]) -> Tree:
    """Return documents from memory as a tree."""
    return {
        path: Entry(
            mode=0o100644,
            oid=_blob_id(content),
            size_bytes=len(content),
            load=partial(bytes, content),
        )
        for path, content in documents.items()
    }


def _files(folder: Path) -> Iterator[Path]:
    for entry in os.scandir(folder):
        if entry.name in _NOT_DOCUMENTS:
            continue
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False) and not os.path.lexists(path / ".git"):
            yield from _files(path)
        elif entry.is_dir() or entry.is_symlink() or entry.is_file():
            yield path


def _entry(path: Path) -> Entry:
    """Return ``path`` as git takes it in: a folder is a repository of its own, which becomes a submodule."""
    state = path.lstat()
    if stat.S_ISDIR(state.st_mode):
        content, mode = b"", 0o160000
    elif stat.S_ISLNK(state.st_mode):
        content, mode = os.fsencode(path.readlink()), 0o120000
    else:
        content = path.read_bytes()
        mode = 0o100755 if state.st_mode & stat.S_IXUSR else 0o100644
    return Entry(
        mode=mode, oid=_blob_id(content), size_bytes=len(content), load=partial(bytes, content)
    )


def _blob_id(content: bytes) -> str:
    """Return git's name for a blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
