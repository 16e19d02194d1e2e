"""What an account sees and changes in its virtual folders on servers, other than by sending files.

Names that a server tells are shown only where an account could ask for them. Links are not shown, and no path leads
through one, as far as the server tells of them.
"""

import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final

from mftgit.adapters.clock import Clock
from mftgit.adapters.endpoint.contract import Kind, Named, RemoteEndpoint
from mftgit.adapters.endpoint.contract import Traits as EndpointTraits
from mftgit.adapters.home.contract import Attributes, HomeError, Refusal, Traits
from mftgit.adapters.home.errors import telling
from mftgit.adapters.home.looking import MADE_UP, SENDS, hides_files
from mftgit.adapters.home.partner import Lender, Line, Partner
from mftgit.adapters.home.reach import Reach, missing
from mftgit.adapters.home.session import Session
from mftgit.adapters.home.spots import Spot
from mftgit.adapters.home.temporary import drop, size_of
from mftgit.adapters.home.walk import below
from mftgit.errors import MftgitError
from mftgit.model.inbound.account_path import (
    FAR_TEMPORARY,
    is_reserved_far,
    parts_of,
    temporary_name,
)
from mftgit.model.inbound.permission import Act, names_told
from mftgit.model.locations.far_place import FarPlace

_MOST_SIZE: Final = 2**63 - 1
_MOST_TIME_S: Final = 2**32 - 1
_MOST_LEFT: Final = 100
_MOST_MADE: Final = 1000


