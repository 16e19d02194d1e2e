"""How an upload begins: with a new temporary, or with one that is unfinished."""

from dataclasses import replace

from mftgit.adapters.home.contract import HomeError, Opening, Refusal
from mftgit.adapters.home.reach import Reach, missing
from mftgit.adapters.home.session import Session
from mftgit.adapters.home.spots import Spot
from mftgit.adapters.home.temporary import Partial, begin, drop, go_on, is_held
from mftgit.adapters.home.upload import Terms
from mftgit.model.inbound.permission import Act


class Beginning:
    """Begins uploads of one session; ``folder`` is that of the temporary."""

    def __init__(self, reach: Reach, session: Session) -> None:
        self._reach = reach
        self._session = session

    def to_free_name(
        self, folder: int, terms: Terms, opening: Opening, mode: int, spot: Spot
    ) -> tuple[Partial, Terms]:
        """Begin an upload to ``spot``, where nothing is, or go on with one that is unfinished."""
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
        return self.anew(folder, terms, mode), terms

    def anew(self, folder: int, terms: Terms, mode: int) -> Partial:
        """Begin with nothing."""
        forget_unfinished(folder, terms)
        terms.usage.take(files=1)
        return begin(folder, terms.temporary, mode)

    def require_seen(self, spot: Spot) -> None:
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


def forget_unfinished(folder: int, terms: Terms) -> None:
    """Remove what an earlier session has left of it, or sends still, so that it takes no room any more."""
    dropped = drop(folder, terms.temporary)
    if dropped is not None:
        terms.usage.give_back(size_bytes=dropped.st_size, files=1)
