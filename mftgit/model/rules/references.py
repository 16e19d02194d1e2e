"""The rules across documents: what one says of another has to hold, on every member that would run it."""

from dataclasses import dataclass, field
from typing import Final

from mftgit.model.configuration.config import Cluster, Role, Transfer
from mftgit.model.configuration.grouping import Names
from mftgit.model.documents.checked import SCOPED, TEMPLATED, Sound
from mftgit.model.documents.document import Kind
from mftgit.model.documents.problem import Problem
from mftgit.model.documents.schema_words import show
from mftgit.model.locations.location import Location, RemoteLocation
from mftgit.model.names import SecretName
from mftgit.model.rules.event_handler_references import check_event_handlers
from mftgit.model.rules.inbound_references import check_inbound
from mftgit.model.rules.parts import Part, Parts
from mftgit.model.rules.referred import REFERRING, referred
from mftgit.model.rules.rings import Leg, find_rings
from mftgit.model.rules.secret import check_readers, check_uses
from mftgit.model.rules.survey import Fill, Since, Survey
from mftgit.model.rules.transfer import check_folders, legs_of
from mftgit.model.secrets.needs import Needs, secrets_of_cluster, secrets_of_transfer

_SAYING: Final = (
    Kind.LOCATION,
    Kind.TRANSFER,
    Kind.CLUSTER,
    Kind.ACCOUNT,
    Kind.SERVICE,
    Kind.EVENT_HANDLER,
)
"""Kinds of documents that say that a secret is needed."""

_NAMED: Final = 10
"""So many transfers of a ring are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Across:
    """What was found between documents: what is wrong, each problem once, the ways of files, and who needs a secret."""

    problems: tuple[Problem, ...]
    legs: tuple[Leg, ...]
    needs: Needs


def check_across(parts: Parts, fill: Fill, since: Since | None = None) -> Across:
    """Return what there is between the documents of one revision.

    With ``since``, only what those documents say of others is looked at, and rings are not looked for.
    """
    survey = Survey(parts=parts, fill=fill, since=since)
    across = _Across(survey=survey)
    across.run()
    return Across(
        problems=tuple(survey.problems),
        legs=tuple(across.legs),
        needs=across.needs,
    )


@dataclass(slots=True, kw_only=True)
class _Across:
    survey: Survey
    legs: list[Leg] = field(default_factory=list)
    needs: Needs = field(default_factory=Needs)

    def run(self) -> None:
        self._one_controller()
        for kind in SCOPED:
            for part, sound in self.survey.sound(kind):
                self.survey.check_scope(part, sound)
        for kind in TEMPLATED:
            for part, sound in self.survey.sound(kind):
                self.survey.check_variables(part, sound)
        for part, sound in self.survey.sound(Kind.TRANSFER):
            self._check_transfer(part, sound)
        check_inbound(self.survey)
        check_event_handlers(self.survey)
        self._note_needs()
        self._check_secrets()
        if self.survey.since is not None:
            return
        self._check_rings()
        for kind in REFERRING:
            for part in self.survey.parts[kind].values():
                self._check_names(part)

    def _check_names(self, part: Part) -> None:
        """Check the references of a document that does not fit its schema, so that all is told at once."""
        if part.checked.sound is None and part.checked.document is not None:
            for pointer, kind, name in referred(part.checked.document):
                self.survey.is_declared(part, pointer, kind, name)

    def _one_controller(self) -> None:
        controllers = [
            name for name, member in self.survey.members.items() if member.role is Role.CONTROLLER
        ]
        for name in controllers[1:]:
            self.survey.report(
                self.survey.parts[Kind.MEMBER][name],
                "/role",
                "one-controller",
                f"member {controllers[0]!r} is the controller already",
                "a cluster has one controller: make this one a node",
            )

    def _check_transfer(self, part: Part, sound: Sound) -> None:
        names = self.survey.eligible(sound.scope.active_on) if sound.scope.enabled else ()
        variants = [
            (group, built)
            for group, built in self.survey.variants(part, sound, names)
            if isinstance(built, Transfer)
        ]
        for group, transfer in variants:
            self._check_locations(part, transfer, group)
            self.survey.use(part, part, secrets_of_transfer(transfer), group)

    def _check_locations(self, part: Part, transfer: Transfer, group: Names) -> None:
        sources = self.survey.locations(part, "/source/location", transfer.source.location, group)
        # Told for the whole group, whatever keeps the source from being built.
        self._check_way(part, transfer, "/destination", sources, group)
        if transfer.destination.fallback is not None:
            self._check_way(part, transfer.at_fallback(), "/destination/fallback", sources, group)

    def _check_way(
        self,
        part: Part,
        transfer: Transfer,
        at: str,
        sources: list[tuple[Names, Location]],
        group: Names,
    ) -> None:
        name, pointer = transfer.destination.location, f"{at}/location"
        self.survey.locations(part, pointer, name, group)
        for subgroup, source in sources:
            for _, destination in self.survey.locations(part, pointer, name, subgroup, tell=False):
                for fault in check_folders(transfer, source, destination):
                    where = at if fault.pointer == "/destination" else fault.pointer
                    self.survey.report(part, where, fault.rule, fault.message, fault.hint)
                if subgroup:
                    self.legs.extend(legs_of(part.name, transfer, source, destination))

    def _check_rings(self) -> None:
        for ring in find_rings(self.legs):
            names = [leg.name for leg in ring.legs]
            shown = [*names[:_NAMED], "…"] if len(names) > _NAMED else names
            self.survey.report(
                self.survey.parts[Kind.TRANSFER][names[0]],
                ring.legs[0].pointer,
                "ring",
                f"a file such as {show(ring.file)} would go round for ever: {' -> '.join((*shown, names[0]))}",
                "give the files to another folder, or take others (include, exclude)",
            )

    def _note_needs(self) -> None:
        """Note which secrets are needed whatever transfers there are."""
        for part, sound in self.survey.sound(Kind.LOCATION):
            if isinstance(sound.built, RemoteLocation):  # also one that no transfer uses
                self.survey.need(part, part, sound.built, ())
        found = [(part, sound.built) for part, sound in self.survey.sound(Kind.CLUSTER)]
        for part, cluster in ((part, each) for part, each in found if isinstance(each, Cluster)):
            self._need_everywhere(part, cluster)

    def _need_everywhere(self, part: Part, cluster: Cluster) -> None:
        """Note which secrets every member needs, because the document ``part`` says so."""
        members = tuple(self.survey.members)
        self.survey.use(part, part, secrets_of_cluster(cluster), members)

    def _check_secrets(self) -> None:
        survey = self.survey
        self.needs, concerned = Needs.of(survey.uses), None
        if survey.since is not None:
            before, look = survey.since.needs, survey.since.look
            said = [(kind, name) for kind in _SAYING for name in look[kind]]
            self.needs = before.but_for(said, self.needs)
            concerned = self.needs.differing(before).union(map(SecretName, look[Kind.SECRET]))
        found = (
            *check_uses(survey.parts, survey.uses),
            *check_readers(survey.parts, survey.members, self.needs.readers(concerned)),
        )
        survey.problems.update(dict.fromkeys(found))
