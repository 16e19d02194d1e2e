"""Who somebody is, and what that lets them do."""

from dataclasses import dataclass
from enum import Enum, unique


@unique
class Kind(Enum):
    """The two kinds of parties that talk to the controller; neither can stand in for the other."""

    OPERATOR = "operator"
    MEMBER = "member"


@unique
class OperatorRole(Enum):
    """What an operator may do; each may do what those before it may.

    READ: clone and fetch. PROPOSE: push ``change/*``. PUBLISH: push ``main``.
    """

    READ = "read"
    PROPOSE = "propose"
    PUBLISH = "publish"

    def may(self, needed: "OperatorRole") -> bool:
        """Tell whether this role is enough where ``needed`` is asked for."""
        order = list(OperatorRole)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A party that has proved who it is; a member's role is READ, for it is configured, it does not configure."""

    kind: Kind
    name: str
    role: OperatorRole = OperatorRole.READ

    def __str__(self) -> str:
        return f"{self.kind.value} {self.name}"


@unique
class Access(Enum):
    """Who may use a door of the controller."""

    ANYONE = "anyone"
    OPERATORS = "operators"
    MEMBERS = "members"
    KNOWN = "operators and members"


def admits(access: Access, principal: Principal | None) -> bool:
    """Tell whether ``principal`` (None: unknown) may use a door with ``access``."""
    if access is Access.ANYONE:
        return True
    if principal is None:
        return False
    return access is Access.KNOWN or (access is Access.OPERATORS) == (
        principal.kind is Kind.OPERATOR
    )
