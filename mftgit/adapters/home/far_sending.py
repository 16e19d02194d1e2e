"""An upload to a virtual folder on a server: kept in the account's home until it is whole, and then sent on."""

import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from mftgit.adapters.endpoint.contract import Kind, Named
from mftgit.adapters.endpoint.contract import Traits as EndpointTraits
from mftgit.adapters.home.contract import HomeError, Refusal, Traits
from mftgit.adapters.home.errors import telling
from mftgit.adapters.home.far import require_file
from mftgit.adapters.home.far_reading import is_unchanged
from mftgit.adapters.home.partner import Line, Partner
from mftgit.adapters.home.spots import Spot
from mftgit.adapters.home.temporary import Partial
from mftgit.adapters.home.upload import Terms, Upload
from mftgit.adapters.home.walk import below
from mftgit.model.inbound.account_path import FAR_TEMPORARY
from mftgit.model.inbound.finished import Finished

_CHUNK_BYTES: Final = 256 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a file goes: ``spot`` on the server of ``partner``. ``copied`` is the one that it began with a copy of.

    ``work`` is called while it is sent, and may raise to end that.
    """

    partner: Partner
    spot: Spot
    work: Callable[[], None]
    copied: Named | None = None


class FarUpload(Upload):
    """See `OpenFile`; its temporary lies in the home, as `Terms.spot` says."""

    def __init__(
        self,
        partial: Partial,
        terms: Terms,
        target: Target,
        *,
        change: Callable[[int, Traits], None],
        published: Callable[[], None],
        finished: Callable[[Finished], None],
        let_go: Callable[[Upload], None],
    ) -> None:
        super().__init__(
            partial, terms, change=change, published=published, finished=finished, let_go=let_go
        )
        self._target = target
        self._mtime_s: int | None = None

    @property
    def file(self) -> str:
        """See `Upload.file`; behind the name of the location."""
        return self._target.spot.file

    def set(self, traits: Traits) -> None:
        """See `OpenFile.set`; of times and modes, the server gets the time of change."""
        super().set(traits)
        if traits.mtime_s is not None:
            self._mtime_s = traits.mtime_s

    def publish(self) -> Finished | None:
        """See `OpenFile.publish`: the server has to be waited for."""
        return None

    def _publish(self, *, at_once: bool) -> bool:
        terms = self.terms
        with below(terms.spot.root, terms.spot.above) as folder:
            own = self._take(folder, at_once=at_once)
            try:
                replaced = self._send()
            except BaseException:
                self._put_back(folder, own)
                raise
            os.unlink(own, dir_fd=folder)
        terms.usage.give_back(size_bytes=self._size, files=1)
        return replaced

    def _send(self) -> bool:
        """Have the server have all of it under its name; tell whether a file was there before."""
        target, terms = self._target, self.terms
        with target.partner.asking(target.spot.path) as line:
            there = line.endpoint.look(target.partner.remote(target.spot.inner))
            if there is not None:
                self._require_replaceable(there)
            elif target.copied is not None:
                raise HomeError(
                    Refusal.BUSY, f"{target.spot.path!r} was removed by others meanwhile"
                )
            self._send_over(line, replace=terms.replace)
        return there is not None

    def _require_replaceable(self, there: Named) -> None:
        spot, copied = self._target.spot, self._target.copied
        require_file(spot, there)
        if not self.terms.replace:
            raise HomeError(Refusal.EXISTS, f"{spot.path!r} is there by now")
        if copied is not None and not is_unchanged(copied, there):
            raise HomeError(Refusal.BUSY, f"{spot.path!r} was changed by others meanwhile")

    def _send_over(self, line: Line, *, replace: bool) -> None:
        target, endpoint = self._target, line.endpoint
        partner, inner = target.partner, target.spot.inner
        hidden = partner.remote((*inner[:-1], f"{FAR_TEMPORARY}{secrets.token_hex(12)}"))
        try:
            endpoint.write(hidden, self._content(), on_chunk=lambda _done: target.work())
            if self._mtime_s is not None:  # where a server cannot keep it, the file counts more
                endpoint.set_all([(hidden, EndpointTraits(mtime_ns=self._mtime_s * 10**9))])
            target.work()
            endpoint.rename(hidden, partner.remote(inner), replace=replace)
        except BaseException:
            partner.clear_away(line, hidden)
            raise

    def _content(self) -> Iterator[bytes]:
        at = 0
        while at < self._size:
            with telling(self.terms.spot.path):
                piece = os.pread(self.descriptor, min(_CHUNK_BYTES, self._size - at), at)
            if not piece:
                raise HomeError(
                    Refusal.FAILED,
                    f"{self.terms.spot.path!r}: what was sent of it was cut short by others",
                )
            yield piece
            at += len(piece)


def require_room_for(spot: Spot, found: Named | None, *, exclusive: bool) -> None:
    """Raise `HomeError` where no file can come to be at ``spot``."""
    if found is None:
        return
    if exclusive:
        raise HomeError(Refusal.EXISTS, f"{spot.path!r} is there")
    if found.kind is not Kind.FILE:
        require_file(spot, found)
