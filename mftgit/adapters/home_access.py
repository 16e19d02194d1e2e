"""What an account may do, asked by its own paths."""

from mftgit.adapters.home import HomeError, Refusal
from mftgit.adapters.home_spots import Spot
from mftgit.model.account import Account
from mftgit.model.permission import Act, allowed, is_seen, names_told


class Access:
    """The rules of an account."""

    def __init__(self, account: Account) -> None:
        self.rules = account.rules

    def acts(self, spot: Spot) -> frozenset[Act]:
        """Return what is allowed there."""
        return allowed(self.rules, spot.path)

    def is_seen(self, path: str) -> bool:
        """Tell whether ``path`` is there at all for the account."""
        return path == "/" or is_seen(self.rules, path)

    def names_told(self, spot: Spot) -> frozenset[str]:
        """Return the names in the folder that the rules themselves tell."""
        return names_told(self.rules, spot.path)

    def require(self, spot: Spot, *any_of: Act) -> frozenset[Act]:
        """Return what is allowed there.

        Raises:
            HomeError: none of ``any_of`` is; whether something is there plays no part, so that nothing is told of it.
        """
        acts = self.acts(spot)
        if acts.isdisjoint(any_of):
            if not self.is_seen(spot.path):
                raise HomeError(Refusal.MISSING, f"{spot.path!r} is not there")
            words = " or ".join(each.value for each in any_of)
            raise HomeError(Refusal.DENIED, f"{spot.path!r}: this account may not {words} there")
        return acts
