"""How a proposal stands: who approved what it holds now, who still has to, and whether it may be merged.

An approval is of one commit, and of the content that it was given for: the files that change, each from what to what.
After a rebase that leaves this the same it goes on to count; any other new commit makes it outdated. What counts is
the policy of the published revision, never the one that the proposal brings along.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, unique
from typing import Final

from mftgit.model.names import Revision
from mftgit.model.review.policy import People, ReviewPolicy, together
from mftgit.model.review.record import Entry, Said

_HEADERS: Final = re.compile(rb"^(?:author|committer) ([^\n]*)$", re.MULTILINE)
_TRAILERS: Final = re.compile(
    rb"^[ \t]*co-authored-by[ \t]*:([^\n]*)$", re.MULTILINE | re.IGNORECASE
)
_ADDRESS: Final = re.compile(r"([^<]*)<([^<>]*)>")


@unique
class State(Enum):
    """Where a proposal is."""

    OPEN = "open"
    CHANGES_REQUESTED = "changes-requested"
    APPROVED = "approved"
    MERGED = "merged"
    CLOSED = "closed"


@unique
class Step(Enum):
    """What happens to a proposal. ENOUGH and LACKING are approvals after which the policy is satisfied, or not yet."""

    PROPOSED = "proposed"
    ENOUGH = "approved, and nothing is lacking"
    LACKING = "approved, and something is lacking"
    REFUSED = "changes requested"
    MERGED = "merged"
    CLOSED = "closed"


_LIVE: Final = (State.OPEN, State.CHANGES_REQUESTED, State.APPROVED)

NEXT: Final[Mapping[tuple[State, Step], State]] = {
    **{
        (state, step): to
        for state in _LIVE
        for step, to in {
            Step.PROPOSED: State.OPEN,
            Step.ENOUGH: State.APPROVED,
            Step.LACKING: State.OPEN,
            Step.REFUSED: State.CHANGES_REQUESTED,
            Step.CLOSED: State.CLOSED,
        }.items()
    },
    (State.APPROVED, Step.MERGED): State.MERGED,
    (State.OPEN, Step.MERGED): State.MERGED,  # by a broken glass
    (State.CHANGES_REQUESTED, Step.MERGED): State.MERGED,
    (State.MERGED, Step.PROPOSED): State.OPEN,
    (State.CLOSED, Step.PROPOSED): State.OPEN,
}
"""Where each step leads; after the end of one proposal, another may begin under its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a proposal holds now: ``authors`` are the addresses in its commits and the principals of their keys."""

    name: str
    tip: Revision
    base: Revision
    content: str
    paths: frozenset[str]
    authors: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """The last word of an operator on what a proposal holds; ``discounted`` says why it does not count."""

    entry: Entry
    discounted: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a proposal stands. ``lacking`` says in whole sentences what keeps it from being merged."""

    state: State
    opinions: tuple[Opinion, ...]
    outdated: tuple[Entry, ...]
    needed: int
    given: int
    must_approve: Mapping[str, tuple[str, ...]]
    lacking: tuple[str, ...]

    @property
    def may_merge(self) -> bool:
        """Tell whether the policy lets it be merged."""
        return not self.lacking


