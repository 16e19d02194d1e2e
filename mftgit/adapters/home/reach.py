"""What an account reaches: where its paths lie, what it may do there, and how much it may keep there."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from mftgit.adapters.home.contract import HomeError, Refusal
from mftgit.adapters.home.errors import telling
from mftgit.adapters.home.spots import Spot, Spots
from mftgit.adapters.home.usage import Usage, Usages
from mftgit.adapters.home.walk import FOLDER, READ, below, open_regular, require_regular, status
from mftgit.adapters.local.confined import sync_folder
from mftgit.adapters.mounted import are_local
from mftgit.model.inbound.account import Quota
from mftgit.model.inbound.permission import Act, allowed, is_seen
from mftgit.model.inbound.service import Uploads
from mftgit.model.inbound.serving import Served


class Reach:
    """The account of ``served``, its paths and its rules."""

    def __init__(self, served: Served, uploads: Uploads, usages: Usages) -> None:
        self.account = served.account
        self.rules = served.account.rules
        self.spots = Spots(served.home, served.folders, served.far)
        self.uploads = uploads
        self._home = served.home
        self._usages = usages
        self._unlimited = Usage(Quota())
        self._sees_all = all(each.allow for each in self.rules) and bool(self._acts_at("/"))

    @property
    def is_near(self) -> bool:
        """See `Home.is_near`; it may hang as long as the storage does."""
        unlimited = self.account.quota == Quota()
        return unlimited and not self.spots.is_far and are_local(self.spots.roots())

    def acts(self, spot: Spot) -> frozenset[Act]:
        """Return what is allowed at ``spot``."""
        return self._acts_at(spot.path)

    def sees(self, path: str) -> bool:
        """Tell whether ``path`` is there at all for the account."""
        return self._sees_all or path == "/" or is_seen(self.rules, path)

    def seen(self, path: str) -> Spot:
        """Return where ``path`` lies.

        Raises:
            HomeError: for the account there is no such path.
        """
        spot = self.spots.find(path)
        if not self.sees(spot.path):
            raise missing(spot)
        return spot

    def require(self, spot: Spot, *any_of: Act) -> frozenset[Act]:
        """Return what is allowed at ``spot``.

        Raises:
            HomeError: none of ``any_of`` is. Whether something is there plays no part, so that nothing is told of it.
        """
        acts = self.acts(spot)
        if acts.isdisjoint(any_of):
            if not self.sees(spot.path):
                raise missing(spot)
            words = " or ".join(each.value for each in any_of)
            raise HomeError(Refusal.DENIED, f"{spot.path!r}: this account may not {words} there")
        return acts

    def changeable(self, path: str, *any_of: Act) -> Spot:
        """Return where ``path`` lies, which can be changed.

        Raises:
            HomeError: none of ``any_of`` is allowed, or it is the home, or leads to a virtual folder.
        """
        spot = self.spots.find(path)
        self.require(spot, *any_of)
        if self.spots.leads_to_folder(spot.parts):
            raise HomeError(Refusal.DENIED, f"{spot.path!r} is a folder that stays as it is")
        return spot

    @contextmanager
    def above(self, spot: Spot) -> Iterator[int]:
        """Give a descriptor of the folder that ``spot`` lies in; errors of the system are told as `HomeError`."""
        with telling(spot.path), below(spot.root, spot.above) as folder:
            yield folder

    def open_at(self, folder: int, spot: Spot) -> int:
        """Open the file or folder at ``spot`` for looking at it, and setting times and mode."""
        found = status(folder, spot.name)
        if found is None:
            raise missing(spot)
        if stat.S_ISDIR(found.st_mode):
            return os.open(spot.name, FOLDER, dir_fd=folder)
        require_regular(found)
        return open_regular(folder, spot.name, READ)

    def usage_of(self, spot: Spot) -> Usage:
        """Return how much lies there; without a quota and in virtual folders nothing is counted."""
        if self.account.quota == Quota() or spot.root != self._home:
            return self._unlimited
        return self._usages.of(self.account, self._home)

    def spool(self, spot: Spot) -> tuple[Spot, Usage]:
        """Return where what is sent to ``spot`` on a server lies until it is whole: in the home, and counted there."""
        root, usage = self._home, self._unlimited
        if self.account.quota != Quota():
            usage = self._usages.of(self.account, self._home)
        spooled = Spot(path=spot.path, parts=spot.parts, root=root, inner=spot.inner[-1:])
        return spooled, usage

    def sync(self, folder: int) -> None:
        """Flush the names in ``folder``, if that is asked for."""
        if self.uploads.flush:
            sync_folder(folder)

    def _acts_at(self, path: str) -> frozenset[Act]:
        return allowed(self.rules, path)


def missing(spot: Spot) -> HomeError:
    """Return the error for what is not there, or must not be told from that."""
    return HomeError(Refusal.MISSING, f"{spot.path!r} is not there")
