"""Group members by the values that they give to some variables, so that equal ones are looked at once."""

from collections.abc import Mapping
from dataclasses import dataclass

from mftgit.model.configuration.config import Member
from mftgit.model.documents.templates import Variable
from mftgit.model.names import MemberName

Names = tuple[MemberName, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """``groups`` are values with the members that give them; ``missing`` has, for a variable, a member without it."""

    groups: tuple[tuple[Mapping[str, Variable], Names], ...]
    missing: Mapping[str, MemberName]


def group_members(
    members: Mapping[MemberName, Member], names: Names, variables: tuple[str, ...]
) -> Grouping:
    """Return ``names`` grouped by what they define ``variables`` to be; who lacks one is in no group."""
    groups: dict[tuple[tuple[type, Variable], ...], list[MemberName]] = {}
    missing: dict[str, MemberName] = {}
    for name in names:
        given = members[name].variables
        absent = [variable for variable in variables if variable not in given]
        for variable in absent:
            missing.setdefault(variable, name)
        if not absent:
            # With the type, because True, 1 and 1.0 are equal.
            values = tuple((type(given[variable]), given[variable]) for variable in variables)
            groups.setdefault(values, []).append(name)
    return Grouping(
        groups=tuple(
            (dict(zip(variables, (value for _, value in values), strict=True)), tuple(group))
            for values, group in groups.items()
        ),
        missing=missing,
    )
