"""Opening the files of a home."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from mftgit.adapters.clock import Clock
from mftgit.adapters.home import HomeError, OpenFile, Opening, Refusal, Traits
from mftgit.adapters.home_looking import SENDS, hides_files
from mftgit.adapters.home_reach import Reach, missing
from mftgit.adapters.home_reading import ReadFile
from mftgit.adapters.home_session import Session
from mftgit.adapters.home_spots import Spot
from mftgit.adapters.home_temporary import Partial, begin, copied, drop, go_on, is_held
from mftgit.adapters.home_traits import kept_mode, new_mode, set_traits
from mftgit.adapters.home_upload import Terms, Upload
from mftgit.adapters.home_walk import READ, open_regular, require_regular, status
from mftgit.model.account_path import temporary_name
from mftgit.model.finished import Finished
from mftgit.model.permission import Act


class Opener:
    """See `Home` for its methods."""

    def __init__(
        self,
        reach: Reach,
        session: Session,
        clock: Clock,
        finished: Callable[[Finished], None],
    ) -> None:
        self._reach = reach
        self._session = session
        self._clock = clock
        self._tell = finished

    def open_read(self, path: str) -> OpenFile:
        """See `Home.open_read`."""
        spot = self._reach.spots.find(path)
        acts = self._reach.require(spot, Act.READ)
        self._session.require_few_open()
        with self._reach.above(spot) as folder:
            descriptor = open_regular(folder, spot.name, READ)
        file = ReadFile(
            descriptor,
            spot.path,
            change=lambda fd, traits: set_traits(fd, traits, acts, spot.path),
            let_go=self._session.let_go,
        )
        self._session.note_open(file)
        return file

    def open_write(self, path: str, opening: Opening, traits: Traits) -> Upload:
        """See `Home.open_write`."""
        spot = self._reach.changeable(path, *SENDS)
        acts = self._reach.acts(spot)
        self._session.require_few_open()
        mode = new_mode(traits, acts, folder=False)
        with self._reach.above(spot) as folder:
            there = status(folder, spot.name)
            terms = self._terms(spot, acts, opening)
            if there is None:
                partial, terms = self._new(folder, terms, opening, mode)
            elif opening.exclusive:
                raise HomeError(Refusal.EXISTS, f"{spot.path!r} is there")
            else:
                require_regular(there)
                partial, terms = self._over(folder, terms, opening, there)
        upload = Upload(
            partial,
            terms,
            change=lambda fd, wanted: set_traits(fd, wanted, acts, spot.path),
            finished=self._finish,
            let_go=lambda file: self._session.let_go_sending(spot.path, file),
        )
        self._session.note_sending(spot.path, upload)
        return upload

    def _terms(self, spot: Spot, acts: frozenset[Act], opening: Opening) -> Terms:
        return Terms(
            account=self._reach.account.name,
            spot=spot,
            temporary=temporary_name(self._reach.account.name, spot.name),
            usage=self._reach.usage_of(spot),
            clock=self._clock,
            flush=self._reach.uploads.flush,
            replace=Act.OVERWRITE in acts and not opening.exclusive,
            append=opening.append,
            read=opening.read,
            mark=hides_files(acts),
            max_file_bytes=self._reach.account.max_file_bytes,
        )

    def _new(self, folder: int, terms: Terms, opening: Opening, mode: int) -> tuple[Partial, Terms]:
        """Begin an upload to a free name, or go on with one that is unfinished."""
        spot = terms.spot
        self._reach.require(spot, Act.WRITE)
        if opening.exclusive and is_held(folder, terms.temporary):
            raise HomeError(Refusal.EXISTS, f"{spot.path!r} is being sent")
        told = self._session.told(spot.path)
        # Without a word about where to go on, what an earlier session left might stay behind what is sent now.
        goes_on = opening.append or told is not None
        if goes_on and not opening.truncate and not opening.exclusive:
            partial = go_on(folder, terms.temporary, mode, told)
            if partial is not None:
                return partial, replace(terms, resumed=partial.size_bytes > 0)
            self._require_whole(spot, told)
        if not opening.create and told is None:
            raise missing(spot)
        _forget_unfinished(folder, terms)
        terms.usage.take(files=1)
        return begin(folder, terms.temporary, mode), terms

    def _require_seen(self, spot: Spot) -> None:
        """Let nobody add to a file who was told of an unfinished upload in its place."""
        if self._session.told(spot.path) is not None:
            self._session.forget_told(spot.path)
            raise HomeError(Refusal.EXISTS, f"{spot.path!r} is there by now: look at it again")

    def _require_whole(self, spot: Spot, told: int | None) -> None:
        """Let nobody go on from ``told`` bytes that are not there any more: the rest would pass for all of it."""
        self._session.forget_told(spot.path)
        if told:
            raise HomeError(
                Refusal.MISSING, f"what was sent of {spot.path!r} is gone: send all of it"
            )

    def _over(
        self, folder: int, terms: Terms, opening: Opening, there: os.stat_result
    ) -> tuple[Partial, Terms]:
        """Begin an upload that replaces ``there``, a file, with its mode."""
        mode = kept_mode(there.st_mode, folder=False)
        if opening.truncate:
            self._reach.require(terms.spot, Act.OVERWRITE)
            _forget_unfinished(folder, terms)
            terms.usage.take(files=1)
            partial = begin(folder, terms.temporary, mode)
        else:
            self._require_seen(terms.spot)
            partial, terms = self._copy(folder, terms, mode)
        with suppress(OSError):  # storage without modes
            os.fchmod(partial.descriptor, mode)
        return partial, terms

    def _copy(self, folder: int, terms: Terms, mode: int) -> tuple[Partial, Terms]:
        """Begin with a copy of what is there, so that the visible file changes in one step."""
        acts = self._reach.require(terms.spot, Act.OVERWRITE, Act.APPEND)
        source = open_regular(folder, terms.spot.name, READ)
        try:
            found = os.fstat(source)
            _forget_unfinished(folder, terms)
            terms.usage.take(size_bytes=found.st_size, files=1)
            partial = copied(folder, terms.temporary, source, mode, found.st_size)
        finally:
            os.close(source)
        return partial, replace(
            terms,
            replace=True,
            read=terms.read and Act.READ in acts,
            basis=found,
            floor_bytes=0 if Act.OVERWRITE in acts else found.st_size,
        )

    def _finish(self, done: Finished) -> None:
        self._session.note_sent(done.path)
        self._tell(done)


def _forget_unfinished(folder: int, terms: Terms) -> None:
    """Remove what an earlier session has left of it, or sends still, so that it takes no room any more."""
    dropped = drop(folder, terms.temporary)
    if dropped is not None:
        terms.usage.give_back(size_bytes=dropped.st_size, files=1)
