"""Who needs which secret: kept by the document that says so, because a change of one changes no other's needs."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

from mftgit.model.configuration.config import Cluster, Generation, Transfer
from mftgit.model.configuration.grouping import Names
from mftgit.model.documents.document import Kind
from mftgit.model.names import MemberName, SecretName
from mftgit.model.rules.parts import Part
from mftgit.model.transfers.content import secrets_of_content

Readers = Mapping[SecretName, tuple[MemberName, ...]]
"""Which members need each secret that a location names, whether there is one or not, in the order of their names."""

Saying = tuple[Kind, str]
"""The document that says that a secret is needed: a transfer by its locations too, every other by itself."""

_Need = tuple[SecretName, Names]


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A document, ``location``, needs a secret on these members, because ``saying`` says so.

    Of a location or the content of a transfer, they are all the members of the transfer, and not only those on which
    the location comes to this secret: one of them may have to end what another has begun.
    """

    saying: Saying
    location: Part
    pointer: str
    secret: SecretName
    members: Names = ()


def secrets_of_transfer(transfer: Transfer) -> Iterator[tuple[str, SecretName]]:
    """Give pointer and name of every secret that ``transfer`` needs besides those of its locations."""
    return secrets_of_content(transfer.content)


def secrets_of_cluster(cluster: Cluster) -> Iterator[tuple[str, SecretName]]:
    """Give pointer and name of every secret that each member needs, whatever it runs."""
    if cluster.etcd is not None:
        yield from cluster.etcd.secrets()


def secrets_needed(generation: Generation) -> set[SecretName]:
    """Return the names of all secrets that the member needs to run ``generation``."""
    places, transfers = generation.locations.values(), generation.transfers.values()
    named = {name for each in places for _, name in each.secrets()}
    named |= {name for each in transfers for _, name in secrets_of_transfer(each)}
    named |= {name for each in generation.services.values() for _, name in each.secrets()}
    named |= {name for each in generation.accounts.values() for _, name in each.secrets()}
    named |= {name for each in generation.event_handlers.values() for _, name in each.secrets()}
    return named | {name for _, name in secrets_of_cluster(generation.cluster)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What each document needs; ``counts`` tells how many documents need a secret for the same members."""

    said: Mapping[Saying, frozenset[_Need]] = field(default_factory=dict)
    counts: Mapping[SecretName, Mapping[Names, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, uses: Iterable[Use]) -> Self:
        """Return the needs of a whole revision."""
        said: dict[Saying, set[_Need]] = {}
        counts: dict[SecretName, dict[Names, int]] = {}
        for use in uses:
            needs, need = said.setdefault(use.saying, set()), (use.secret, use.members)
            if need not in needs:
                needs.add(need)
                some = counts.setdefault(use.secret, {})
                some[use.members] = some.get(use.members, 0) + 1
        return cls(said={each: frozenset(needs) for each, needs in said.items()}, counts=counts)

    def but_for(self, documents: Collection[Saying], fresh: Self) -> Self:
        """Return the needs where ``documents`` need what is ``fresh``."""
        gone = {each: self.said[each] for each in documents if each in self.said}
        if gone == fresh.said:
            return self
        counts = dict(self.counts)
        for sign, needs in ((-1, gone), (1, fresh.said)):
            for secret, members in (need for each in needs.values() for need in each):
                some = dict(counts.get(secret, {}))
                some[members] = some.get(members, 0) + sign
                counts[secret] = {each: count for each, count in some.items() if count}
        said = {each: needs for each, needs in self.said.items() if each not in gone}
        return type(self)(
            said=said | dict(fresh.said),
            counts={secret: some for secret, some in counts.items() if some},
        )

    def readers(self, secrets: Collection[SecretName] | None = None) -> Readers:
        """Return who needs each of ``secrets``, by default each that is needed."""
        return {
            secret: tuple(sorted({name for members in self.counts[secret] for name in members}))
            for secret in (self.counts if secrets is None else secrets)
            if secret in self.counts
        }

    def differing(self, before: Self) -> set[SecretName]:
        """Return which secrets other documents, or other members, need than ``before``."""
        if self is before:
            return set()
        return {
            secret for secret, some in self.counts.items() if before.counts.get(secret) is not some
        }
