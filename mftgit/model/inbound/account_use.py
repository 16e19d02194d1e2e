"""How accounts are in use, as a member tells the controller, and as it hears of the other members.

Told are the sessions of an account, and the time step of the last one-time code that it has used (`model.totp`): never
the code.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from mftgit.model.names import AccountName, parse_name
from mftgit.model.told_number import count_of

MOST_TOLD: Final = 5_000
"""So many accounts a member tells of, and is told of in one answer."""

TELL_EVERY_S: Final = 30.0
"""How often a member tells what it has told before: it is there still."""

KNOWN_S: Final = 3 * TELL_EVERY_S
"""So long what a member has said counts, at the controller and at the other members."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountUse:
    """How many ``sessions`` an account has, and the time step of its last code; None where none was used of late."""

    account: AccountName
    sessions: int = 0
    step: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the shape that goes over the wire."""
        return {"account": self.account, "sessions": self.sessions, "step": self.step}


@dataclass(frozen=True, slots=True, kw_only=True)
class UseTold:
    """All ``accounts`` that are in use at a member, which knows of the others up to the change ``after``."""

    after: int
    accounts: tuple[AccountUse, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the shape that goes over the wire."""
        return {"after": self.after, "accounts": [each.as_json() for each in self.accounts]}


@dataclass(frozen=True, slots=True, kw_only=True)
class UseNews:
    """What a member has yet to learn of the others: up to the change ``number``, and ``more`` after that.

    ``whole``: what it knew before does not count any more.
    """

    number: int
    whole: bool
    more: bool
    accounts: tuple[AccountUse, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the shape that goes over the wire."""
        return {
            "number": self.number,
            "whole": self.whole,
            "more": self.more,
            "accounts": [each.as_json() for each in self.accounts],
        }


def tell_uses(after: int, uses: Iterable[AccountUse]) -> UseTold:
    """Return what is told of ``uses``: of too many, those with a code, and then those with most sessions."""
    ordered = sorted(uses, key=lambda use: (use.step is None, -use.sessions, use.account))
    return UseTold(after=after, accounts=tuple(ordered[:MOST_TOLD]))


def parse_use_told(value: Any) -> UseTold:
    """Return what `UseTold.as_json` gave ``value`` for.

    Raises:
        ValueError: it is not of that shape, or longer than a member tells.
    """
    match value:
        case {"after": int(after), "accounts": [*accounts]} if len(accounts) <= MOST_TOLD:
            return UseTold(after=after, accounts=tuple(map(_parse, accounts)))
        case _:
            raise ValueError("not how accounts are in use, or of too many of them")


def parse_use_news(value: Any) -> UseNews:
    """Return what `UseNews.as_json` gave ``value`` for.

    Raises:
        ValueError: it is not of that shape.
    """
    match value:
        case {
            "number": int(number),
            "whole": bool(whole),
            "more": bool(more),
            "accounts": [*accounts],
        } if len(accounts) <= MOST_TOLD:
            found = tuple(map(_parse, accounts))
            return UseNews(number=number, whole=whole, more=more, accounts=found)
        case _:
            raise ValueError("no news of how accounts are in use")


def _parse(value: Any) -> AccountUse:
    match value:
        case {"account": str(account), "sessions": int(sessions), "step": int() | None as step}:
            return AccountUse(
                account=AccountName(parse_name(account)),
                sessions=count_of(sessions),
                step=None if step is None else count_of(step),
            )
        case _:
            raise ValueError("not how an account is in use")
