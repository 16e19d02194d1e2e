"""What a proposal that is made for somebody is called, says of itself, and lacks."""

from collections.abc import Collection
from typing import Final

from mftgit.model.names import Revision
from mftgit.model.printable import printable
from mftgit.model.revisions.push import LONGEST_CHANGE, Verdict

MAX_MESSAGE: Final = 10_000
"""Characters of a message; git has no limit, and nobody reads more."""


def read_message(text: str) -> str:
    """Return a message as git keeps it: lines that end with a newline, without space at their ends.

    Raises:
        ValueError: it is empty or too long, or holds what is no text.
    """
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    message = "\n".join(lines).strip("\n")
    if not message:
        raise ValueError("there is no message: say in a few words what changes, and why")
    if len(message) > MAX_MESSAGE:
        raise ValueError(
            f"the message has {len(message):,} characters; at most {MAX_MESSAGE:,} are taken"
        )
    if any(not each.isprintable() and each not in "\n\t" for each in message):
        raise ValueError(f"the message holds a control character: {printable(message)[:200]}")
    return f"{message}\n"


def free_name(wanted: str, taken: Collection[str]) -> str:
    """Return a name like ``wanted`` that no proposal has, nor a folder of proposals."""
    names = {part for name in taken for part in (name, name.partition("/")[0])}
    found, number = wanted, 1
    while found in names:
        number += 1
        found = f"{wanted}-{number}"
    return found


def revert_message(subject: str, revision: Revision) -> str:
    """Return what ``mftgit revert`` and git say of a revision that is taken back."""
    plain = printable(subject)[:500]
    return f'Revert "{plain}"\n\nThis reverts commit {revision}.\n'


def no_name(name: str) -> Verdict:
    """Return the refusal of ``name``, which no proposal can have."""
    return Verdict(
        reason="not a name for a proposal",
        explanation=(
            f"found {printable(name)[:200]!r}, expected at most {LONGEST_CHANGE} letters, digits, - _ . and /",
            "for example: raise-poll-interval",
        ),
    )


def taken(name: str, current: Revision, base: Revision) -> Verdict:
    """Return the refusal of a proposal on top of ``base`` under a name that another one has."""
    return Verdict(
        reason="name is taken",
        explanation=(
            f"change/{name} is at {current[:12]}, and this was made for {base[:12]}",
            "look at it first: somebody else may have added to it; or propose under another name",
        ),
    )


def signing(name: str, others: Collection[str]) -> tuple[str, ...]:
    """Return the commands by which a person signs the proposal ``name`` and proposes it anew.

    A branch only grows, so the signed commits need a name of their own.
    """
    signed = free_name(f"{name}-signed", others)
    return (
        "git fetch origin",
        f"git switch --detach origin/change/{name}",
        "git rebase --force-rebase --gpg-sign origin/main",
        f"git push origin HEAD:refs/heads/change/{signed}",
    )
