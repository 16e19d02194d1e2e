"""Changing what is in a home, other than by sending files."""

import math
import os
import stat
from itertools import islice
from typing import Final

from mftgit.adapters.home.contract import HomeError, Refusal, Traits
from mftgit.adapters.home.looking import Looking
from mftgit.adapters.home.reach import Reach, missing
from mftgit.adapters.home.session import Session
from mftgit.adapters.home.spots import Spot
from mftgit.adapters.home.temporary import drop
from mftgit.adapters.home.traits import new_mode, set_traits
from mftgit.adapters.home.walk import below, is_same, status
from mftgit.adapters.local.rename import rename_to_free_name
from mftgit.model.inbound.account_path import TEMPORARY, temporary_name
from mftgit.model.inbound.permission import Act, gained, kept_below

_MAX_LEFT: Final = 1000


class Changing:
    """See `Home` for its methods."""

    def __init__(self, reach: Reach, session: Session, looking: Looking) -> None:
        self._reach = reach
        self._session = session
        self._looking = looking

    def set(self, path: str, traits: Traits) -> None:
        """Set times and mode of a file or folder that is not being sent."""
        spot = self._reach.changeable(path, *Act)
        acts = self._reach.acts(spot)
        with self._reach.above(spot) as folder:
            descriptor = self._reach.open_at(folder, spot)
            try:
                if not self._looking.shows(folder, spot, os.fstat(descriptor)):
                    raise missing(spot)
                set_traits(descriptor, traits, acts, spot.path)
            finally:
                os.close(descriptor)

    def make_folder(self, path: str, traits: Traits) -> None:
        """See `Home.make_folder`."""
        spot = self._reach.spots.find(path)
        acts = self._reach.require(spot, Act.MAKE_FOLDER)
        if self._reach.spots.leads_to_folder(spot.parts):
            raise HomeError(Refusal.EXISTS, f"{spot.path!r} is there")
        with self._reach.above(spot) as folder:
            usage = self._reach.usage_of(spot)
            usage.take(files=1)
            try:
                os.mkdir(spot.name, new_mode(traits, acts, folder=True), dir_fd=folder)
            except OSError:
                usage.give_back(files=1)
                raise
            self._reach.sync(folder)

    def remove_folder(self, path: str) -> None:
        """See `Home.remove_folder`."""
        spot = self._reach.changeable(path, Act.REMOVE_FOLDER)
        with self._reach.above(spot) as folder:
            try:
                os.rmdir(spot.name, dir_fd=folder)
            except OSError:
                if not self._drop_unfinished(spot):
                    raise
                os.rmdir(spot.name, dir_fd=folder)
            self._reach.usage_of(spot).give_back(files=1)
            self._reach.sync(folder)

    def remove(self, path: str) -> None:
        """See `Home.remove`."""
        spot = self._reach.changeable(path, Act.DELETE, Act.WRITE)
        with self._reach.above(spot) as folder:
            found = status(folder, spot.name)
            if found is None or Act.DELETE not in self._reach.acts(spot):
                self._remove_unfinished(spot, folder)
                return
            if stat.S_ISDIR(found.st_mode):
                raise HomeError(Refusal.IS_FOLDER, f"{spot.path!r} is a folder")
            os.unlink(spot.name, dir_fd=folder)
            self._reach.usage_of(spot).give_back(size_bytes=found.st_size, files=1)
            self._reach.sync(folder)

    def renaming(self, old: str, new: str, *, replace: bool) -> tuple[Spot, Spot, bool]:
        """Return what may be renamed to what, and whether a file there may be replaced."""
        source = self._reach.changeable(old, Act.RENAME)
        target = self._reach.changeable(new, Act.RENAME)
        self._require_nothing_gained(source, target)
        if source.root != target.root:
            raise HomeError(Refusal.ACROSS, f"{old!r} and {new!r} lie in different storage")
        return source, target, replace and Act.OVERWRITE in self._reach.acts(target)

    def rename(self, source: Spot, target: Spot, *, replace: bool) -> None:
        """Rename what may be; see `Home.rename`."""
        with self._reach.above(source) as here, self._reach.above(target) as there:
            moved = status(here, source.name)
            if moved is None:
                raise missing(source)
            replaced = status(there, target.name)
            if stat.S_ISDIR(moved.st_mode):
                if replaced is not None:
                    raise HomeError(Refusal.EXISTS, f"{target.path!r} is there")
                # An empty folder that comes in between is replaced, and nothing else can be (rename(2)).
                os.rename(source.name, target.name, src_dir_fd=here, dst_dir_fd=there)
            elif replace and replaced is not None:
                os.rename(source.name, target.name, src_dir_fd=here, dst_dir_fd=there)
                if not is_same(moved, replaced):  # of two names of one file, both stay (rename(2))
                    usage = self._reach.usage_of(target)
                    usage.give_back(size_bytes=replaced.st_size, files=1)
            else:
                rename_to_free_name(here, source.name, there, target.name)
            self._reach.sync(there)
            if source.above != target.above:
                self._reach.sync(here)
        if self._session.has_sent(source.path):
            self._session.note_sent(target.path)

    def _require_nothing_gained(self, source: Spot, target: Spot) -> None:
        """Refuse a rename that leads round the rules."""
        rules = self._reach.rules
        more = gained(rules, source.path, target.path)
        if more:
            words = ", ".join(sorted(each.value for each in more))
            raise HomeError(
                Refusal.DENIED,
                f"{source.path!r}: more would be allowed at {target.path!r}: {words}",
            )
        for each in (source, target):
            if kept_below(rules, each.path, Act.RENAME):
                raise HomeError(Refusal.DENIED, f"not all below {each.path!r} may be renamed")

    def _remove_unfinished(self, spot: Spot, folder: int) -> None:
        """Remove what is unfinished of the account's own, for which it needs no more than to have sent it."""
        found = drop(folder, temporary_name(self._reach.account.name, spot.name))
        if found is None:
            self._reach.require(spot, Act.DELETE)
            raise missing(spot)
        self._reach.usage_of(spot).give_back(size_bytes=found.st_size, files=1)

    def _drop_unfinished(self, spot: Spot) -> bool:
        """Drop the unfinished uploads in a folder that has nothing else, and that nobody sends; True where it did."""
        with below(spot.root, spot.inner) as folder:
            with os.scandir(folder) as entries:
                names = [each.name for each in islice(entries, _MAX_LEFT)]
            if not names or not all(each.startswith(TEMPORARY) for each in names):
                return False
            for name in names:
                found = drop(folder, name, idle_since_s=math.inf)
                if found is None:
                    raise HomeError(Refusal.NOT_EMPTY, f"{spot.path!r}: a file is being sent there")
                self._reach.usage_of(spot).give_back(size_bytes=found.st_size, files=1)
        return True
