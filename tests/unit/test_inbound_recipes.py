"""The recipes for accounts and services are one valid repository."""

import re
from pathlib import Path

from config_tree import tree, validator

PAGE = Path(__file__).parents[2] / "docs/how-to/inbound.md"


def test_the_recipes_of_the_page_are_one_valid_repository() -> None:
    page = PAGE.read_text(encoding="utf-8")
    found = dict(re.findall(r"^```yaml\n# (\S+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    assert page.count("```yaml") == len(found)
    assert validator().validate(tree(found)).problems == ()
