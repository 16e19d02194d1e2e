"""Opening the files of a home."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from mftgit.adapters.clock import Clock
from mftgit.adapters.home.beginning import Beginning, forget_unfinished
from mftgit.adapters.home.contract import HomeError, OpenFile, Opening, Refusal, Traits
from mftgit.adapters.home.looking import SENDS, hides_files
from mftgit.adapters.home.reach import Reach
from mftgit.adapters.home.reading import ReadFile
from mftgit.adapters.home.session import Session
from mftgit.adapters.home.spots import Spot
from mftgit.adapters.home.temporary import (
    GONE_AT_ONCE_BYTES,
    LaterError,
    Partial,
    copied,
)
from mftgit.adapters.home.traits import kept_mode, new_mode, set_traits
from mftgit.adapters.home.upload import Terms, Upload
from mftgit.adapters.home.walk import READ, open_regular, require_regular, status
from mftgit.model.inbound.account_path import temporary_name
from mftgit.model.inbound.finished import Finished
from mftgit.model.inbound.permission import Act


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
        self._beginning = Beginning(reach, session)
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

    def open_write_at_once(self, path: str, opening: Opening, traits: Traits) -> Upload | None:
        """See `Home.open_write_at_once`."""
        try:
            return self.open_write(path, opening, traits, at_once=True)
        except LaterError:
            return None

    def open_write(
        self, path: str, opening: Opening, traits: Traits, *, at_once: bool = False
    ) -> Upload:
        """See `Home.open_write`; with ``at_once``, raises LaterError where it has to be waited for."""
        spot = self._reach.changeable(path, *SENDS)
        acts = self._reach.acts(spot)
        self._session.require_few_open()
        mode = new_mode(traits, acts, folder=False)
        with self._reach.above(spot) as folder:
            there = status(folder, spot.name)
            terms = self._terms(spot, acts, opening)
            if at_once:
                _require_little(folder, terms, opening)
            if there is None:
                partial, terms = self._beginning.to_free_name(folder, terms, opening, mode, spot)
            elif opening.exclusive:
                raise HomeError(Refusal.EXISTS, f"{spot.path!r} is there")
            else:
                require_regular(there)
                partial, terms = self._over(folder, terms, opening, there)
        upload = Upload(
            partial,
            terms,
            change=lambda fd, wanted: set_traits(fd, wanted, acts, spot.path),
            published=lambda: self._session.note_sent(spot.path),
            finished=self._tell,
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

    def _over(
        self, folder: int, terms: Terms, opening: Opening, there: os.stat_result
    ) -> tuple[Partial, Terms]:
        """Begin an upload that replaces ``there``, a file, with its mode."""
        mode = kept_mode(there.st_mode, folder=False)
        if opening.truncate:
            self._reach.require(terms.spot, Act.OVERWRITE)
            partial = self._beginning.anew(folder, terms, mode)
        else:
            self._beginning.require_seen(terms.spot)
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
            forget_unfinished(folder, terms)
            terms.usage.take(size_bytes=found.st_size, files=1)
            partial = copied(folder, terms.temporary, source, mode, found.st_size)
        finally:
            os.close(source)
        return partial, replace(
            terms,
            replace=True,
            read=terms.read and Act.READ in acts,
            is_copy=True,
            basis=found,
            floor_bytes=0 if Act.OVERWRITE in acts else found.st_size,
        )


def _require_little(folder: int, terms: Terms, opening: Opening) -> None:
    """Raise LaterError where nothing begins anew, or what an earlier session has left takes long to remove."""
    if not opening.truncate or opening.append:
        raise LaterError
    left = status(folder, terms.temporary)
    if left is not None and left.st_size > GONE_AT_ONCE_BYTES:
        raise LaterError
