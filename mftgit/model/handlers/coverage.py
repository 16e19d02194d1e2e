"""Whose events a member's handler handles, so that each is handled where it is meant to be, and once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from mftgit.model.configuration.config import ActiveOn, Member, Role
from mftgit.model.names import MemberName


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """``me`` handles its own events; with ``others`` also those of members that do not do so themselves.

    ``active`` do, of those that are ``declared``, and with ``undeclared`` also those that are not.
    """

    me: MemberName
    others: bool = False
    declared: frozenset[MemberName] = frozenset()
    active: frozenset[MemberName] = frozenset()
    undeclared: bool = False

    @classmethod
    def of(cls, active_on: ActiveOn, me: Member, members: Mapping[MemberName, Member]) -> Self:
        """Return what a handler that is ``active_on`` covers at ``me``; ``members`` are those with a document."""
        if me.role is not Role.CONTROLLER:
            return cls(me=me.name)
        return cls(
            me=me.name,
            others=True,
            declared=frozenset(members),
            active=frozenset(name for name, each in members.items() if active_on.includes(each)),
            undeclared=Role.NODE in active_on.roles,
        )

    def covers(self, member: MemberName) -> bool:
        """Tell whether events of ``member`` are handled here."""
        if member == self.me:
            return True
        active = member in self.active if member in self.declared else self.undeclared
        return self.others and not active
