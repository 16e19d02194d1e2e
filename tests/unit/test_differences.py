"""What a page shows of a difference has an end, however many members change each in their own way."""

from config_tree import validate

from mftgit.controller.views.history import Comparison
from mftgit.controller.web.differences import MOST_GROUPS, show
from mftgit.model.configuration.changes import member_changes
from mftgit.model.names import Revision
from mftgit.model.revisions.text_difference import TextDifference


def test_members_that_change_each_in_their_own_way_are_counted_beyond_a_few() -> None:
    names = [f"node-{number}" for number in range(100, 170)]
    plain = {f"members/{name}.yaml": "role: node\n" for name in names}
    own = {
        path: f"{text}web: {{listen: {{address: 127.0.0.1, port: {port}}}}}\n"
        for port, (path, text) in enumerate(plain.items(), 20_000)
    }
    shown = show(
        Comparison(
            before=Revision("a" * 40),
            after=Revision("b" * 40),
            members=member_changes(validate(plain), validate(own)),
            text=TextDifference(files=()),
        )
    )
    assert len(shown["groups"]) == MOST_GROUPS
    told = [name for each in shown["groups"] for name in each["members"]]
    assert sorted([*told, *shown["more_groups"]]) == names
