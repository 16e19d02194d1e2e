"""What a change means for each member, in lines, and what it stops and starts again."""

import pytest
from config_tree import VALID, validate

from mftgit.model.configuration.change_words import change_lines, restarts
from mftgit.model.configuration.changes import MemberChange, Presence, member_changes
from mftgit.model.documents.problem import Problem
from mftgit.model.names import MemberName

INVOICES = VALID["transfers/invoices.yaml"]


def changes(files: dict[str, str | None]) -> dict[str, MemberChange]:
    return {each.member: each for each in member_changes(validate({}), validate(files))}


def test_a_member_is_told_with_each_component_and_its_fields() -> None:
    found = changes({"transfers/invoices.yaml": INVOICES.replace("every_s: 1", "every_s: 2")})
    assert list(change_lines([found["node-1"]])) == [
        "node-1",
        "  transfer invoices changed",
        "    trigger.watch.every_s: 1 -> 2",
    ]
    assert list(change_lines([found["controller"]])) == ["controller: nothing changes"]
    assert restarts(found["node-1"]) == ("transfer invoices",)
    assert restarts(found["controller"]) == ()


@pytest.mark.parametrize(
    ("files", "line"),
    [
        ({"members/node-3.yaml": "role: node\n"}, "node-3 comes"),
        ({"cluster.yaml": "name: other\n"}, "  cluster.name: acme -> other"),
        ({"transfers/invoices.yaml": None}, "  transfer invoices stopped"),
    ],
)
def test_what_comes_goes_and_is_set_is_told(files: dict[str, str | None], line: str) -> None:
    assert line in list(change_lines(changes(files).values()))


def test_a_member_that_would_refuse_it_is_told_why() -> None:
    problem = Problem(file="a.yaml", line=1, column=2, rule="x", message="wrong", hint="mend it")
    change = MemberChange(
        member=MemberName("node-1"), presence=Presence.UNDECLARED, problems=(problem,)
    )
    assert list(change_lines([change], bold=str.upper)) == [
        "NODE-1 HAS NO DOCUMENT: AN ORDINARY NODE",
        "  would refuse it: a.yaml:1:2: wrong [x] -> mend it",
    ]
