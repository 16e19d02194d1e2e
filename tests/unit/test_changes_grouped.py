"""What a revision changes is told once for all members on which it is the same."""

from config_tree import VALID, validate

from mftgit.model.configuration.changes import Action, MemberChange, member_changes
from mftgit.model.configuration.changes_grouped import grouped
from mftgit.model.names import MemberName

NODES = (MemberName("node-1"), MemberName("node-2"))


def changes(**documents: str | None) -> tuple[MemberChange, ...]:
    after = {path.replace("__", "/") + ".yaml": text for path, text in documents.items()}
    return member_changes(validate({}), validate(after))


def test_members_on_which_the_same_changes_are_one_group() -> None:
    found = changes(
        transfers__invoices=VALID["transfers/invoices.yaml"].replace("every_s: 1", "every_s: 5"),
        members__controller="role: controller\nlabels: {site: berlin}\n",
    )
    first, second = sorted(grouped(found), key=lambda each: each.members)
    assert (first.members, second.members) == ((MemberName("controller"),), NODES)
    assert second.change.member == NODES[0]
    assert second.change.transfers[0].action is Action.CHANGED


def test_members_on_which_nothing_changes_are_in_no_group() -> None:
    assert grouped(changes()) == ()
