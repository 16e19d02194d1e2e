"""Look at a transfer at once when a client has uploaded a file to its source, also where another member owns it.

A client's file reaches one member, and any other one may own the transfer that takes it on. The former leaves a word
on the storage that the members share: an empty file that is called like the transfer. Owners look for those of theirs
every `LISTEN_S`, take them away and look at the source. All words are in one folder, which is empty as a rule, so that
to list it costs the same for one transfer and for thousands: to open it, which NFS asks the server about
(close-to-open). It is made by members that have services; where there is none it is looked for every `ABSENT_S`.

It is a hint: what is missed is found by the next look of the trigger.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from loguru import logger

from mftgit.errors import MftgitError
from mftgit.member.outbound.runs.line import Line
from mftgit.member.outbound.runs.lines import Lines
from mftgit.model.locations.location import LocalLocation
from mftgit.model.names import TransferName
from mftgit.model.transfers.selection import deepest
from mftgit.model.transfers.triggers import WatchTrigger
from mftgit.model.transfers.watched import WatchedFolders

LISTEN_S: Final = 0.25
ABSENT_S: Final = 5.0

_AGAIN_S: Final = 1.0  # after storage did not answer
_GAP_S: Final = 0.1  # thousands of uploads a second are few looks
_STOP_S: Final = 2.0  # storage may hang
_FOLDER: Final = "news"


class News:
    """One thread. ``look(key)`` looks at a transfer and tells whether it is ours to look at; it is called there."""

    def __init__(
        self, shared: Path, *, files_root: Path, lines: Lines, look: Callable[[TransferName], bool]
    ) -> None:
        """Nothing is listened to yet; ``shared`` is `.mftgit` of the files root."""
        self._folder = shared / _FOLDER
        self._files_root = files_root
        self._lines = lines
        self._look = look
        self._watched: WatchedFolders | None = WatchedFolders(())
        self._lock = threading.Lock()
        self._folders_with_news: set[str] = set()
        self._expects = False
        self._due = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="news", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        self._due.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)

    def follow(self, *, expects: bool) -> None:
        """Go by the lines as they are now; ``expects``: clients may upload to this member."""
        with self._lock:
            self._watched, self._expects = None, expects
        self._due.set()

    def noticed(self, file: str) -> None:
        """Say that ``file``, an absolute path, came to be whole; callable from any thread, and at once done.

        Once this has ended, a word is left here and now.
        """
        folder = os.path.dirname(file)  # noqa: PTH120  called for each of thousands a second
        with self._lock:
            self._folders_with_news.add(folder)
        self._due.set()
        if self._stopping.is_set():
            with suppress(OSError):
                self._tell()

    def _run(self) -> None:
        while not self._stopping.is_set():
            wait_s: float | None = None
            try:
                wait_s = self._go_round()
            except (OSError, MftgitError) as error:
                wait_s = _AGAIN_S
                logger.debug("no news told or heard", error=str(error))
            except Exception:  # noqa: BLE001  one mistake must not make us deaf
                wait_s = _AGAIN_S
                logger.opt(exception=True).error("unexpected failure while hearing of uploads")
            self._stopping.wait(_GAP_S)
            self._due.wait(wait_s)
            self._due.clear()

    def _go_round(self) -> float | None:
        """Tell and hear what is new; return for how long to wait, None while there is nothing to wait for."""
        return self._listen() if self._tell() else None

    def _tell(self) -> bool:
        """Have looked at, by whoever owns it, what came to be whole; tell whether any folder is watched."""
        with self._lock:
            if self._watched is None:
                self._watched = WatchedFolders(self._folders())
            watched, news = self._watched, self._folders_with_news
            self._folders_with_news = set()
        for key in {key for each in news for key in watched.of(each)}:
            if not self._look(key):
                self._leave(key)
        return bool(watched)

    def _folders(self) -> Iterator[tuple[TransferName, str, float]]:
        with self._lines.lock:
            lines = [line for line in self._lines.values() if line.wanted]
        for line in lines:
            folder = self._source(line)
            if folder is not None and line.transfer is not None:
                yield line.key, folder, deepest(line.transfer.source)

    def _source(self, line: Line) -> str | None:
        """Return the folder that is watched for a transfer, None where it is none of this machine."""
        transfer = line.transfer
        if transfer is None or not isinstance(transfer.trigger, WatchTrigger):
            return None
        location = line.basis.generation.locations[transfer.source.location]
        if not isinstance(location, LocalLocation):
            return None
        return os.path.normpath(self._files_root / location.path / transfer.source.path)

    def _leave(self, key: TransferName) -> None:
        """Leave a word for the owner; where there is one it has yet to be taken, and the look comes after that."""
        self._make()
        with (self._folder / key).open("ab"):
            pass

    def _make(self) -> None:
        """Make the folder, but not what is above it: where that is missing, the storage is not mounted, most likely."""
        self._folder.mkdir(exist_ok=True)

    def _listen(self) -> float:
        try:
            with os.scandir(self._folder) as entries:
                names = [each.name for each in entries]
        except FileNotFoundError:
            if self._expects:
                self._make()
            return LISTEN_S if self._expects else ABSENT_S
        for name in names:
            self._hear(TransferName(name))
        return LISTEN_S

    def _hear(self, key: TransferName) -> None:
        line, basis = self._lines.get(key), self._lines.basis
        if line is not None and line.is_ours:
            # Taken first, so that what comes from now on is another word.
            (self._folder / key).unlink(missing_ok=True)
            self._look(key)
        elif line is None and basis is not None and key not in basis.generation.declared:
            (self._folder / key).unlink(missing_ok=True)
