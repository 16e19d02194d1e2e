"""What one account sees of files in one session: the `Home` of its protocol server."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress

from mftgit.adapters.clock import Clock
from mftgit.adapters.home.changing import Changing
from mftgit.adapters.home.contract import (
    Attributes,
    Home,
    HomeError,
    OpenFile,
    Opening,
    Refusal,
    Space,
    Traits,
)
from mftgit.adapters.home.far import Far
from mftgit.adapters.home.far_opening import FarOpener
from mftgit.adapters.home.looking import Looking
from mftgit.adapters.home.opening import Opener
from mftgit.adapters.home.partner import Lender, NoLender
from mftgit.adapters.home.reach import Reach
from mftgit.adapters.home.session import Session
from mftgit.adapters.home.upload import Upload
from mftgit.adapters.home.usage import Usages
from mftgit.model.inbound.account_path import parts_of, text_of
from mftgit.model.inbound.finished import Finished
from mftgit.model.inbound.service import Uploads
from mftgit.model.inbound.serving import Served


def open_home(
    served: Served,
    *,
    uploads: Uploads,
    finished: Callable[[Finished], None],
    clock: Clock,
    usages: Usages | None = None,
    lender: Lender | None = None,
) -> Home:
    """Return what the account of ``served`` sees, for one session.

    ``finished`` is called for each upload that has got its visible name, before it is acknowledged; what it raises
    reaches the caller of `OpenFile.close`. ``usages`` is shared by all sessions of a process. Of the home and the
    virtual folders the last part is made where it is missing. ``lender`` lends connections to the servers that virtual
    folders lie on; without it, these cannot be reached.

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
    return AccountHome(reach, clock, finished, lender or NoLender())


class AccountHome:
    """See `Home`."""

    def __init__(
        self, reach: Reach, clock: Clock, finished: Callable[[Finished], None], lender: Lender
    ) -> None:
        self._session = Session()
        self._spots = reach.spots
        self._is_near = reach.is_near
        self._looking = Looking(reach, self._session, clock)
        self._changing = Changing(reach, self._session, self._looking)
        self._opener = Opener(reach, self._session, clock, finished)
        self._far = Far(reach, self._session, clock, lender)
        self._far_opener = FarOpener(reach, self._session, self._far, clock, finished)

    def resolve(self, path: str) -> str:
        """See `Home.resolve`."""
        try:
            return text_of(parts_of(path))
        except ValueError as error:
            raise HomeError(Refusal.BAD_NAME, str(error)) from None

    def stat(self, path: str) -> Attributes:
        """See `Home.stat`."""
        return (self._far if self._is_far(path) else self._looking).stat(path)

    def unfinished(self, path: str) -> int | None:
        """See `Home.unfinished`."""
        return (self._far if self._is_far(path) else self._looking).unfinished(path)

    def list(self, path: str) -> Iterator[tuple[str, Attributes]]:
        """See `Home.list`."""
        return (self._far if self._is_far(path) else self._looking).list(path)

    def open_read(self, path: str) -> OpenFile:
        """See `Home.open_read`."""
        return (self._far_opener if self._is_far(path) else self._opener).open_read(path)

    def open_write(self, path: str, opening: Opening, traits: Traits) -> OpenFile:
        """See `Home.open_write`."""
        return self._open_write(path, opening, traits)

    def open_write_at_once(self, path: str, opening: Opening, traits: Traits) -> OpenFile | None:
        """See `Home.open_write_at_once`."""
        if self._is_far(path):
            return None
        return self._opener.open_write_at_once(path, opening, traits)

    def set(self, path: str, traits: Traits) -> None:
        """See `Home.set`: what is being sent is changed rather than a file that it is about to replace."""
        sending = self._session.sending(self.resolve(path))
        if sending is not None:
            sending.set(traits)
            return
        if traits.size_bytes is not None:
            self._resize(path, traits.size_bytes)
        if (traits.mode, traits.atime_s, traits.mtime_s) != (None, None, None):
            (self._far if self._is_far(path) else self._changing).set(path, traits)

    def make_folder(self, path: str, traits: Traits) -> None:
        """See `Home.make_folder`."""
        if self._is_far(path):
            self._far.make_folder(path)
        else:
            self._changing.make_folder(path, traits)

    def remove_folder(self, path: str) -> None:
        """See `Home.remove_folder`."""
        (self._far if self._is_far(path) else self._changing).remove_folder(path)

    def remove(self, path: str) -> None:
        """See `Home.remove`."""
        (self._far if self._is_far(path) else self._changing).remove(path)

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        """See `Home.rename`."""
        source, target, replace = self._changing.renaming(old, new, replace=replace)
        place = self._changing if source.far is None else self._far
        place.rename(source, target, replace=replace)

    def space(self, path: str) -> Space:
        """See `Home.space`."""
        if self._is_far(path):
            raise HomeError(Refusal.UNSUPPORTED, f"{path!r}: how much room there is nobody tells")
        return self._looking.space(path)

    def while_working(self, work: Callable[[], None]) -> None:
        """See `Home.while_working`."""
        self._session.work = work

    @property
    def is_near(self) -> bool:
        """See `Home.is_near`."""
        return self._is_near

    @property
    def is_idle(self) -> bool:
        """See `Home.is_idle`."""
        return self._session.is_idle

    def close(self) -> None:
        """See `Home.close`."""
        self._session.close()
        self._far.close()

    def _is_far(self, path: str) -> bool:
        """Tell whether ``path`` lies on a server."""
        return self._spots.is_far and self._spots.find(path).far is not None

    def _open_write(self, path: str, opening: Opening, traits: Traits) -> Upload:
        opener = self._far_opener if self._is_far(path) else self._opener
        return opener.open_write(path, opening, traits)

    def _resize(self, path: str, size_bytes: int) -> None:
        """Cut or grow a visible file in one step, as an upload that begins with a copy of it.

        What is unfinished stays so.
        """
        file = self._open_write(path, Opening(), Traits())
        try:
            file.resize(size_bytes)
        except BaseException:
            file.abandon()
            raise
        if file.terms.is_copy:
            file.close()
        else:
            file.abandon()


def _make(folder: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(folder)  # noqa: PTH102  paths are text here
