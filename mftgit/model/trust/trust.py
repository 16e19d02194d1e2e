"""Decide whether commits are signed by somebody who may sign, by the policy of a revision that was published before.

A revision is never judged by the policy that it brings along: no push can admit its own author.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, unique
from functools import partial
from itertools import islice
from typing import Final, TypeVar

from mftgit.model.documents.document import Document, parse_document
from mftgit.model.documents.json_value import Json, Place, whole_number
from mftgit.model.documents.places import (
    CLUSTER_FILE,
    GPG_REVOKED_FILE,
    GPG_SIGNERS_FILE,
    REVOKED_FILE,
    SIGNERS_FILE,
    TRUST_FILES,
)
from mftgit.model.documents.problem import Problem, format_problem
from mftgit.model.keys.openpgp import GpgKey
from mftgit.model.names import Revision
from mftgit.model.review.policy import MAX_APPROVALS, read_review
from mftgit.model.rules.parts import Part
from mftgit.model.rules.tree import Tree
from mftgit.model.trust.signers import (
    NAMESPACE,
    RULE,
    Key,
    Signer,
    read_gpg_revoked,
    read_gpg_signers,
    read_revoked,
    read_signers,
)

POLICY_FILES: Final = (CLUSTER_FILE, *TRUST_FILES)
"""What a policy is read from."""

MAX_TOLD: Final = 20
"""So many commits, and so many people, are named in a refusal."""

_T = TypeVar("_T")


@unique
class Outcome(Enum):
    """What was found on a commit."""

    SIGNED = "signed"
    UNSIGNED = "unsigned"
    UNKNOWN_KIND = "unknown-kind"
    MALFORMED = "malformed"
    WRONG_NAMESPACE = "wrong-namespace"
    TAMPERED = "tampered"
    REVOKED = "revoked"
    NOT_ALLOWED = "not-allowed"
    NOT_YET_VALID = "not-yet-valid"
    EXPIRED = "expired"
    NOT_CHECKED = "not-checked"


_BEST_FIRST: Final = (Outcome.SIGNED, Outcome.EXPIRED, Outcome.NOT_YET_VALID)
"""Where a key has several lines, the one that says the most for it counts."""

_FOUND: Final[Mapping[Outcome, str]] = {
    Outcome.SIGNED: "is signed",
    Outcome.UNSIGNED: "is not signed",
    Outcome.UNKNOWN_KIND: "has a signature of another kind; those of SSH and GPG are taken",
    Outcome.MALFORMED: "has a signature that cannot be read",
    Outcome.WRONG_NAMESPACE: f"has a signature that was made for something else than {NAMESPACE}",
    Outcome.TAMPERED: "does not go with its signature: it was changed after it was signed",
    Outcome.REVOKED: "is signed with a key that is revoked",
    Outcome.NOT_ALLOWED: f"is signed with a key that is not allowed by {SIGNERS_FILE} or {GPG_SIGNERS_FILE}",
    Outcome.NOT_YET_VALID: "is signed with a key that was not valid yet when it was committed",
    Outcome.EXPIRED: "is signed with a key that had expired when it was committed",
    Outcome.NOT_CHECKED: "has a signature that could not be checked here",
}


class FlawError(Exception):
    """What keeps a signature from proving anything."""

    def __init__(self, outcome: Outcome, detail: str = "") -> None:
        """Take what was found, and what more there is to tell of it."""
        super().__init__(detail)
        self.outcome = outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a commit shows by itself.

    ``flaw`` is what keeps its signature from proving anything, ``detail`` tells more of it; without a flaw the commit
    is signed with ``key``. ``at_s`` is the committer's time, by which git too judges whether a key was valid.
    """

    revision: Revision
    at_s: int = 0
    key: Key | None = None
    flaw: Outcome | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a policy says of a commit; ``principals`` are those of the line that allows it, ``kind`` is its key's."""

    revision: Revision
    outcome: Outcome
    detail: str = ""
    fingerprint: str = ""
    kind: str = ""
    principals: tuple[str, ...] = ()

    def __str__(self) -> str:
        by = f" ({self.fingerprint})" if self.fingerprint else ""
        more = f": {self.detail}" if self.detail else ""
        return f"commit {self.revision[:12]} {_FOUND[self.outcome]}{by}{more}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Who may sign, and whether anybody has to.

    While there are ``problems`` nothing is known for sure, and nobody may. ``gpg_keys`` are what gpg is given to check
    signatures by; whether a key counts is decided by the lines alone. ``place`` is where the version stands, or should.
    ``approvals`` is how many have to have signed that they approve, ``break_glass`` how many may do without (0: nobody
    may), and ``people`` are the names of each operator, by which two keys are known as those of one person.
    """

    required: bool = False
    version: int = 0
    place: Place = field(default=Place(1, 1), compare=False)
    signers: tuple[Signer, ...] = ()
    revoked: frozenset[Key] = frozenset()
    gpg_keys: tuple[bytes, ...] = ()
    approvals: int = 0
    break_glass: int = 0
    people: tuple[tuple[str, tuple[str, ...]], ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def admits_somebody(self) -> bool:
        """Tell whether there is a key that may sign commits at some time."""
        return not self.problems and any(
            each.signs_commits and each.key not in self.revoked for each in self.signers
        )


def read_policy(tree: Tree) -> Policy:
    """Return the policy of a revision; where it cannot be read, signatures are required and nobody may sign."""
    entry = tree.get(CLUSTER_FILE)
    document = parse_document(CLUSTER_FILE, entry.load() if entry else b"")
    lists = read_lists(tree)
    if isinstance(document, Document):
        version, place = _version(document)
        approvals = _asked(document.value, "require_approvals")
        return replace(
            lists,
            required=requires_signatures(document.value) or approvals > 0,
            version=version,
            place=place,
            approvals=approvals,
            break_glass=_asked(document.value, "break_glass") if approvals else 0,
            people=_people(document.value) if approvals else (),
        )
    return replace(lists, required=True, problems=(*document, *lists.problems))


def _asked(cluster: Mapping[str, Json], name: str) -> int:
    """Return how many people ``trust`` asks for; anything but a number asks for as many as there can be."""
    trust = cluster.get("trust")
    found = trust.get(name, 0) if isinstance(trust, dict) else 0
    return MAX_APPROVALS if (number := whole_number(found)) is None else number


def _people(cluster: Mapping[str, Json]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    review = read_review(cluster)
    return tuple(sorted(review.people.items())) if review else ()


def _version(document: Document) -> tuple[int, Place]:
    """Return which version of the policy a revision has, and where it says so; none is version 0."""
    trust, positions = document.value.get("trust"), document.positions()
    version = whole_number(trust.get("version")) if isinstance(trust, dict) else None
    told = (each for each in ("/trust/version", "/trust", "") if each in positions)
    return version or 0, positions[next(told)].value


def read_lists(tree: Tree) -> Policy:
    """Return who may sign in a revision, without what ``cluster.yaml`` says."""
    signers, wrong = _load(tree, SIGNERS_FILE, read_signers)
    by_gpg, wrong_gpg = _load(tree, GPG_SIGNERS_FILE, read_gpg_signers)
    revoked, also = _load(tree, REVOKED_FILE, read_revoked)
    gone, also_gpg = _load(tree, GPG_REVOKED_FILE, read_gpg_revoked)
    keys = (*(each.key for each in by_gpg), *gone)
    return Policy(
        signers=(*signers, *by_gpg),
        revoked=frozenset((*revoked, *gone)),
        gpg_keys=tuple(each.packets for each in keys if isinstance(each, GpgKey)),
        problems=(*wrong, *wrong_gpg, *also, *also_gpg),
    )


def requires_signatures(cluster: Mapping[str, Json]) -> bool:
    """Tell whether ``cluster.yaml`` requires signatures; anything but a plain no is a yes."""
    trust = cluster.get("trust", {})
    return not isinstance(trust, dict) or trust.get("require_signatures", False) is not False


def check_trust(tree: Tree, cluster: Part | None) -> tuple[Problem, ...]:
    """Return what is wrong with the files in ``trust/``, by themselves and beside ``cluster.yaml``."""
    policy = read_lists(tree)
    sound = cluster.checked.sound if cluster else None
    if policy.problems or policy.admits_somebody or not sound or not cluster:
        return policy.problems
    if not requires_signatures(sound.document.value):
        return ()
    return (
        cluster.problem(
            "/trust/require_signatures",
            rule=RULE,
            message="signatures are required, and trust/ admits nobody",
            hint="add a signer: mftgit trust add alice@example.org ~/.ssh/id_ed25519.pub .",
        ),
    )


def judge_commit(policy: Policy, evidence: Evidence) -> Finding:
    """Return what ``policy`` says of a commit, whether it requires signatures or not."""
    key = evidence.key
    if evidence.flaw or key is None:
        return Finding(
            revision=evidence.revision,
            outcome=evidence.flaw or Outcome.UNSIGNED,
            detail=evidence.detail,
        )
    told = partial(Finding, revision=evidence.revision, fingerprint=key.fingerprint, kind=key.kind)
    if key in policy.revoked:
        return told(outcome=Outcome.REVOKED)
    outcomes: dict[Outcome, tuple[str, ...]] = {}
    for signer in policy.signers if not policy.problems else ():
        if signer.key == key and signer.signs_commits:
            outcomes.setdefault(_in_time(signer, evidence.at_s), signer.principals)
    best = next((each for each in _BEST_FIRST if each in outcomes), Outcome.NOT_ALLOWED)
    return told(outcome=best, principals=outcomes.get(best, ()))


def objections(policy: Policy, commits: Iterable[Evidence]) -> tuple[Finding, ...]:
    """Return the first commits that ``policy`` does not let pass, at most one more than are told."""
    if not policy.required:
        return ()
    findings = (judge_commit(policy, each) for each in commits)
    wrong = (each for each in findings if each.outcome is not Outcome.SIGNED)
    return tuple(islice(wrong, MAX_TOLD + 1))


def explain(policy: Policy, wrong: Sequence[Finding]) -> tuple[str, ...]:
    """Return in whole lines what was found, what was expected and the way out."""
    lines = [str(each) for each in wrong[:MAX_TOLD]]
    if len(wrong) > MAX_TOLD:
        lines.append("more commits like these follow")
    lines += [format_problem(each) for each in policy.problems[:MAX_TOLD]]
    if not policy.admits_somebody:
        lines.append("the published revision admits nobody: see docs/how-to/sign.md")
    names = [",".join(each.principals) for each in policy.signers if each.signs_commits]
    more = ", …" if len(names) > MAX_TOLD else ""
    return (
        *lines,
        "expected: every commit is signed by somebody whom the published revision allows"
        + (f": {', '.join(names[:MAX_TOLD])}{more}" if names else ""),
        "to sign: git config gpg.format ssh; git config user.signingKey ~/.ssh/id_ed25519.pub; git commit -S",
        *(["or by GPG: git config gpg.format openpgp; git commit -S"] if policy.gpg_keys else ()),
        "to sign what is committed: git rebase --exec 'git commit --amend --no-edit -S' origin/main",
        "a new signer is added by one of those who may sign now, in a push of its own: mftgit trust add",
    )


def _load(
    tree: Tree, path: str, read: Callable[[str, bytes], tuple[tuple[_T, ...], tuple[Problem, ...]]]
) -> tuple[tuple[_T, ...], tuple[Problem, ...]]:
    entry = tree.get(path)
    return read(path, entry.load()) if entry else ((), ())


def _in_time(signer: Signer, at_s: int) -> Outcome:
    if signer.valid_after is not None and at_s < signer.valid_after:
        return Outcome.NOT_YET_VALID
    if signer.valid_before is not None and at_s > signer.valid_before:
        return Outcome.EXPIRED
    return Outcome.SIGNED
