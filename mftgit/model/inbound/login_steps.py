"""How a client proves, step by step, that it is an account (RFC 4252, 5.1): what it may try next, and when it is in.

Before anything is proved, everybody is offered the same: what is offered must not tell which accounts there are.
"""

from collections.abc import Iterable
from enum import Enum, unique
from typing import Final

from mftgit.model.inbound.account import Factor


@unique
class Method(Enum):
    """A method of the protocol, by its name there (RFC 4252, RFC 4256)."""

    KEY = "publickey"
    PASSWORD = "password"  # noqa: S105  the name of a method
    INTERACTIVE = "keyboard-interactive"


@unique
class Flaw(Enum):
    """Why somebody is not let in: for events and for operators, never for the client."""

    UNKNOWN = "no such account"
    EXPIRED = "the account has expired"
    SOURCE = "not from this address"
    SERVICE = "not on this service"
    KEY = "no key of the account"
    CERTIFICATE = "no good certificate"
    SIGNATURE = "a signature that is not by the key"
    PASSWORD = "a wrong password"  # noqa: S105  a description
    CODE = "a wrong one-time code"
    USED_CODE = "a one-time code that was used before"
    UNFIT = "a method that the account does not have"


Require = tuple[frozenset[Factor], ...]

_ASKED_BY: Final = {
    Factor.KEY: (Method.KEY,),
    Factor.PASSWORD: (Method.PASSWORD, Method.INTERACTIVE),
    Factor.TOTP: (Method.INTERACTIVE,),
}


def is_enough(require: Require, passed: frozenset[Factor]) -> bool:
    """Tell whether who has proved ``passed`` is in; nobody is by nothing."""
    return any(each and each <= passed for each in require)


def useful(require: Require, passed: frozenset[Factor]) -> frozenset[Factor]:
    """Return what brings one nearer who has proved ``passed``: a one-time code only as the last, and never alone."""
    lacking = [each - passed for each in require]
    last = {Factor.TOTP} if passed and frozenset({Factor.TOTP}) in lacking else set()
    return frozenset().union(*lacking) - {Factor.TOTP} | last


def asked_for(require: Require, passed: frozenset[Factor]) -> Factor | None:
    """Return what a conversation (keyboard-interactive) asks for next; None where it has nothing to ask for.

    Who has proved nothing is asked for a password, whatever the account needs.
    """
    if not passed:
        return Factor.PASSWORD
    left = useful(require, passed)
    return next((each for each in (Factor.TOTP, Factor.PASSWORD) if each in left), None)


def methods(factors: Iterable[Factor]) -> tuple[Method, ...]:
    """Return the methods by which ``factors`` can be proved, each once."""
    wanted = {method for factor in factors for method in _ASKED_BY[factor]}
    return tuple(method for method in Method if method in wanted)


def offered_to_all(requires: Iterable[Require]) -> tuple[Method, ...]:
    """Return what everybody may try first, where ``requires`` are those of all accounts of a service."""
    found = methods(useful(tuple(set().union(*requires)), frozenset()))
    return found or methods((Factor.KEY, Factor.PASSWORD))
