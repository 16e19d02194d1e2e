"""What a session of an account has open, and what it knows that is not to be seen otherwise."""

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from mftgit.adapters.home.contract import HomeError, OpenFile, Refusal
from mftgit.adapters.home.upload import Upload

MAX_OPEN: Final = 100
_MAX_KNOWN: Final = 1000


class Session:
    """``told``: the sizes of unfinished uploads that the client was told; it goes on from there."""

    def __init__(self) -> None:
        self.work: Callable[[], None] = lambda: None
        self._open: dict[int, OpenFile] = {}
        self._sending: dict[str, Upload] = {}
        self._sent: OrderedDict[str, None] = OrderedDict()
        self._told: OrderedDict[str, int] = OrderedDict()

    def call_work(self) -> None:
        """Say that something takes long; raises what the protocol's server does where nobody waits any more."""
        self.work()

    def require_few_open(self) -> None:
        """Raise `HomeError` where as many files are open as one session may have."""
        if len(self._open) >= MAX_OPEN:
            raise HomeError(Refusal.BUSY, f"{MAX_OPEN} files are open already: close some first")

    def note_open(self, file: OpenFile) -> None:
        """Note that ``file`` is open."""
        self._open[id(file)] = file

    @property
    def is_idle(self) -> bool:
        """Whether nothing is open."""
        return not self._open

    def note_sending(self, path: str, upload: Upload) -> None:
        """Note that ``path`` is being sent; of several uploads to it only the newest can become something."""
        self.note_open(upload)
        self._sending[path] = upload
        self._told.pop(path, None)

    def let_go(self, file: OpenFile) -> None:
        """Note that ``file`` is closed."""
        self._open.pop(id(file), None)

    def let_go_sending(self, path: str, upload: Upload) -> None:
        """Note that the upload to ``path`` is closed."""
        self.let_go(upload)
        if self._sending.get(path) is upload:
            del self._sending[path]

    def sending(self, path: str) -> Upload | None:
        """Return the upload to ``path`` that is open."""
        return self._sending.get(path)

    def note_sent(self, path: str) -> None:
        """Note that ``path`` was sent."""
        self._sent[path] = None
        if len(self._sent) > _MAX_KNOWN:
            self._sent.popitem(last=False)

    def has_sent(self, path: str) -> bool:
        """Tell whether ``path`` is one of the last 1,000 that this session sent."""
        return path in self._sent

    def note_told(self, path: str, size_bytes: int) -> None:
        """Note what the client was told of the unfinished upload to ``path``."""
        self._told[path] = size_bytes
        if len(self._told) > _MAX_KNOWN:
            self._told.popitem(last=False)

    def forget_told(self, path: str) -> None:
        """Note that the client knows, or hears now, that it cannot go on from what it was told."""
        self._told.pop(path, None)

    def told(self, path: str) -> int | None:
        """Return what the client was told of the unfinished upload to ``path``, if it was."""
        return self._told.get(path)

    def close(self) -> None:
        """Abandon all that is open."""
        for file in list(self._open.values()):
            with suppress(HomeError):
                file.abandon()
