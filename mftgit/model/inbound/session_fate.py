"""Whether a session goes on when the configuration changes."""

from dataclasses import replace
from enum import Enum, unique

from mftgit.model.inbound.account import Login
from mftgit.model.inbound.serving import Served


@unique
class Fate(Enum):
    """Why a session is ended."""

    GONE = "the account was removed or disabled"
    LOGIN = "how the account logs in was changed"
    PLACES = "the folders of the account were changed"
    RULES = "what the account may do was changed"
    EXPIRED = "the account has expired"


def fate(began: Served, now: Served | None) -> Fate | None:
    """Return why a session that ``began`` so ends where the account is ``now`` so; None: it goes on as it began.

    It goes on where nothing was changed but what new sessions are asked: more ways to log in, how many there may be,
    until when. That it has expired is seen by the clock.
    """
    if now is None:
        return Fate.GONE
    before, after = began.account, now.account
    places = (began.home, began.folders, began.far), (now.home, now.folders, now.far)
    rules = (
        (before.rules, before.quota, before.max_file_bytes),
        (after.rules, after.quota, after.max_file_bytes),
    )
    found = None
    if not (
        _still_lets_in(before.login, after.login)
        and (began.password, began.totp) == (now.password, now.totp)
        and before.sources == after.sources
    ):
        found = Fate.LOGIN
    elif places[0] != places[1]:
        found = Fate.PLACES
    elif rules[0] != rules[1]:
        found = Fate.RULES
    return found


def _still_lets_in(before: Login, after: Login) -> bool:
    """Tell whether whoever logged in by ``before`` would by ``after``, secrets apart."""
    return (
        set(before.keys) <= set(after.keys)
        and set(before.authorities) <= set(after.authorities)
        and set(before.principals) <= set(after.principals)
        and set(before.require) <= set(after.require)
        and replace(before, keys=(), authorities=(), principals=(), require=())
        == replace(after, keys=(), authorities=(), principals=(), require=())
    )
