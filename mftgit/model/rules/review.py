"""Rules of review that no schema can express: who is named is there, and there are enough of them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from mftgit.model.configuration.config import Cluster
from mftgit.model.documents.document import Kind
from mftgit.model.documents.problem import Problem
from mftgit.model.documents.schema_words import did_you_mean, show
from mftgit.model.review.policy import ReviewPolicy, fold
from mftgit.model.rules.parts import Part, Parts
from mftgit.model.trust.signers import Signer
from mftgit.model.trust.trust import Policy

RULE: Final = "review"
_MAX_STARS: Final = 6


def check_review(parts: Parts, trust: Callable[[], Policy]) -> Iterator[Problem]:
    """Give what is wrong with ``review`` of ``cluster.yaml``, and with the approvals that ``trust`` requires."""
    part = parts[Kind.CLUSTER].get("cluster")
    sound = part.checked.sound if part else None
    if part is None or sound is None or not isinstance(sound.built, Cluster):
        return
    value = sound.document.value
    if sound.built.require_approvals:
        yield from _check_required(part, trust(), value)
    policy = sound.built.review
    if policy is not None:
        yield from _check_names(part, policy)
        yield from _check_numbers(part, policy)
        for glob in policy.owners:
            yield from _check_glob(part, glob)


def _check_required(part: Part, trust: Policy, value: Mapping[str, object]) -> Iterator[Problem]:
    if trust.problems:
        return
    own = value.get("trust")
    if not isinstance(own, dict) or own.get("require_signatures") is not True:
        yield part.problem(
            "/trust/require_approvals",
            rule=RULE,
            message="approvals are to be signed, and signatures are not required",
            hint="write trust.require_signatures: true as well, or leave require_approvals out",
        )
        return
    count = len(
        {
            _names(each)
            for each in trust.signers
            if each.signs_commits and each.key not in trust.revoked
        }
    )
    if count <= trust.approvals:
        yield part.problem(
            "/trust/require_approvals",
            rule=RULE,
            message=f"{trust.approvals} besides the author have to sign, and trust/ admits {count} in all",
            hint="add signers (mftgit trust add), or require fewer approvals",
        )


def _names(signer: Signer) -> tuple[str, ...]:
    return tuple(sorted(map(fold, signer.principals)))


def _check_names(part: Part, policy: ReviewPolicy) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for operator, names in policy.people.items():
        for place, name in enumerate((operator, *names)):
            holder = seen.setdefault(fold(name), operator)
            if holder != operator:
                at = f"/review/people/{operator}" + (f"/{place - 1}" if place else "")
                yield part.problem(
                    at,
                    rule=RULE,
                    message=f"{show(name)} is a name of {holder!r} already",
                    hint="a name belongs to one person: take it out of one of them",
                )
    for group, members in policy.groups.items():
        if group in policy.people:
            yield part.problem(
                f"/review/groups/{group}",
                rule=RULE,
                message=f"{group!r} is a person in review.people",
                hint="give the group another name",
            )
        yield from _check_people(part, policy, f"/review/groups/{group}", members)
    for glob, owners in policy.owners.items():
        at = f"/review/owners/{_escaped(glob)}"
        plain = tuple(each for each in owners if each not in policy.groups)
        yield from _check_people(part, policy, at, plain)


def _check_people(
    part: Part, policy: ReviewPolicy, at: str, names: tuple[str, ...]
) -> Iterator[Problem]:
    """Give the names that nobody has; which operators there are is known where people are listed only."""
    for name in names if policy.people else ():
        if name not in policy.people:
            known = (*policy.people, *policy.groups)
            yield part.problem(
                at,
                rule=RULE,
                message=f"{name!r} is neither in review.people nor a group",
                hint=did_you_mean(name, known) or f"add {name} to review.people",
            )


def _check_numbers(part: Part, policy: ReviewPolicy) -> Iterator[Problem]:
    author = int(policy.not_by_author)
    people = len(policy.people)
    if people and people < policy.approvals + author:
        yield part.problem(
            "/review/approvals",
            rule=RULE,
            message=f"{policy.approvals} have to approve"
            + (" besides the author" if author else "")
            + f", and review.people has {people}",
            hint="list more people, or ask for fewer approvals",
        )
    for glob, owners in policy.owners.items():
        if policy.not_by_author and len(policy.members(owners)) == 1:
            yield part.problem(
                f"/review/owners/{_escaped(glob)}",
                rule=RULE,
                message=f"nobody could approve there what {min(policy.members(owners))} changes",
                hint="name a second owner, or a group of several",
            )


def _check_glob(part: Part, glob: str) -> Iterator[Problem]:
    wrong = _wrong_glob(glob)
    if wrong is not None:
        message, hint = wrong
        yield part.problem(
            f"/review/owners/{_escaped(glob)}", rule=RULE, message=message, hint=hint
        )


def _wrong_glob(glob: str) -> tuple[str, str] | None:
    """Return what would make a glob mean something else than it seems to, and the way out."""
    parts = glob.split("/")
    if glob.startswith(("/", "!")) or ".." in parts or "." in parts:
        return f"{show(glob)} is no path from the top", "write it as transfers/bank-* or trust/**"
    if glob.endswith("/") or "" in parts:
        return f"{show(glob)} names a folder, and no file", f"write {glob.rstrip('/')}/**"
    if any(each in glob for each in "[]{}\\"):
        return f"{show(glob)} holds what is no part of a glob here", "* ? and ** are all there is"
    if glob.count("*") > _MAX_STARS:
        return f"{show(glob)} has more than {_MAX_STARS} stars", "write several globs"
    return None


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
