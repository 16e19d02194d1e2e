"""Check a fetched revision and who signed it, as the gate did, and render it for this member."""

from collections.abc import Callable, Iterable
from functools import lru_cache

from loguru import logger

from mftgit.adapters.git.commit_signature import Examiner
from mftgit.adapters.git.objects import TooLargeError
from mftgit.adapters.git.store import GitStore
from mftgit.errors import MftgitError, TransientError
from mftgit.member.secrets import Unsealer
from mftgit.model.configuration.config import Generation, Role
from mftgit.model.configuration.render import render
from mftgit.model.documents.places import CLUSTER_FILE
from mftgit.model.documents.problem import Problem, format_problem, format_problems
from mftgit.model.names import MemberName, Revision
from mftgit.model.review.record import Entry
from mftgit.model.revisions.removals import MAX_BASES, Stock, judge_removals, take_stock
from mftgit.model.rules.tree import Tree
from mftgit.model.rules.validate import Validator
from mftgit.model.trust.approvals import Approvals, Covered, explain_unapproved
from mftgit.model.trust.growth import judge_growth
from mftgit.model.trust.policy_version import check_policy_version
from mftgit.model.trust.trust import (
    POLICY_FILES,
    Evidence,
    Outcome,
    Policy,
    explain,
    objections,
    read_policy,
)

_MANY = 1024


class NotCheckedError(TransientError):
    """A signature could not be checked on this machine; it may be otherwise another time."""


class RefusedError(MftgitError):
    """The revision breaks the rules; ``problems`` are all of them."""

    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class UnapprovedError(RefusedError):
    """The revision lacks approvals, by what people have said so far; more of them may let it pass."""


def check_signatures(
    store: GitStore,
    *,
    anchor: Revision | None,
    tip: Revision,
    said: Callable[[], tuple[Entry, ...]] = tuple,
) -> None:
    """See that everything after ``anchor`` is signed as the published revisions require, the anchor first of all.

    ``said`` is asked for what people said of proposals where approvals are required too. A member without an anchor
    takes any history, as it does for the lineage.

    Raises:
        NotCheckedError: a commit may be, and this machine cannot tell.
        RefusedError: a commit is not.
        UnapprovedError: all are, and one was not approved.
    """
    if anchor is None:
        return
    raw_commit = lru_cache(_MANY)(store.raw_commit)  # asked for by each policy that may count
    history = store.history(anchor, tip)
    doubts: list[str] = []

    with Examiner() as examiner:

        def examine(policy: Policy, revision: Revision) -> Evidence:
            return examiner(policy, revision, raw_commit(revision))

        def covered(policy: Policy) -> Iterable[Covered]:
            approvals = Approvals(
                history=history, entries=asked(), examine=examine, raw_commit=raw_commit
            )
            found = approvals.covered(policy)
            doubts.extend(approvals.doubts)
            for each in approvals.broken:
                logger.critical("taken without approval, by a broken glass", revision=each)
            return found

        asked = lru_cache(1)(said)
        refusal = judge_growth(
            history,
            anchor=anchor,
            tip=tip,
            policy_of=lambda revision: read_policy(store.pick(revision, POLICY_FILES)),
            examine=examine,
            covered=covered,
        )
    if refusal is not None and refusal.problem is not None:
        told = f"revision {tip[:12]} may not follow:\n{format_problem(refusal.problem)}"
        raise RefusedError(told, (refusal.problem,))
    if refusal is not None and refusal.unapproved:
        lines = (*explain_unapproved(refusal.policy, refusal.unapproved), *doubts)
        told = "\n".join((f"revision {tip[:12]} is not approved as required:", *lines))
        raise NotCheckedError(told) if doubts else UnapprovedError(told)
    if refusal is not None:
        lines = explain(refusal.policy, refusal.wrong)
        told = "\n".join((f"revision {tip[:12]} is not signed as required:", *lines))
        raise NotCheckedError(told) if refusal.in_doubt else RefusedError(told)


def revoked_signer(store: GitStore, *, active: Revision, by: Revision) -> str | None:
    """Return what the policy of ``by`` has against the signature on ``active``; None where it lets it pass.

    A signature that cannot be checked here says nothing against anybody.
    """
    policy = read_policy(store.pick(by, POLICY_FILES))
    with Examiner() as examine:
        wrong = objections(policy, (examine(policy, active, store.raw_commit(active)),))
    return next((str(each) for each in wrong if each.outcome is not Outcome.NOT_CHECKED), None)


def check_floor(store: GitStore, *, floor: int, tip: Revision) -> None:
    """See that the policy of ``tip`` is not from before ``floor``, the number of the highest that was in force here.

    Raises:
        RefusedError: it is; a history that an operator let the member follow may bring such a one.
    """
    problem = check_policy_version(floor, read_policy(store.pick(tip, POLICY_FILES)))
    if problem is not None:
        raise RefusedError(
            f"revision {tip[:12]} may not follow:\n{format_problem(problem)}", (problem,)
        )


def check_removals(store: GitStore, *, anchor: Revision | None, tip: Revision) -> None:
    """See that no more documents went since ``anchor`` than the revisions in between let go, or said that they remove.

    Raises:
        RefusedError: more did.
    """
    if anchor is None:
        return

    @lru_cache(MAX_BASES + 2)
    def stock(revision: Revision) -> Stock:
        cluster = store.pick(revision, (CLUSTER_FILE,)).get(CLUSTER_FILE)
        return take_stock(store.documents(revision), cluster.load() if cluster else b"")

    problem = judge_removals(store.history(anchor, tip), anchor=anchor, tip=tip, stock=stock)
    if problem is not None:
        raise RefusedError(
            f"revision {tip[:12]} removes more than it says:\n{format_problem(problem)}", (problem,)
        )


def read_tree(store: GitStore, revision: Revision) -> Tree:
    """Return the files of ``revision``.

    Raises:
        RefusedError: it is larger than any gate takes.
        StoreError: the store is broken, or does not have it.
    """
    try:
        return store.tree(revision)
    except TooLargeError as error:
        raise RefusedError(f"revision {revision[:12]}: {error}") from error


def verify(
    tree: Tree,
    revision: Revision,
    *,
    validator: Validator,
    unsealer: Unsealer,
    fresh: bool,
    member: MemberName,
    role: Role,
) -> Generation:
    """Return what the files of ``revision`` mean for this member, its secrets decrypted.

    Raises:
        RefusedError: it is not valid.
        InvalidConfigError: it is not for this member, which lacks a variable or, if it is ``fresh``, cannot decrypt
            a secret.
    """
    validation = validator.validate(tree)
    if validation.problems:
        raise RefusedError(
            f"revision {revision[:12]} is not valid:\n{format_problems(validation.problems)}",
            tuple(validation.problems),
        )
    return unsealer.unseal(render(validation, member, role), validation.parts, fresh=fresh)
