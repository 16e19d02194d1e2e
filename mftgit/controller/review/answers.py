"""What who pushes is told of review: what a proposal means, and why something is not taken."""

from collections.abc import Iterator, Sequence
from typing import Final

from mftgit.controller.review.reading import Rules, Seen
from mftgit.model.configuration.change_words import change_lines, restarts
from mftgit.model.configuration.changes import MemberChange
from mftgit.model.names import REVIEWS
from mftgit.model.printable import printable
from mftgit.model.revisions.push import Verdict
from mftgit.model.trust.trust import MAX_TOLD

MAX_LINES: Final = 40
_MAX_LINE: Final = 200


def introduce(seen: Seen, changes: Sequence[MemberChange]) -> Iterator[str]:
    """Give the lines that tell who proposed something what it means, and who has to approve; a bounded number."""
    change, count = seen.change, len(seen.commits)
    commits = "1 commit" if count == 1 else f"{count} commits"
    files = "1 file" if len(change.paths) == 1 else f"{len(change.paths)} files"
    yield f"proposal {change.name}: {commits} on {change.base[:12]}, {files}"
    lines = [line[:_MAX_LINE] for line in change_lines(each for each in changes if each)]
    yield from (f"  {line}" for line in lines[:MAX_LINES])
    if not lines:
        yield "  nothing changes on any member"
    if len(lines) > MAX_LINES:
        yield f"  and {len(lines) - MAX_LINES} lines more: mftgit review show {change.name}"
    again = [f"{what} on {each.member}" for each in changes for what in restarts(each)]
    if again:
        more = f" and {len(again) - MAX_TOLD} more" if len(again) > MAX_TOLD else ""
        yield f"  stopped and started again: {', '.join(again[:MAX_TOLD])}{more}"[: 5 * _MAX_LINE]
    if not seen.rules.reviewed:
        return
    if seen.obstacles:
        yield "before it can be merged:"
        yield from (f"  {printable(each)[:_MAX_LINE]}" for each in seen.obstacles[:MAX_TOLD])
        yield f"to approve: mftgit review approve {change.name}"
    else:
        yield f"it can be merged: mftgit review merge {change.name}"


def no_record(why: str) -> Verdict:
    """Return that what somebody says is not written down."""
    return Verdict(
        reason="not written down",
        explanation=(
            f"{REVIEWS}: {why}",
            "it is written by: mftgit review approve | reject | comment NAME",
        ),
    )


def not_proposed(rules: Rules) -> Verdict:
    """Return that main is not pushed to where review is asked for."""
    said = rules.review
    needed = max(said.approvals if said else 0, rules.trust.approvals)
    out = (
        "in an emergency: mftgit publish --break-glass REASON"
        if said is None or said.break_glass
        else "nobody may do without, in an emergency either: review.break_glass"
    )
    return Verdict(
        reason="main takes approved proposals only",
        explanation=(
            "the published cluster.yaml asks for review: nothing is pushed to main directly",
            "propose it: git push origin HEAD:change/NAME (or: mftgit propose NAME)",
            f"then it takes {needed} {'approval' if needed == 1 else 'approvals'}, and: mftgit review merge NAME",
            out,
        ),
    )


def not_approved(name: str, obstacles: Sequence[str]) -> Verdict:
    """Return that a proposal cannot be merged yet, and why."""
    return Verdict(
        reason="not approved",
        explanation=(
            f"change/{name} cannot be merged yet:",
            *(f"  {printable(each)}" for each in obstacles[:MAX_TOLD]),
            f"mftgit review show {name} tells how it stands",
        ),
    )
