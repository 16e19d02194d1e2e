"""What documents come to on one member: those that have changed, with the member's variables in place."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from mftgit.errors import ConfigError
from mftgit.model.configuration.config import Member
from mftgit.model.documents.checked import Built, Sound, build_filled
from mftgit.model.documents.document import Kind
from mftgit.model.documents.json_value import join_pointer
from mftgit.model.documents.problem import Problem, format_problem
from mftgit.model.documents.templates import first_use
from mftgit.model.rules.parts import Part, Parts, sound_parts


class InvalidConfigError(ConfigError):
    """The configuration cannot run, at least not on this member; ``problems`` tells why."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        super().__init__(
            f"the configuration is not valid: {format_problem(self.problems[0])}{more}"
        )


def changes(
    before: Parts, parts: Parts, kind: Kind
) -> tuple[list[tuple[Part, Sound]], AbstractSet[str]]:
    """Return the documents of ``kind`` that ``before`` has not, and the names that it alone has."""
    were, are = before.get(kind, {}), parts[kind]
    if were is are:
        return [], frozenset()
    fresh = {name: part for name, part in are.items() if were.get(name) is not part}
    return list(sound_parts({kind: fresh}, kind)), were.keys() - are.keys()


def build_all(parts: list[tuple[Part, Sound]], member: Member) -> list[tuple[str, Built]]:
    """Return what ``parts`` say for ``member``, by name.

    Raises:
        InvalidConfigError: it lacks a variable.
    """
    missing = [
        part.problem(
            join_pointer(first_use(sound.document.value, variable)),
            rule="variable",
            message=f"member {member.name!r} does not define the variable {variable!r}",
            hint=f"add it to the variables in members/{member.name}.yaml, or change active_on",
        )
        for part, sound in parts
        for variable in sound.variables
        if variable not in member.variables
    ]
    if missing:
        raise InvalidConfigError(missing)
    return [
        (
            part.name,
            sound.built or build_filled(part.checked.kind, sound.document, member.variables),
        )
        for part, sound in parts
    ]
