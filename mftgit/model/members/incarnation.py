"""How often a cluster's controller was made anew: so that no member follows one that was replaced.

A controller that was restored from a member has the number of the one before, and one more. It shows it with each head,
with a *warrant*: the number, signed by the cluster's authority. Members keep the highest that they have seen, take no
head of a lower one, and show what they keep with each request, by which a controller that was replaced learns that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

HEADER: Final = "X-Mftgit-Incarnation"
MAX_WARRANT: Final = 300
_HIGHEST: Final = 1_000_000


def parse_incarnation(value: Any) -> int:
    """Return a number of incarnations; raises ValueError."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _HIGHEST:
        raise ValueError("an incarnation is a number from 0 on")
    return value


def warrant_text(cluster_id: str, incarnation: int) -> bytes:
    """Return what the authority signs."""
    return f"mftgit incarnation {incarnation} of {cluster_id}".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a member has seen: the highest number, and its warrant."""

    incarnation: int = 0
    warrant: str = ""

    def header(self) -> str:
        """Return what goes into `HEADER`."""
        return f"{self.incarnation} {self.warrant}"


def read_header(text: str | None) -> Shown | None:
    """Return what a member shows; None where that is nothing, or not of that shape."""
    number, _, warrant = (text or "").partition(" ")
    if not number.isascii() or not number.isdecimal() or len(number) > 7 or not warrant:  # noqa: PLR2004  digits
        return None
    return Shown(incarnation=int(number), warrant=warrant[:MAX_WARRANT])


class Seal(Protocol):
    """What is known of the signatures of the cluster's authority."""

    def is_signed(self, word: bytes, signature: str) -> bool:
        """Tell whether the authority has signed ``word``."""

    def is_same(self, one: str, other: str) -> bool:
        """Tell whether two signatures of one text were made at once, whatever they were turned into since."""


def replaces(
    shown: Shown | None,
    *,
    own: int,
    cluster_id: str,
    is_signed: Callable[[bytes, str], bool],
) -> int | None:
    """Return the incarnation that has replaced the ``own`` one, as ``shown`` proves; None where it does not."""
    if shown is None or shown.incarnation <= own:
        return None
    signed = is_signed(warrant_text(cluster_id, shown.incarnation), shown.warrant)
    return shown.incarnation if signed else None


def disputes(one: Shown, other: Shown, *, cluster_id: str, seal: Seal) -> bool:
    """Tell whether these are two controllers of one number: two were made anew at once, from two members.

    Each has a warrant that the authority signed when it was made, and no two signatures of one text are the same.
    """
    if one.incarnation != other.incarnation or one.warrant == other.warrant:
        return False
    word = warrant_text(cluster_id, one.incarnation)
    signed = all(each.warrant and seal.is_signed(word, each.warrant) for each in (one, other))
    return signed and not seal.is_same(one.warrant, other.warrant)
