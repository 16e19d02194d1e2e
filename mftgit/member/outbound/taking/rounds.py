"""Files that go to one name go there one after the other."""

from collections.abc import Iterator, Sequence

from mftgit.errors import TransientError
from mftgit.member.outbound.taking.parcel import Parcel
from mftgit.model.transfers.intent import Intent


class NameWaitsError(TransientError):
    """An earlier file waits for the name, and is not to be overtaken."""


def one_name(path: str) -> str:
    """Return what is the same for names that are one on some partners, who do not tell upper and lower case apart."""
    return path.casefold()


def rounds(parcels: Sequence[Parcel]) -> Iterator[list[Parcel]]:
    """Give the files in their order, so that no two of one round go to one name."""
    together: list[Parcel] = []
    names: set[str] = set()
    for parcel in parcels:
        name = one_name(parcel.intent.final)
        if name in names:
            yield together
            together, names = [], set()
        together.append(parcel)
        names.add(name)
    yield together


def has_to_wait(intent: Intent) -> NameWaitsError:
    """Return why a file is not sent while another one waits for its name."""
    return NameWaitsError(
        f"an earlier file waits at {intent.destination.location.name} for the name {intent.final}, and {intent.path} "
        "must not overtake it: see why that one failed"
    )
