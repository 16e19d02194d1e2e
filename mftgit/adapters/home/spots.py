"""Where the paths of an account lie: below its home, or below one of its virtual folders, also on a server."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mftgit.adapters.home.contract import HomeError, Refusal
from mftgit.model.inbound.account_path import Parts, is_reserved, is_reserved_far, parts_of, text_of
from mftgit.model.locations.far_place import FarPlace


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """``path`` of an account: it lies at ``inner`` below the folder ``root`` of this machine, or of ``far``."""

    path: str
    parts: Parts
    root: str
    inner: Parts
    far: FarPlace | None = None

    @property
    def above(self) -> Parts:
        """The folder that it lies in, below ``root``."""
        return self.inner[:-1]

    @property
    def name(self) -> str:
        """Its name in that folder; a root has none.

        Raises:
            HomeError: it is a root.
        """
        if not self.inner:
            raise HomeError(Refusal.IS_FOLDER, f"{self.path!r} is a folder that stays as it is")
        return self.inner[-1]

    @property
    def file(self) -> str:
        """Its path on this machine; on a server, behind the name of the location."""
        if self.far is not None:
            return self.far.written(self.inner)
        return "/".join((self.root.rstrip("/"), *self.inner))


class Spots:
    """The home of an account, and its virtual folders."""

    def __init__(
        self, home: str, folders: Mapping[str, str], far: Mapping[str, FarPlace] | None = None
    ) -> None:
        self._home = home
        self._folders: dict[Parts, str | FarPlace] = {
            parts_of(at): place for each in (folders, far or {}) for at, place in each.items()
        }
        self.is_far = bool(far)

    def find(self, path: str) -> Spot:
        """Return where ``path`` lies.

        Raises:
            HomeError: no file can have such a path, or it is one of the cluster's own names.
        """
        try:
            parts = parts_of(path)
        except ValueError as error:
            raise HomeError(Refusal.BAD_NAME, str(error)) from None
        spot = self.at(parts)
        if any(map(is_reserved if spot.far is None else is_reserved_far, parts)):
            raise HomeError(Refusal.MISSING, f"{text_of(parts)!r} is not there")
        return spot

    def at(self, parts: Parts) -> Spot:
        """Return where ``parts`` lead to."""
        for length in range(len(parts), 0, -1) if self._folders else ():
            place = self._folders.get(parts[:length])
            if place is not None:
                return _spot(parts, place, parts[length:])
        return Spot(path=text_of(parts), parts=parts, root=self._home, inner=parts)

    def roots(self) -> Iterator[str]:
        """Give the folders of this machine that an account sees, its home first."""
        yield self._home
        yield from (each for each in self._folders.values() if isinstance(each, str))

    def leads_to_folder(self, parts: Parts) -> bool:
        """Tell whether ``parts`` are, or lie above, a virtual folder or the home: there is a folder in any case."""
        return not parts or any(at[: len(parts)] == parts for at in self._folders)

    def names_in(self, parts: Parts) -> set[str]:
        """Return the names in the folder ``parts`` that are, or lead to, virtual folders."""
        depth = len(parts)
        return {at[depth] for at in self._folders if len(at) > depth and at[:depth] == parts}


def _spot(parts: Parts, place: str | FarPlace, inner: Parts) -> Spot:
    far = None if isinstance(place, str) else place
    root = place if isinstance(place, str) else place.written(())
    return Spot(path=text_of(parts), parts=parts, root=root, inner=inner, far=far)
