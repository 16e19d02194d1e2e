"""Claims: files taken out of the source by rename, and the fence that takes them over.

The fence is one for claims and for intents: a folder per epoch, of which the highest counts. A successor raises its own
folder first and looks for a higher one after, then renames every entry of the lower folders into its own and **removes
the lower folders**. From then on no rename of a predecessor into them can succeed, however late it comes, also not one
that was begun with the folder's handle already in hand. (To rename the folder away would not do that.)
"""

from collections.abc import Sequence
from typing import Final

from mftgit.adapters.endpoint.contract import (
    Endpoint,
    EndpointLostError,
    EndpointRefusedError,
    FileExistsAtEndpointError,
    FileMissingError,
)
from mftgit.errors import MftgitError
from mftgit.member.outbound.ownership.own import OwnershipEndedError, SupersededError
from mftgit.model.names import Epoch
from mftgit.model.transfers.claim import ClaimId, format_claim, join, parse_claim, unique_name

_AREA: Final = ".mftgit"

_ROUNDS: Final = 100
"""How often a lower folder is emptied before we say that it cannot be; only a predecessor at work refills it."""


def take_over(endpoint: Endpoint, base: str, epoch: Epoch) -> None:
    """Make ``base/EPOCH`` the only epoch's folder below ``base``, with everything that lower ones held.

    May be interrupted anywhere and done again, by this epoch or by a higher one.

    Raises:
        SupersededError: a higher epoch was here; nothing of it was touched.
        EndpointRefusedError: a lower folder does not become empty.
    """
    own = f"{base}/{epoch}"
    endpoint.make_folder(own)
    epochs = [int(name) for name in endpoint.list_names(base) if name.isdecimal()]
    if max(epochs, default=epoch) > epoch:
        raise SupersededError(epoch, by=Epoch(max(epochs)))
    # From the highest down: where two hold one name, the lower epoch's is the newer. Its owner wrote again after the
    # other had adopted what was there; and the other wrote nothing, because the lower folder still stands.
    for lower in sorted((other for other in epochs if other < epoch), reverse=True):
        _empty_and_remove(endpoint, f"{base}/{lower}", own)


def _empty_and_remove(endpoint: Endpoint, lower: str, own: str) -> None:
    for _ in range(_ROUNDS):
        try:
            names = endpoint.list_names(lower)
        except FileMissingError:
            return
        for name in names:
            _adopt(endpoint, f"{lower}/{name}", f"{own}/{name}")
        if endpoint.remove_folder(lower):
            return
    raise EndpointRefusedError(
        f"the folder {lower} of an earlier owner does not become empty: "
        "see what is in it, and that no member with a lower epoch writes there"
    )


def _adopt(endpoint: Endpoint, old: str, new: str) -> None:
    """Rename one entry; its name holds an id that is given once, so a ``new`` that is there is the same, older."""
    try:
        endpoint.rename(old, new, replace=True)
    except FileMissingError:
        try:
            endpoint.list_names(new.rpartition("/")[0])
        except FileMissingError:
            raise OwnershipEndedError(f"a successor has removed {new.rpartition('/')[0]}") from None


class Claims:
    """The claims of one epoch at the source of one transfer.

    ``source`` asks the ownership before every effect (`FencedEndpoint`); ``folder`` is the transfer's source path and
    ``area`` what its epochs are counted under (`RunContext.area`).
    """

    def __init__(self, source: Endpoint, *, folder: str, area: str, epoch: Epoch) -> None:
        self._source = source
        self._folder = folder
        self._base = join(folder, f"{_AREA}/{area}/claims")
        self._epoch = epoch
        self._own = f"{self._base}/{epoch}"

    def take_over(self, *, needed: bool) -> None:
        """Raise this epoch's folder and adopt what lower epochs hold; see `take_over`.

        Without ``needed`` (the source is kept as it is, and may be read-only) only where there are claims already.
        """
        if needed or self._exists():
            take_over(self._source, self._base, self._epoch)

    def has_source(self) -> bool:
        """Tell whether the folder is there that the claims come from."""
        try:
            self._source.list_names(self._folder)
        except FileMissingError:
            return False
        return True

    def left_over(self) -> bool:
        """Tell whether any epoch's folder holds a claim."""
        if not self._exists():
            return False
        return any(
            self._names(f"{self._base}/{name}")
            for name in self._source.list_names(self._base)
            if name.isdecimal()
        )

    def held(self) -> list["Claim"]:
        """Return the claims of this epoch; a file that bears no claim's name is passed over and left alone."""
        found = []
        for name in self._names(self._own):
            try:
                told = parse_claim(name)
            except ValueError:
                continue
            found.append(self._claim(told.id, name, told.path))
        return found

    def take(self, files: Sequence[tuple[ClaimId, str]]) -> "list[Claim | MftgitError | None]":
        """Rename each (id, path below the source) into a claim; None stands for a file that is gone.

        Raises:
            OwnershipEndedError: a successor has removed this epoch's folder.
        """
        names = [format_claim(claim, path) for claim, path in files]
        # A name is new by its id; and only a rename that may replace is one step on every storage.
        moves = (
            (join(self._folder, path), f"{self._own}/{name}")
            for (_, path), name in zip(files, names, strict=True)
        )
        ended = self._source.rename_all(moves, replace=True)
        # "Missing" may be wrong (NFS sends a rename again whose reply was lost): look.
        missing = any(isinstance(each, FileMissingError) for each in ended)
        here = set(self._own_names()) if missing else set[str]()
        taken: list[Claim | MftgitError | None] = []
        for (claim, path), name, error in zip(files, names, ended, strict=True):
            if error is None or (isinstance(error, FileMissingError) and name in here):
                taken.append(self._claim(claim, name, path))
            else:
                taken.append(None if isinstance(error, FileMissingError) else error)
        return taken

    def _claim(self, claim: ClaimId, name: str, path: str | None) -> "Claim":
        return Claim(
            self._source, claim=claim, path=path, at=f"{self._own}/{name}", folder=self._folder
        )

    def _own_names(self) -> list[str]:
        try:
            return self._source.list_names(self._own)
        except FileMissingError:
            raise OwnershipEndedError(f"a successor has removed {self._own}") from None

    def _names(self, folder: str) -> list[str]:
        return self._listed(folder) or []

    def _exists(self) -> bool:
        return self._listed(self._base) is not None

    def _listed(self, folder: str) -> list[str] | None:
        """Return the names there, None where it is not there; some servers refuse to say that of a folder."""
        try:
            return self._source.list_names(folder)
        except FileMissingError:
            return None
        except EndpointRefusedError:
            if _AREA in self._source.list_names(self._folder):
                raise
            return None


