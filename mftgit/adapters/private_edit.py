"""Let a person's editor change a text that no disk shall hold."""

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from mftgit.errors import ConfigError, MftgitError

MEMORY = Path("/dev/shm")  # noqa: S108  a file system in memory; the folder made there is this user's alone


def edit(text: str, editor: Sequence[str], *, memory: Path = MEMORY) -> str:
    """Return what ``editor``, called with a file in ``memory``, made of ``text``.

    The file, and what the editor left beside it, is overwritten and removed, whatever happens.

    Raises:
        ConfigError: there is no file system in memory, or no such editor.
        MftgitError: the editor failed.
    """
    if not memory.is_mount():
        raise ConfigError(
            f"{memory} is no file system in memory: use `mftgit secret rotate`, which writes no file"
        )
    folder = Path(mkdtemp(prefix="mftgit-", dir=memory))
    file = folder / "secret"
    try:
        file.touch(mode=0o600)
        file.write_bytes(text.encode())
        done = subprocess.run([*editor, str(file)], check=False)  # noqa: S603  the person's own choice
        if done.returncode != 0:
            raise MftgitError(f"{editor[0]} ended with {done.returncode}: nothing is changed")
        return file.read_bytes().decode()
    except OSError as error:
        raise ConfigError(
            f"{error.filename}: {error.strerror}: set EDITOR to an editor that is there"
        ) from error
    except UnicodeDecodeError:
        raise ConfigError("what the editor wrote is not text in UTF-8") from None
    finally:
        shred(folder)


def shred(folder: Path) -> None:
    """Overwrite the files in ``folder`` and remove it, as far as that goes."""
    for path in folder.rglob("*"):
        with suppress(OSError):
            descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.write(descriptor, bytes(os.fstat(descriptor).st_size))
            finally:
                os.close(descriptor)
    rmtree(folder, ignore_errors=True)
