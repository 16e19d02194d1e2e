"""Opening files of virtual folders on servers."""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from mftgit.adapters.clock import Clock
from mftgit.adapters.endpoint.contract import Named
from mftgit.adapters.home.beginning import Beginning
from mftgit.adapters.home.contract import HomeError, OpenFile, Opening, Refusal, Traits
from mftgit.adapters.home.errors import telling
from mftgit.adapters.home.far import Far, require_file, require_may_set
from mftgit.adapters.home.far_reading import FarFile
from mftgit.adapters.home.far_sending import FarUpload, Target, require_room_for
from mftgit.adapters.home.looking import SENDS
from mftgit.adapters.home.partner import Line
from mftgit.adapters.home.reach import Reach, missing
from mftgit.adapters.home.session import Session
from mftgit.adapters.home.spots import Spot
from mftgit.adapters.home.temporary import Partial
from mftgit.adapters.home.traits import set_traits
from mftgit.adapters.home.upload import Terms
from mftgit.adapters.home.walk import below
from mftgit.model.inbound.account_path import temporary_name
from mftgit.model.inbound.finished import Finished
from mftgit.model.inbound.permission import Act

_MODE: Final = 0o600
_CHUNK_BYTES: Final = 256 << 10


class FarOpener:
    """See `Home` for its methods. Every path lies in a virtual folder on a server."""

    def __init__(
        self,
        reach: Reach,
        session: Session,
        far: Far,
        clock: Clock,
        finished: Callable[[Finished], None],
    ) -> None:
        self._reach = reach
        self._session = session
        self._far = far
        self._clock = clock
        self._tell = finished
        self._beginning = Beginning(reach, session)

    def open_read(self, path: str) -> OpenFile:
        """See `Home.open_read`."""
        spot = self._reach.spots.find(path)
        acts = self._reach.require(spot, Act.READ)
        self._session.require_few_open()
        if not spot.inner:
            raise HomeError(Refusal.IS_FOLDER, f"{spot.path!r} is a folder")
        partner = self._far.partner(spot)
        with partner.asking(spot.path) as line:
            found = self._far.find(line, spot)
        if found is None:
            raise missing(spot)
        require_file(spot, found)

        def change(traits: Traits) -> None:
            require_may_set(spot, traits, acts)
            self._far.set(spot.path, traits)

        file = FarFile(
            partner,
            partner.remote(spot.inner),
            spot.path,
            found,
            change=change,
            let_go=self._session.let_go,
        )
        self._session.note_open(file)
        return file

    def open_write(self, path: str, opening: Opening, traits: Traits) -> FarUpload:  # noqa: ARG002  modes are the server's
        """See `Home.open_write`."""
        spot = self._reach.changeable(path, *SENDS)
        acts = self._reach.acts(spot)
        self._session.require_few_open()
        partner = self._far.partner(spot)
        with partner.asking(spot.path) as line:
            found = self._far.find(line, spot)
            require_room_for(spot, found, exclusive=opening.exclusive)
            target = Target(partner=partner, spot=spot, work=self._session.call_work)
            terms = self._terms(spot, acts, opening)
            with telling(spot.path), below(terms.spot.root, terms.spot.above) as folder:
                if found is None:
                    partial, terms = self._beginning.to_free_name(
                        folder, terms, opening, _MODE, spot
                    )
                elif opening.truncate:
                    self._reach.require(spot, Act.OVERWRITE)
                    partial = self._beginning.anew(folder, terms, _MODE)
                else:
                    partial, terms = self._copy(line, folder, terms, target, found)
                    target = replace(target, copied=found)
        return self._begun(partial, terms, target, acts)

    def _begun(
        self, partial: Partial, terms: Terms, target: Target, acts: frozenset[Act]
    ) -> FarUpload:
        path = target.spot.path
        upload = FarUpload(
            partial,
            terms,
            target,
            change=lambda fd, wanted: set_traits(fd, wanted, acts, path),
            published=lambda: self._session.note_sent(path),
            finished=self._tell,
            let_go=lambda file: self._session.let_go_sending(path, file),
        )
        self._session.note_sending(path, upload)
        return upload

    def _terms(self, spot: Spot, acts: frozenset[Act], opening: Opening) -> Terms:
        spool, usage = self._reach.spool(spot)
        return Terms(
            account=self._reach.account.name,
            spot=spool,
            temporary=temporary_name(self._reach.account.name, spot.path),
            usage=usage,
            clock=self._clock,
            flush=False,  # the server is what keeps it
            replace=Act.OVERWRITE in acts and not opening.exclusive,
            append=opening.append,
            read=opening.read,
            mark=False,
            max_file_bytes=self._reach.account.max_file_bytes,
        )

    def _copy(
        self, line: Line, folder: int, terms: Terms, target: Target, found: Named
    ) -> tuple[Partial, Terms]:
        """Begin with a copy of what is there, so that it changes there in one step."""
        spot = target.spot
        self._beginning.require_seen(spot)
        acts = self._reach.require(spot, Act.OVERWRITE, Act.APPEND)
        limit = terms.max_file_bytes
        if limit is not None and found.size_bytes > limit:
            raise HomeError(
                Refusal.TOO_LARGE, f"{spot.path!r}: files may have {limit:,} bytes at most"
            )
        partial = self._beginning.anew(folder, terms, _MODE)
        try:
            self._fetch(line, partial.descriptor, terms, target, found.size_bytes)
        except BaseException:
            os.close(partial.descriptor)
            raise
        return Partial(partial.descriptor, found.size_bytes), replace(
            terms,
            replace=True,
            read=terms.read and Act.READ in acts,
            is_copy=True,
            floor_bytes=0 if Act.OVERWRITE in acts else found.size_bytes,
        )

    def _fetch(
        self, line: Line, descriptor: int, terms: Terms, target: Target, size_bytes: int
    ) -> None:
        """Have the first ``size_bytes`` of the file in the temporary."""
        terms.usage.take(size_bytes=size_bytes)
        remote, at = target.partner.remote(target.spot.inner), 0
        with line.endpoint.open_read(remote) as stream:
            while at < size_bytes:
                piece = stream.read(min(_CHUNK_BYTES, size_bytes - at))
                if not piece:
                    raise HomeError(Refusal.BUSY, f"{target.spot.path!r} has become shorter")
                with telling(target.spot.path):
                    os.pwrite(descriptor, piece, at)
                at += len(piece)
                target.work()