class Claim:
    """One claimed file. ``at`` is where it is at the source, ``path`` what it was called below the source.

    ``path`` is None where the name of the claim was too short to tell it; the record does.
    """

    def __init__(
        self, source: Endpoint, *, claim: ClaimId, path: str | None, at: str, folder: str
    ) -> None:
        self._source = source
        self._folder = folder
        self.id = claim
        self.path = path
        self.at = at

    def put_back(self, path: str) -> bool:
        """Give the file its own name again unless that is taken; return whether that was done."""
        try:
            self._source.rename(self.at, join(self._folder, path), replace=False)
        except (FileExistsAtEndpointError, FileMissingError):
            return False
        return True

    @property
    def source(self) -> Endpoint:
        """Where it lies."""
        return self._source


def delete(claims: Sequence[Claim]) -> list[MftgitError | None]:
    """Remove the files of ``claims``, which are at one source; one that is gone is fine."""
    if not claims:
        return []
    ended = claims[0].source.remove_all(claim.at for claim in claims)
    return [None if isinstance(each, FileMissingError) else each for each in ended]


def archive(
    moves: Sequence[tuple[Claim, str]],
    *,
    replace: bool = False,
    placed: dict[ClaimId, str] | None = None,
) -> list[MftgitError | None]:
    """Move each (claim, target) there, all at one source; what is gone is fine.

    Where the target is taken, the file goes beside it, or, with ``replace``, into its place. Where each of them came
    to be is put into ``placed``.
    """
    placed = {} if placed is None else placed
    if not moves:
        return []
    source = moves[0][0].source
    faults = _make_folders(source, [target for _, target in moves])
    fit = [at for at, (_, target) in enumerate(moves) if _above(target) not in faults]
    ended: list[MftgitError | None] = [faults.get(_above(target)) for _, target in moves]
    first = source.rename_all(((moves[at][0].at, moves[at][1]) for at in fit), replace=replace)
    for at, error in zip(fit, first, strict=True):
        ended[at] = None if isinstance(error, FileMissingError) else error
        if error is None:
            placed[moves[at][0].id] = moves[at][1]
    taken = [at for at in fit if isinstance(ended[at], FileExistsAtEndpointError)]
    beside = source.rename_all(
        ((moves[at][0].at, unique_name(moves[at][1], moves[at][0].id)) for at in taken),
        replace=False,
    )
    for at, error in zip(taken, beside, strict=True):
        both = isinstance(error, FileExistsAtEndpointError)
        ended[at] = _both_taken(*moves[at]) if both else error
        if isinstance(error, FileMissingError):
            ended[at] = None
        if error is None:
            placed[moves[at][0].id] = unique_name(moves[at][1], moves[at][0].id)
    return ended


def _above(path: str) -> str:
    return path.rpartition("/")[0] or "."


def _make_folders(source: Endpoint, targets: Sequence[str]) -> dict[str, MftgitError]:
    """Make the folders of ``targets``, and return what is wrong with those that cannot be made."""
    faults: dict[str, MftgitError] = {}
    for folder in dict.fromkeys(map(_above, targets)):
        try:
            source.make_folder(folder)
        except (EndpointLostError, OwnershipEndedError):
            raise
        except MftgitError as error:
            faults[folder] = error
    return faults


def _both_taken(claim: Claim, target: str) -> FileExistsAtEndpointError:
    return FileExistsAtEndpointError(
        f"{target} and {unique_name(target, claim.id)} are both there: "
        "move them away, and the file is archived by the next run"
    )