def fingerprint(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, frozenset[str]]:
    """Return what names the change from ``before`` to ``after``, files with their modes and ids, and its paths.

    The same change of the same files has the same name, whatever else lies in the two.
    """
    paths = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    digest = hashlib.sha256()
    for path in sorted(paths):
        for part in (path, before.get(path, ""), after.get(path, "")):
            digest.update(part.encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest(), frozenset(paths)


def named_in(raw_commit: bytes) -> frozenset[str]:
    """Return who made a commit, by what it says itself: the addresses of its author, committer and co-authors."""
    head, _, message = raw_commit.partition(b"\n\n")
    lines = (*_HEADERS.findall(head), *_TRAILERS.findall(message))
    return frozenset(name for line in lines if (name := _address(line.decode("utf-8", "replace"))))


def _address(text: str) -> str:
    found = _ADDRESS.search(text)
    return (found[2].strip() or found[1].strip()) if found else text.strip()


def this_round(entries: Iterable[Entry], name: str) -> tuple[Entry, ...]:
    """Return what was said of the proposal ``name`` since its name was last free."""
    found: list[Entry] = []
    ended = False
    for each in entries:
        if each.record.change != name:
            continue
        if ended and each.record.said is Said.PROPOSE:
            found, ended = [], False
        found.append(each)
        ended = ended or each.record.said in {Said.MERGE, Said.CLOSE}
    return tuple(found)


def judge_change(
    policy: ReviewPolicy | None,
    change: Change,
    entries: Sequence[Entry],
    *,
    operators: frozenset[str] | None,
) -> Standing:
    """Return how ``change`` stands by ``policy``, None for none, after ``entries``, those of its round.

    ``operators`` are those who may propose today, None where that is not known.
    """
    asked = policy or ReviewPolicy(approvals=0)
    people = People.of(asked.people)
    current = [each for each in entries if _is_of(each, change)]
    last = {
        each.record.by: each
        for each in current
        if each.record.said in {Said.APPROVE, Said.REQUEST_CHANGES}
    }
    authors = people.persons((*change.authors, *_pushers(entries)))
    opinions = tuple(
        Opinion(entry=each, discounted=_discounted(asked, people, each, authors, operators))
        for each in last.values()
    )
    parties = together(
        people.persons((each.entry.record.by, *each.entry.principals))
        for each in opinions
        if each.discounted is None and each.entry.record.said is Said.APPROVE
    )
    unmet = {
        glob: tuple(sorted(owners))
        for glob, owners in asked.owned(change.paths).items()
        if not any(party & people.persons(owners) for party in parties)
    }
    refusing = sorted(
        each.entry.record.by
        for each in opinions
        if each.entry.record.said is Said.REQUEST_CHANGES
        and (operators is None or each.entry.record.by in operators)
    )
    known = any(
        each.record.said is Said.PROPOSE and each.record.commit == change.tip for each in entries
    )
    lacking = _lacking(asked, len(parties), unmet, refusing, is_known=known) if policy else ()
    return Standing(
        state=_state(refusing, lacking),
        opinions=opinions,
        outdated=tuple(
            each
            for each in entries
            if each.record.said in {Said.APPROVE, Said.REQUEST_CHANGES} and each not in current
        ),
        needed=asked.approvals,
        given=len(parties),
        must_approve=unmet,
        lacking=lacking,
    )


def ended(entries: Sequence[Entry]) -> State | None:
    """Return how the round ended of which ``entries`` are the records, None while it has not."""
    saids = {each.record.said for each in entries}
    if Said.MERGE in saids:
        return NEXT[State.APPROVED, Step.MERGED]
    return NEXT[State.OPEN, Step.CLOSED] if Said.CLOSE in saids else None


def _pushers(entries: Sequence[Entry]) -> frozenset[str]:
    """Return who pushed something else than was there: to merge main into a proposal makes nobody its author."""
    proposed = [each.record for each in entries if each.record.said is Said.PROPOSE]
    before = [None, *(each.content for each in proposed)]
    return frozenset(
        each.by for each, was in zip(proposed, before, strict=False) if each.content != was
    )


def _is_of(entry: Entry, change: Change) -> bool:
    return change.tip == entry.record.commit or entry.record.content == change.content


def _state(refusing: Sequence[str], lacking: Sequence[str]) -> State:
    if refusing:
        return NEXT[State.OPEN, Step.REFUSED]
    return NEXT[State.OPEN, Step.LACKING if lacking else Step.ENOUGH]


def _discounted(
    policy: ReviewPolicy,
    people: People,
    entry: Entry,
    authors: frozenset[str],
    operators: frozenset[str] | None,
) -> str | None:
    """Return why an approval does not count; None where it does."""
    by = entry.record.by
    persons = people.persons((by, *entry.principals))
    if operators is not None and by not in operators:
        return f"{by} is no operator who may propose any more"
    if policy.not_by_author and persons & authors:
        shared = ", ".join(sorted(persons & authors))
        return f"{by} has a part in the change itself, as {shared}"
    if policy.people and not persons & policy.people.keys():
        return f"review.people does not name {by}"
    return None


def _lacking(
    policy: ReviewPolicy,
    given: int,
    unmet: Mapping[str, Sequence[str]],
    refusing: Sequence[str],
    *,
    is_known: bool,
) -> tuple[str, ...]:
    found = [f"{who} asked for changes" for who in refusing]
    if policy.closed:
        found.append("the section review of the published cluster.yaml cannot be read")
    if not is_known:
        found.append("who pushed this commit is not on record: push one more on top of it")
    if given < policy.approvals:
        more = policy.approvals - given
        what = "approval is" if more == 1 else "approvals are"
        found.append(f"{more} more {what} needed: {given} of {policy.approvals} so far")
    found += [
        f"{glob} needs the approval of one of: {', '.join(owners)}"
        for glob, owners in sorted(unmet.items())
    ]
    return tuple(found)
