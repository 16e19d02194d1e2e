"""Find out what is damaged in a hosted repository once a request failed, for dulwich stumbles in many ways."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from dulwich.refs import Ref
from dulwich.repo import Repo
from loguru import logger

from mftgit.adapters.durable import write_file
from mftgit.adapters.git.listing import Reading
from mftgit.adapters.git.objects import Presence, get_commit, letting_go, open_repo
from mftgit.errors import MftgitError
from mftgit.model.names import MAIN, Revision, parse_revision

HEAD: Final = f"ref: {MAIN}\n".encode()
"""What HEAD of a hosted repository holds, always."""

_AGAIN_S: Final = 60.0
_SUM_BYTES: Final = 20
_CHUNK_BYTES: Final = 1 << 20
_SHOWN_BYTES: Final = 60


class Damage:
    """What is known of the damage to one repository; any thread may ask."""

    def __init__(self, path: Path, *, now: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._now = now
        self._lock = threading.Lock()
        self._looked: tuple[object, float] | None = None
        self.known: str | None = None

    def look(self) -> str | None:
        """Return in one sentence what is damaged, None when all is whole; the log tells it once.

        Reads every pack, so it does so only where a file has changed since, or a minute has passed.
        """
        with self._lock:
            state = list(self._state())
            if (
                self._looked
                and self._looked[0] == state
                and self._now() - self._looked[1] < _AGAIN_S
            ):
                return self.known
            before, self.known = self.known, find_damage(self._path)
            self._looked = (state, self._now())
            if self.known and self.known != before:
                logger.bind(repository=str(self._path), found=self.known).error(
                    "the hosted repository is damaged: stop the controller and put a clone in its place "
                    "(docs/how-to/operate.md: Restore the repository from a clone)"
                )
            elif before and not self.known:
                logger.info("the hosted repository is whole again")
            return self.known

    def _state(self) -> Iterator[tuple[str, int, int]]:
        for pattern in ("HEAD", "packed-refs", "refs/**/*", "objects/pack/*"):
            for file in sorted(self._path.glob(pattern)):
                with suppress(FileNotFoundError):
                    found = file.stat()
                    yield str(file), found.st_size, found.st_mtime_ns


def find_damage(path: Path) -> str | None:
    """Return in one sentence what of the repository ``path`` is damaged; None when all is whole."""
    try:
        if (head := (path / "HEAD").read_bytes()) != HEAD:
            return f"HEAD holds {head[:_SHOWN_BYTES]!r}, expected {HEAD!r}"
        for index in sorted(path.glob("objects/pack/*.idx")):
            with suppress(FileNotFoundError):  # replaced by another while this looks
                if wrong := _pack(index):
                    return wrong
        with closing(open_repo(path)) as repo, letting_go():
            _history(repo)
    except MftgitError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  damage shows as whatever dulwich stumbles over
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return None


def mend_head(path: Path) -> bool:
    """Write what HEAD has to hold, where it holds something else; tell whether that was so."""
    file = path / "HEAD"
    if not path.is_dir():
        return False
    if file.exists() and file.read_bytes() == HEAD:
        return False
    write_file(file, HEAD)
    return True


def _pack(index: Path) -> str | None:
    """Return what is wrong with a pack or its index, by the sums that both end with."""
    pack = index.with_suffix(".pack")
    if not pack.exists() and index.exists():
        return f"{pack.name} is not there"
    ends = index.read_bytes()[-2 * _SUM_BYTES :]
    for file, expected in ((pack, ends[:_SUM_BYTES]), (index, ends[_SUM_BYTES:])):
        if _sum(file) != expected:
            return f"{file.name} does not go with its checksum: it was cut off or changed"
    return None


def _sum(file: Path) -> bytes:
    left, made = file.stat().st_size - _SUM_BYTES, hashlib.sha1(usedforsecurity=False)
    with file.open("rb") as content:
        while left > 0 and (chunk := content.read(min(left, _CHUNK_BYTES))):
            made.update(chunk)
            left -= len(chunk)
    return made.digest()


def _history(repo: Repo) -> None:
    """See that every ref names a commit id, and that main's commits and the files of its tip are there."""
    for name, oid in sorted(repo.get_refs().items(), reverse=True):  # HEAD last, it is main
        try:
            parse_revision(oid.decode("ascii", "replace"))
        except ValueError as error:
            raise MftgitError(f"{name.decode('utf-8', 'replace')} is {error}") from None
    store, name = repo.object_store, Ref(MAIN.encode())
    if name not in repo.refs:
        return  # nothing is published yet
    tip = repo.refs[name]
    todo, seen = [tip], {tip}
    while todo:
        fresh = [each for each in get_commit(store, todo.pop()).parents if each not in seen]
        todo += fresh
        seen.update(fresh)
    reading = Reading(store=store, sizes=Presence(), load=lambda _oid: b"")
    reading.folders(Revision(tip.decode()))
