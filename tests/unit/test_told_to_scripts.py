"""What scripts are told of changes and of signers."""

import pytest
from config_tree import VALID, validate

from mftgit.model.configuration.changes import member_changes
from mftgit.model.configuration.changes_told import tell_member
from mftgit.model.names import Revision
from mftgit.model.trust.signature_told import describe_signer, tell_signature
from mftgit.model.trust.trust import Finding, Outcome

REVISION = Revision("1" * 40)


def test_a_member_is_told_with_its_components_and_their_fields() -> None:
    text = VALID["transfers/invoices.yaml"].replace("every_s: 1", "every_s: 5")
    changes = member_changes(validate({}), validate({"transfers/invoices.yaml": text}))
    found = next(tell_member(each) for each in changes if each.member == "node-1")
    assert found | {"event_handlers": []} == {
        "name": "node-1",
        "presence": "stays",
        "settings": [],
        "event_handlers": [],
        "transfers": [
            {
                "name": "invoices",
                "action": "changed",
                "fields": [{"field": "trigger.watch.every_s", "before": 1, "after": 5}],
            }
        ],
        "locations": [],
        "services": [],
        "accounts": [],
        "problems": [],
    }


@pytest.mark.parametrize(
    ("finding", "words"),
    [
        (None, "nothing before it to judge its signature by"),
        (
            Finding(
                revision=REVISION,
                outcome=Outcome.SIGNED,
                kind="ssh-ed25519",
                principals=("a@x", "b@x"),
            ),
            "signed by a@x,b@x, ssh-ed25519",
        ),
        (Finding(revision=REVISION, outcome=Outcome.UNSIGNED), "unsigned"),
        (
            Finding(revision=REVISION, outcome=Outcome.NOT_CHECKED, detail="no gpg"),
            "not checked: no gpg",
        ),
        (Finding(revision=REVISION, outcome=Outcome.EXPIRED), "not trusted: expired"),
    ],
)
def test_a_signer_is_told_in_a_few_words(finding: Finding | None, words: str) -> None:
    assert describe_signer(finding) == words


def test_a_signature_is_told_with_null_for_what_is_not_there() -> None:
    assert tell_signature(Finding(revision=REVISION, outcome=Outcome.UNSIGNED)) == {
        "outcome": "unsigned",
        "principals": [],
        "kind": None,
        "fingerprint": None,
    }
