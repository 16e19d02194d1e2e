"""One transfer as the whole cluster has it, of what each of its members says; and which of thousands are asked for."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mftgit.model.configuration.config import Ownership
from mftgit.model.members.messages import MemberState, MemberStatus
from mftgit.model.members.orders import Verb
from mftgit.model.names import MemberName, TransferName
from mftgit.model.transfers.status import TransferStatus

NOT_HEARD: Final = frozenset(
    {MemberState.SILENT, MemberState.STOPPED, MemberState.NEVER_SEEN, MemberState.REMOVED}
)
"""Members whose word is of a time before."""

MOST_ON_A_PAGE: Final = 500
PAUSED: Final = "paused"
NOBODY: Final = "nobody"


class NoTargetError(ValueError):
    """There is no member that the order could go to; the text is for the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one member says of a transfer; ``heard``: it is in touch, so that this is how it is now."""

    member: MemberName
    heard: bool
    status: TransferStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferView:
    """A transfer, as ``said`` by the member to believe; where each member runs it for itself, that of one member.

    ``members`` are all that have it, with whether they are in touch.
    """

    said: Said
    members: Mapping[MemberName, bool]

    @property
    def name(self) -> TransferName:
        """Return its name."""
        return self.said.status.name

    @property
    def is_each(self) -> bool:
        """Tell whether every member runs it for itself."""
        return self.said.status.ownership is Ownership.EACH

    @property
    def words(self) -> tuple[str, ...]:
        """Return by which words for its state it is found."""
        status = self.said.status
        return (
            status.state.value,
            *([PAUSED] if status.paused else []),
            *([] if status.owner else [NOBODY]),
        )

    def as_json(self) -> dict[str, Any]:
        """Return the shape that the API documents: that of ``transfer list --json``, and who says it."""
        return {
            **self.said.status.as_json(),
            "told_by": self.said.member,
            "heard": self.said.heard,
            "members": sorted(self.members),
        }


def view_all(members: Iterable[MemberStatus]) -> tuple[TransferView, ...]:
    """Return every transfer that ``members`` tell of, by name."""
    told: dict[tuple[TransferName, MemberName | None], list[Said]] = {}
    for member in members:
        heard = member.state not in NOT_HEARD
        for status in member.transfers:
            alone = member.name if status.ownership is Ownership.EACH else None
            said = Said(member=member.name, heard=heard, status=status)
            told.setdefault((status.name, alone), []).append(said)
    keys = sorted(told, key=lambda key: (key[0], key[1] or ""))
    return tuple(_view(told[key]) for key in keys)


def _view(told: Sequence[Said]) -> TransferView:
    """Believe who is in touch, then who knows the highest epoch, then the owner itself."""
    return TransferView(
        said=max(told, key=_weight), members={each.member: each.heard for each in told}
    )


def _weight(said: Said) -> tuple[bool, int, bool]:
    return said.heard, said.status.epoch or 0, said.status.owner == said.member


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which transfers are asked for: ``text`` is in the name or the owner's, ``state`` one of `TransferView.words`."""

    text: str = ""
    state: str = ""
    page: int = 1
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One page of them; ``states`` counts all that there are by their words."""

    views: tuple[TransferView, ...]
    total: int
    matching: int
    states: Mapping[str, int]


def find(views: Sequence[TransferView], wanted: Wanted) -> Found:
    """Return the page of ``views`` that is asked for; those that need somebody come first."""
    states = Counter(word for each in views for word in each.words)
    text = wanted.text.casefold()
    matching = [
        each
        for each in views
        if (not wanted.state or wanted.state in each.words) and (not text or _has(each, text))
    ]
    matching.sort(key=lambda each: each.said.status.state.value != "failing")
    start = (max(1, wanted.page) - 1) * wanted.limit
    return Found(
        views=tuple(matching[start : start + wanted.limit]),
        total=len(views),
        matching=len(matching),
        states=dict(sorted(states.items())),
    )


def _has(view: TransferView, text: str) -> bool:
    return text in view.name.casefold() or text in (view.said.status.owner or "").casefold()


_FOR_THE_OWNER: Final = frozenset({Verb.RUN_TRANSFER, Verb.STOP_RUN})


def choose_member(
    verb: Verb,
    views: Sequence[TransferView],
    *,
    asked: MemberName | None,
    controller: MemberName,
) -> MemberName:
    """Return the member that an order about a transfer goes to, whose ``views`` these are.

    To run it and to stop it is for its owner. The rest is a word on the storage, which any member that has the
    transfer can leave: the controller's own where it has it, else the owner.

    Raises:
        NoTargetError: there is none, or it has to be ``asked`` for.
    """
    having: dict[MemberName, bool] = {}
    for each in views:
        having |= each.members
    if asked is not None:
        if asked not in having:
            raise NoTargetError(f"{asked} does not have this transfer: {_names(having)} do")
        return asked
    if len(views) > 1 or views[0].is_each:
        raise NoTargetError(f"every member runs it for itself: say which of {_names(having)}")
    owner = views[0].said.status.owner
    if verb in _FOR_THE_OWNER:
        if owner is None:
            raise NoTargetError("nobody owns it just now: try again in some seconds")
        return owner
    in_touch = [name for name, heard in having.items() if heard]
    for name in (controller, owner, *sorted(in_touch)):
        if name is not None and name in in_touch:
            return name
    raise NoTargetError(f"none of {_names(having)} is in touch")


def _names(members: Collection[MemberName]) -> str:
    return ", ".join(sorted(members))
