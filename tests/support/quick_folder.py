"""A folder where an fsync costs nothing: in memory, where the machine has a file system for that."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_MEMORY: Final = Path("/dev/shm")


@contextmanager
def quick_folder(prefix: str = "mftgit-test-") -> Iterator[Path]:
    """Give one, and remove it."""
    place = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix=prefix, dir=place) as folder:
        yield Path(folder)