class Far:
    """The virtual folders on servers; see `Home` for its methods. Every path lies in one of them."""

    def __init__(self, reach: Reach, session: Session, clock: Clock, lender: Lender) -> None:
        self._reach = reach
        self._session = session
        self._clock = clock
        self._lender = lender
        self._partners: dict[FarPlace, Partner] = {}
        self._made: dict[tuple[FarPlace, tuple[str, ...]], None] = {}

    def partner(self, spot: Spot) -> Partner:
        """Return the server of ``spot``."""
        if spot.far is None:
            raise HomeError(Refusal.ACROSS, f"{spot.path!r} lies in other storage")
        partner = self._partners.get(spot.far)
        if partner is None:
            partner = self._partners[spot.far] = Partner(spot.far, self._lender, self._clock)
            self._lender.look_after(partner)
        return partner

    def close(self) -> None:
        """Let go of all connections."""
        for partner in self._partners.values():
            self._lender.forget(partner)
            partner.close()

    def find(self, line: Line, spot: Spot) -> Named | None:
        """Return what is at ``spot``, None where nothing is; raises what endpoints do."""
        partner = self.partner(spot)
        found = line.endpoint.look(partner.remote(spot.inner))
        if found is None and (spot.far, spot.inner) in self._made:
            return Named(name=spot.name, kind=Kind.FOLDER)
        return found

    def stat(self, path: str) -> Attributes:
        """See `Home.stat`; the server is not asked for the virtual folder itself, which is there in any case."""
        spot = self._reach.seen(path)
        if not spot.inner:
            return MADE_UP
        with self.partner(spot).asking(spot.path) as line:
            found = self.find(line, spot)
        if found is None and not self._reach.acts(spot).isdisjoint(SENDS):
            return self._stat_unfinished(spot)
        if found is None or not self._shows(spot, found):
            raise missing(spot)
        self._session.forget_told(spot.path)
        return far_attributes(found)

    def unfinished(self, path: str) -> int | None:
        """See `Home.unfinished`."""
        spot = self._reach.seen(path)
        if not spot.inner or self._reach.acts(spot).isdisjoint(SENDS):
            return None
        with self.partner(spot).asking(spot.path) as line:
            found = self.find(line, spot)
        if found is not None:
            return None
        try:
            return self._stat_unfinished(spot).size_bytes
        except HomeError:
            return None

    def list(self, path: str) -> Iterator[tuple[str, Attributes]]:
        """See `Home.list`."""
        spot = self._reach.seen(path)
        if Act.LIST not in self._reach.acts(spot):
            with self.partner(spot).asking(spot.path) as line:
                self._require_folder(line, spot)
            return self._told_by_rules(spot)
        entries = self._entries(spot)
        next(entries)  # begun, so that what is wrong is told now
        return entries

    def set(self, path: str, traits: Traits) -> None:
        """Set times and mode of a file, as far as the server keeps any."""
        spot = self._reach.changeable(path, *Act)
        acts = self._reach.acts(spot)
        require_may_set(spot, traits, acts)
        with self.partner(spot).asking(spot.path) as line:
            found = self.find(line, spot)
            if found is None or not self._shows(spot, found):
                raise missing(spot)
            if (
                found.kind is Kind.FILE
            ):  # clients send those of folders along; few servers keep them
                self._set_traits(line.endpoint, spot, traits)

    def make_folder(self, path: str) -> None:
        """See `Home.make_folder`."""
        spot = self._reach.spots.find(path)
        self._reach.require(spot, Act.MAKE_FOLDER)
        if not spot.inner:
            raise HomeError(Refusal.EXISTS, f"{spot.path!r} is there")
        partner = self.partner(spot)
        with partner.asking(spot.path) as line:
            if self.find(line, spot) is not None:
                raise HomeError(Refusal.EXISTS, f"{spot.path!r} is there")
            line.endpoint.make_folder(partner.remote(spot.inner))
            if not line.endpoint.has_folders and spot.far is not None:
                if len(self._made) >= _MOST_MADE:
                    self._made.pop(next(iter(self._made)))
                self._made[spot.far, spot.inner] = None

    def remove_folder(self, path: str) -> None:
        """See `Home.remove_folder`; what the cluster itself has left in it keeps it from being removed."""
        spot = self._reach.changeable(path, Act.REMOVE_FOLDER)
        partner = self.partner(spot)
        with partner.asking(spot.path) as line:
            self._require_folder(line, spot)
            if not line.endpoint.remove_folder(partner.remote(spot.inner)):
                raise HomeError(Refusal.NOT_EMPTY, f"{spot.path!r} is not empty")
            if spot.far is not None:
                self._made.pop((spot.far, spot.inner), None)

    def remove(self, path: str) -> None:
        """See `Home.remove`."""
        spot = self._reach.changeable(path, Act.DELETE, Act.WRITE)
        partner = self.partner(spot)
        with partner.asking(spot.path) as line:
            found = self.find(line, spot)
            if found is not None and Act.DELETE in self._reach.acts(spot):
                require_file(spot, found)
                line.endpoint.remove(partner.remote(spot.inner))
                return
        self._remove_unfinished(spot)

    def rename(self, source: Spot, target: Spot, *, replace: bool) -> None:
        """Rename within one virtual folder, what may be renamed so; see `Home.rename`."""
        partner = self.partner(source)
        with partner.asking(source.path) as line:
            moved = self.find(line, source)
            if moved is None or moved.kind is Kind.OTHER:
                raise missing(source)
            there = self.find(line, target)
            if there is not None:
                if not replace or moved.kind is Kind.FOLDER:
                    raise HomeError(Refusal.EXISTS, f"{target.path!r} is there")
                require_file(target, there)
            elif moved.kind is Kind.FOLDER and not line.endpoint.has_folders:
                raise HomeError(
                    Refusal.UNSUPPORTED, f"{source.path!r}: folders cannot be renamed there"
                )
            remote = partner.remote(source.inner), partner.remote(target.inner)
            line.endpoint.rename(*remote, replace=there is not None)
        if self._session.has_sent(source.path):
            self._session.note_sent(target.path)

    # What the others are made of

    def _shows(self, spot: Spot, found: Named) -> bool:
        """Tell whether the account may know of ``found``; in a drop box, of folders and of what it has just sent."""
        if found.kind is Kind.FILE and hides_files(self._reach.acts(spot)):
            return self._session.has_sent(spot.path)
        return found.kind is not Kind.OTHER

    def _stat_unfinished(self, spot: Spot) -> Attributes:
        sending = self._session.sending(spot.path)
        if sending is not None:
            return sending.attributes()
        spool, _ = self._reach.spool(spot)
        with telling(spot.path), below(spool.root, spool.above) as folder:
            found = size_of(folder, temporary_name(self._reach.account.name, spot.path))
        if found is None:
            raise missing(spot)
        self._session.note_told(spot.path, found.size_bytes)
        return found

    def _remove_unfinished(self, spot: Spot) -> None:
        spool, usage = self._reach.spool(spot)
        with telling(spot.path), below(spool.root, spool.above) as folder:
            found = drop(folder, temporary_name(self._reach.account.name, spot.path))
        if found is None:
            self._reach.require(spot, Act.DELETE)
            raise missing(spot)
        usage.give_back(size_bytes=found.st_size, files=1)

    def _require_folder(self, line: Line, spot: Spot) -> None:
        found = self.find(line, spot) if spot.inner else None
        if spot.inner and (found is None or found.kind is Kind.OTHER):
            raise missing(spot)
        if found is not None and found.kind is not Kind.FOLDER:
            raise HomeError(Refusal.NOT_FOLDER, f"{spot.path!r} is no folder")

    def _entries(self, spot: Spot) -> Iterator[tuple[str, Attributes]]:
        """Give what is in the folder ``spot``; the first is the folder itself, once it is known to be there."""
        partner = self.partner(spot)
        with partner.asking(spot.path) as line:
            self._require_folder(line, spot)
            found = line.endpoint.list_folder(partner.remote(spot.inner))
            ahead = next(found, None)
            line.held += 1
        left: list[str] = []
        made = {*self._made_in(spot)}
        try:
            yield ".", MADE_UP
            while ahead is not None:
                made.discard(ahead.name)
                if ahead.name.startswith(FAR_TEMPORARY) and self._is_old(ahead):
                    left += [ahead.name] if len(left) < _MOST_LEFT else []
                elif self._is_listed(spot, ahead):
                    yield ahead.name, far_attributes(ahead)
                with partner.asking(spot.path, line):
                    ahead = next(found, None)
            for name in sorted(made):
                yield name, MADE_UP
            self._remove_left(spot, left)
        finally:
            with suppress(MftgitError), partner.asking(spot.path, line):
                line.held -= 1
                close: Callable[[], None] | None = getattr(found, "close", None)
                if close is not None:
                    close()

    def _told_by_rules(self, spot: Spot) -> Iterator[tuple[str, Attributes]]:
        for name in sorted(names_told(self._reach.rules, spot.path)):
            try:
                yield name, self.stat(f"{spot.path.rstrip('/')}/{name}")
            except HomeError:
                continue

    def _made_in(self, spot: Spot) -> Iterator[str]:
        """Give the folders in ``spot`` that the session has made and the server may not know of."""
        for far, inner in self._made:
            if far == spot.far and inner[:-1] == spot.inner:
                yield inner[-1]

    def _is_listed(self, spot: Spot, found: Named) -> bool:
        name = found.name
        if found.kind is Kind.OTHER or "/" in name or is_reserved_far(name):
            return False
        path = f"{spot.path.rstrip('/')}/{name}"
        try:
            sound = parts_of(path) == (*spot.parts, name)
        except ValueError:
            return False
        return sound and self._reach.sees(path) and self._shows(self._reach.spots.find(path), found)

    def _is_old(self, found: Named) -> bool:
        age_s = self._clock.now().timestamp() - found.mtime_ns / 1e9
        return found.kind is Kind.FILE and age_s > self._reach.uploads.stalled_s

    def _remove_left(self, spot: Spot, names: Sequence[str]) -> None:
        """Remove what uploads have left there that broke off long ago, where the account may send files itself."""
        if not names or self._reach.acts(spot).isdisjoint(SENDS):
            return
        partner = self.partner(spot)
        with suppress(MftgitError), partner.asking(spot.path) as line:
            for name in names:
                line.endpoint.remove(partner.remote((*spot.inner, name)))

    def _set_traits(self, endpoint: RemoteEndpoint, spot: Spot, traits: Traits) -> None:
        wanted = EndpointTraits(
            mode=None if traits.mode is None else traits.mode & 0o777,
            mtime_ns=None if traits.mtime_s is None else traits.mtime_s * 10**9,
        )
        if wanted == EndpointTraits():
            return
        (error,) = endpoint.set_all([(self.partner(spot).remote(spot.inner), wanted)])
        if error is not None:
            raise error


