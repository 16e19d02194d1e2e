"""What one account sees of files in one session: the `Home` of its protocol server."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress

from mftgit.adapters.clock import Clock
from mftgit.adapters.home import (
    Attributes,
    Home,
    HomeError,
    OpenFile,
    Opening,
    Refusal,
    Space,
    Traits,
)
from mftgit.adapters.home_changing import Changing
from mftgit.adapters.home_looking import Looking
from mftgit.adapters.home_opening import Opener
from mftgit.adapters.home_reach import Reach
from mftgit.adapters.home_session import Session
from mftgit.adapters.home_usage import Usages
from mftgit.model.account_path import parts_of, text_of
from mftgit.model.finished import Finished
from mftgit.model.service import Uploads
from mftgit.model.serving import Served


def open_home(
    served: Served,
    *,
    uploads: Uploads,
    finished: Callable[[Finished], None],
    clock: Clock,
    usages: Usages | None = None,
) -> Home:
    """Return what the account of ``served`` sees, for one session.

    ``finished`` is called for each upload that has got its visible name, before it is acknowledged; what it raises
    reaches the caller of `OpenFile.close`. ``usages`` is shared by all sessions of a process. Of the home and the
    virtual folders the last part is made where it is missing.

    Raises:
        HomeError: the folder of the home cannot be made.
    """
    try:
        _make(served.home)
    except OSError as error:
        raise HomeError(
            Refusal.FAILED, "the folder of this account cannot be made: ask the operator"
        ) from error
    for folder in served.folders.values():
        with suppress(OSError):  # who goes there is told
            _make(folder)
    reach = Reach(served, uploads, usages or Usages(clock))
    return AccountHome(reach, clock, finished)


class AccountHome:
    """See `Home`."""

    def __init__(self, reach: Reach, clock: Clock, finished: Callable[[Finished], None]) -> None:
        self._session = Session()
        self._looking = Looking(reach, self._session, clock)
        self._changing = Changing(reach, self._session, self._looking)
        self._opener = Opener(reach, self._session, clock, finished)

    def resolve(self, path: str) -> str:
        """See `Home.resolve`."""
        try:
            return text_of(parts_of(path))
        except ValueError as error:
            raise HomeError(Refusal.BAD_NAME, str(error)) from None

    def stat(self, path: str) -> Attributes:
        """See `Home.stat`."""
        return self._looking.stat(path)

    def unfinished(self, path: str) -> int | None:
        """See `Home.unfinished`."""
        return self._looking.unfinished(path)

    def list(self, path: str) -> Iterator[tuple[str, Attributes]]:
        """See `Home.list`."""
        return self._looking.list(path)

    def open_read(self, path: str) -> OpenFile:
        """See `Home.open_read`."""
        return self._opener.open_read(path)

    def open_write(self, path: str, opening: Opening, traits: Traits) -> OpenFile:
        """See `Home.open_write`."""
        return self._opener.open_write(path, opening, traits)

    def set(self, path: str, traits: Traits) -> None:
        """See `Home.set`: what is being sent is changed rather than a file that it is about to replace."""
        sending = self._session.sending(self.resolve(path))
        if sending is not None:
            sending.set(traits)
            return
        if traits.size_bytes is not None:
            self._resize(path, traits.size_bytes)
        if (traits.mode, traits.atime_s, traits.mtime_s) != (None, None, None):
            self._changing.set(path, traits)

    def make_folder(self, path: str, traits: Traits) -> None:
        """See `Home.make_folder`."""
        self._changing.make_folder(path, traits)

    def remove_folder(self, path: str) -> None:
        """See `Home.remove_folder`."""
        self._changing.remove_folder(path)

    def remove(self, path: str) -> None:
        """See `Home.remove`."""
        self._changing.remove(path)

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        """See `Home.rename`."""
        self._changing.rename(old, new, replace=replace)

    def space(self, path: str) -> Space:
        """See `Home.space`."""
        return self._looking.space(path)

    @property
    def is_idle(self) -> bool:
        """See `Home.is_idle`."""
        return self._session.is_idle

    def close(self) -> None:
        """See `Home.close`."""
        self._session.close()

    def _resize(self, path: str, size_bytes: int) -> None:
        """Cut or grow a visible file in one step, as an upload that begins with a copy of it.

        What is unfinished stays so.
        """
        file = self._opener.open_write(path, Opening(), Traits())
        try:
            file.resize(size_bytes)
        except BaseException:
            file.abandon()
            raise
        if file.terms.basis is None:
            file.abandon()
        else:
            file.close()


def _make(folder: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(folder)  # noqa: PTH102  paths are text here
