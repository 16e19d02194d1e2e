"""How it is told to scripts and people who signed a commit."""

from collections.abc import Mapping
from typing import Any

from mftgit.model.trust.trust import Finding, Outcome


def tell_signature(finding: Finding) -> Mapping[str, Any]:
    """Return the shape of ``signature`` that ``log --json`` documents."""
    return {
        "outcome": finding.outcome.value,
        "principals": list(finding.principals),
        "kind": finding.kind or None,
        "fingerprint": finding.fingerprint or None,
    }


def describe_signer(finding: Finding | None) -> str:
    """Return in a few words who signed; None is of a commit that nothing before it can judge."""
    if finding is None:
        return "nothing before it to judge its signature by"
    match finding.outcome:
        case Outcome.SIGNED:
            return f"signed by {','.join(finding.principals)}, {finding.kind}"
        case Outcome.UNSIGNED:
            return "unsigned"
        case Outcome.NOT_CHECKED:
            return f"not checked: {finding.detail}"
        case other:
            return f"not trusted: {other.value}"