def far_attributes(found: Named) -> Attributes:
    """Return what is told of ``found``, within what numbers can be."""
    is_folder = found.kind is Kind.FOLDER
    kind, mode = (stat.S_IFDIR, 0o755) if is_folder else (stat.S_IFREG, 0o644)
    mtime_s = min(max(found.mtime_ns // 10**9, 0), _MOST_TIME_S)
    return Attributes(
        size_bytes=0 if is_folder else min(max(found.size_bytes, 0), _MOST_SIZE),
        mode=kind | (mode if found.mode is None else found.mode & 0o777),
        atime_s=mtime_s,
        mtime_s=mtime_s,
    )


def require_file(spot: Spot, found: Named) -> None:
    """Raise `HomeError` unless ``found``, at ``spot``, is a regular file."""
    if found.kind is Kind.FOLDER:
        raise HomeError(Refusal.IS_FOLDER, f"{spot.path!r} is a folder")
    if found.kind is not Kind.FILE:
        raise HomeError(Refusal.NOT_FILE, f"{spot.path!r} is no regular file")


def require_may_set(spot: Spot, traits: Traits, acts: frozenset[Act]) -> None:
    """Raise `HomeError` unless ``acts`` allow that ``traits`` are set."""
    if traits.mode is not None and Act.SET_MODE not in acts:
        raise HomeError(Refusal.DENIED, f"{spot.path!r}: this account may not set the mode")
    if (traits.atime_s, traits.mtime_s) != (None, None) and Act.SET_TIMES not in acts:
        raise HomeError(Refusal.DENIED, f"{spot.path!r}: this account may not set times")
