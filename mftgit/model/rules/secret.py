"""Who has to be able to read which secret, and whether its document names them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from mftgit.model.configuration.config import Member
from mftgit.model.documents.document import Kind
from mftgit.model.documents.problem import Problem
from mftgit.model.documents.schema_words import did_you_mean
from mftgit.model.names import MemberName
from mftgit.model.rules.parts import Part, Parts, declared_cluster, declared_members
from mftgit.model.secrets.document import Secret
from mftgit.model.secrets.needs import Readers, Use

_NAMED: Final = 5


def check_uses(parts: Parts, uses: Iterable[Use]) -> Iterator[Problem]:
    """Give a problem for each use of a secret that is not there."""
    known = parts[Kind.SECRET]
    for use in uses:
        if use.secret not in known:
            yield use.location.problem(
                use.pointer,
                rule="reference",
                message=f"there is no secret {use.secret!r}",
                hint=did_you_mean(use.secret, known) or f"make it: mftgit secret set {use.secret}",
            )


def check_readers(
    parts: Parts, members: Mapping[MemberName, Member], readers: Readers
) -> Iterator[Problem]:
    """Give a problem for each member without a key that needs a secret, and each secret that is not for all who do."""
    keyless: set[MemberName] = set()
    for name, needing in readers.items():
        part = parts[Kind.SECRET].get(name)
        secret = part.checked.sound.built if part and part.checked.sound else None
        if part is None or not isinstance(secret, Secret):
            continue
        for each in needing:
            if members[each].age_recipient is None and each not in keyless:
                keyless.add(each)
                yield _keyless(parts, part, each)
        left_out = [
            each
            for each in needing
            if members[each].age_recipient not in {None, *secret.recipients}
        ]
        if left_out:
            yield part.problem(
                "/recipients",
                rule="secret",
                message=f"not encrypted to all members that need it: {_listed(left_out)}",
                hint="encrypt it to them too: mftgit secret rekey",
            )


def _keyless(parts: Parts, secret: Part, member: MemberName) -> Problem:
    """Point to the document of the member; where no member has one, to the secret."""
    at = parts[Kind.MEMBER].get(member, secret)
    return at.problem(
        "",
        rule="secret",
        message=f"{member} needs the secret {secret.name!r} and has no age_recipient",
        hint=(
            f"write into members/{member}.yaml what `mftgit member recipient --dir DIR` prints on its machine, "
            "then: mftgit secret rekey"
        ),
    )


def _listed(members: list[MemberName]) -> str:
    more = f" and {len(members) - _NAMED} more" if len(members) > _NAMED else ""
    return ", ".join(members[:_NAMED]) + more


def names_of_recipients(parts: Parts) -> Mapping[str, str]:
    """Return whose each declared public key is, as ``member node-1`` or ``operator alice``."""
    cluster = declared_cluster(parts)
    operators = cluster.age_operators if cluster else {}
    return {
        **{key: f"operator {name}" for name, key in operators.items()},
        **{
            each.age_recipient: f"member {name}"
            for name, each in declared_members(parts).items()
            if each.age_recipient is not None
        },
    }


def recipients_of(parts: Parts, needing: Iterable[MemberName]) -> tuple[str, ...]:
    """Return to which public keys a secret is to be encrypted: those of the members that need it, and of operators."""
    cluster, members = declared_cluster(parts), declared_members(parts)
    keys = [members[each].age_recipient for each in needing if each in members]
    operators = cluster.age_operators.values() if cluster else ()
    return tuple(dict.fromkeys(key for key in (*keys, *operators) if key is not None))
