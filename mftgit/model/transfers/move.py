"""That an operator wants a transfer to go to another member: a word left for its owner, which is taken once."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum, unique
from typing import Any, Final

from mftgit.model.names import MemberName, TransferName, parse_name
from mftgit.model.ownership.spread import Want
from mftgit.model.ownership.standing import Standing

_LONGEST: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Who it is to go ``to``, by which user, on which member, and when (RFC 3339; for people)."""

    to: MemberName
    by: str
    member: str
    at: str


@unique
class Answer(Enum):
    """What a member does about the word."""

    WAIT = "wait"
    """Nothing: it is another one's to do, or the member that it goes to is not ready."""
    MAKE_READY = "make ready"
    """Stand aside no more, for it comes here."""
    MOVE = "move"
    """Take the word away, and hand the transfer over."""
    DROP = "drop"
    """Take the word away: it is done, or cannot be."""


def answer(
    move: Move,
    name: TransferName,
    want: Want,
    members: Mapping[MemberName, Standing],
    *,
    me: MemberName,
    mine: bool,
) -> Answer:
    """Return what ``me`` does, who sees ``members`` and owns the transfer where it is ``mine``."""
    if not mine:
        aside = me in members and name in members[me].aside
        return Answer.MAKE_READY if move.to == me and aside else Answer.WAIT
    there = members.get(move.to)
    may = want.eligible is None or move.to in want.eligible
    if move.to == me or there is None or there.draining or not may:
        return Answer.DROP
    return Answer.WAIT if name in there.aside else Answer.MOVE


def format_move(move: Move) -> bytes:
    """Return ``move`` as JSON."""
    return json.dumps(asdict(move)).encode() + b"\n"


def parse_move(content: bytes) -> Move:
    """Return what `format_move` gave ``content`` for; raises ValueError."""
    value: Any = json.loads(content)
    if not isinstance(value, dict):
        raise ValueError("not a word of an operator")  # noqa: TRY004  one error for whatever it is
    by, member, at = (str(value.get(each))[:_LONGEST] for each in ("by", "member", "at"))
    return Move(to=MemberName(parse_name(str(value.get("to")))), by=by, member=member, at=at)
