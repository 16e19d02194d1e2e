"""Where on this machine the paths of an account lie: below its home, or below one of its virtual folders."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mftgit.adapters.home import HomeError, Refusal
from mftgit.model.account_path import Parts, is_reserved, parts_of, text_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """``path`` of an account: it lies below the folder ``root`` of this machine, at ``inner``."""

    path: str
    parts: Parts
    root: str
    inner: Parts

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
        """Its path on this machine."""
        return "/".join((self.root.rstrip("/"), *self.inner))


class Spots:
    """The home of an account, and its virtual folders."""

    def __init__(self, home: str, folders: Mapping[str, str]) -> None:
        self._home = home
        self._folders = {parts_of(at): folder for at, folder in folders.items()}

    def find(self, path: str) -> Spot:
        """Return where ``path`` lies.

        Raises:
            HomeError: no file can have such a path, or it is one of the cluster's own names.
        """
        try:
            parts = parts_of(path)
        except ValueError as error:
            raise HomeError(Refusal.BAD_NAME, str(error)) from None
        if any(is_reserved(part) for part in parts):
            raise HomeError(Refusal.MISSING, f"{text_of(parts)!r} is not there")
        return self.at(parts)

    def at(self, parts: Parts) -> Spot:
        """Return where ``parts`` lead to."""
        for length in range(len(parts), 0, -1) if self._folders else ():
            folder = self._folders.get(parts[:length])
            if folder is not None:
                return Spot(path=text_of(parts), parts=parts, root=folder, inner=parts[length:])
        return Spot(path=text_of(parts), parts=parts, root=self._home, inner=parts)

    def roots(self) -> Iterator[str]:
        """Give the folders of this machine that an account sees, its home first."""
        yield self._home
        yield from self._folders.values()

    def leads_to_folder(self, parts: Parts) -> bool:
        """Tell whether ``parts`` are, or lie above, a virtual folder or the home: there is a folder in any case."""
        return not parts or any(at[: len(parts)] == parts for at in self._folders)

    def names_in(self, parts: Parts) -> set[str]:
        """Return the names in the folder ``parts`` that are, or lead to, virtual folders."""
        depth = len(parts)
        return {at[depth] for at in self._folders if len(at) > depth and at[:depth] == parts}
