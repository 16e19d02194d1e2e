"""The recipes for event handlers are one valid repository."""

import re
from pathlib import Path

from config_tree import tree, validator

from mftgit.model.events.kinds import Group, Severity
from mftgit.model.handlers.handler import AnyEventHandler

PAGE = (Path(__file__).parents[2] / "docs/how-to/events.md").read_text(encoding="utf-8")


def test_the_recipes_of_the_page_are_one_valid_repository() -> None:
    found = dict(re.findall(r"^```yaml\n# (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    assert PAGE.count("```yaml") == len(found)
    assert validator().validate(tree(found)).problems == ()
    types = set(re.findall(r"^type: (\w+)", PAGE, re.MULTILINE))
    assert types == {each.KIND for each in AnyEventHandler.__args__}


def test_every_group_and_severity_is_told() -> None:
    for each in (*Group, *Severity):
        assert f"`{each.value}`" in PAGE
