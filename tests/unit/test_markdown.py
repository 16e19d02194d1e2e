"""What a comment on a pull request says is text, whatever names and values there are."""

import re
from collections.abc import Mapping

from config_tree import VALID, validate
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mftgit.model.configuration.changes import MemberChange, Presence, member_changes
from mftgit.model.configuration.changes_markdown import changes_markdown, problem_line, shown
from mftgit.model.documents.problem import Problem
from mftgit.model.documents.problem_formats import problems_markdown
from mftgit.model.names import MemberName
from mftgit.model.revisions.markdown import MAX_BODY_BYTES, body, code

INVOICES = VALID["transfers/invoices.yaml"]

HOSTILE = (
    "@everyone",
    "#1",
    "<img src=x onerror=alert(1)>",
    "`</code><script>",
    "``` ```",
    "[x](https://evil.example)",
    "a\n# title",
    "\u202eevil",
    "![x](https://evil.example/x.png)",
    "$`x`$",
    "|a|b|",
    "",
    " ",
)


def rendered(text: str) -> str:
    html: str = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(text)
    return html


def spans(text: str) -> list[str]:
    return re.findall(r"<code>(.*?)</code>", rendered(text), re.DOTALL)


def told(before: Mapping[str, str | None], after: Mapping[str, str | None]) -> str:
    changes = member_changes(validate(before), validate(after))
    return changes_markdown("main", "HEAD", changes)


@given(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=80), st.text("`ab ", max_size=20)))
def test_a_code_span_holds_its_text_and_nothing_else(text: str) -> None:
    html = rendered(code(text))
    assert re.fullmatch(r"<p><code>[^<>]*</code></p>\n", html), html


def test_a_code_span_is_bounded() -> None:
    assert len(code("x" * 10_000)) < 310
    assert "…" in code("x" * 10_000)


def test_a_body_is_bounded_and_says_what_is_left_out() -> None:
    text = body(f"- {code('ä' * 200)}" for _ in range(1_000))
    assert len(text.encode()) < MAX_BODY_BYTES + 200
    assert "more lines" in text.splitlines()[-1]
    assert body(["one", "two"]) == "one\ntwo\n"


def test_what_changes_is_told_member_by_member() -> None:
    text = told({}, {"transfers/invoices.yaml": INVOICES.replace("every_s: 1", "every_s: 7")})
    assert text == (
        "**What changes**, from `main` to `HEAD`:\n\n"
        "#### `node-1`\n\n- transfer `invoices` **changed**\n  - `trigger.watch.every_s`: `1` → `7`\n\n"
        "#### `node-2`\n\n- transfer `invoices` **changed**\n  - `trigger.watch.every_s`: `1` → `7`\n\n"
        "Nothing changes on `controller`.\n"
    )


def test_values_of_every_type_and_what_would_be_refused_are_told() -> None:
    text = told(
        {},
        {
            "members/node-2.yaml": None,
            "members/node-3.yaml": "role: node\n",
            "members/node-1.yaml": "role: node\nvariables: {region: apac, port: 2222}\n",
            "transfers/invoices.yaml": INVOICES
            + "prefer: [node-1]\nenabled: true\nretry: {attempts: 9}\n",
        },
    )
    assert "#### `node-2` goes: without its document" in text
    assert "#### `node-3` comes" in text
    assert "`labels.site`: `berlin` → (none)" in text
    assert "`prefer`: `[]` → `[node-1]`" in text
    problem = Problem(file="f.yaml", line=2, column=7, rule="r", message="m")
    refused = MemberChange(
        member=MemberName("n"), presence=Presence.UNDECLARED, problems=(problem,)
    )
    text = changes_markdown("a", "b", [refused])
    assert "#### `n` has no document" in text
    assert "- **would refuse it**: `f.yaml:2:7`: `m`" in text
    assert "No member has a document." in changes_markdown("a", "b", ())


def test_values_are_shown_as_people_read_them() -> None:
    values = (None, (), ("a", "b"), True, 1.50, 7, "", "x")
    assert [shown(each) for each in values] == [
        "(none)", "[]", "[a, b]", "true", "1.5", "7", '""', "x",
    ]  # fmt: skip


def test_values_that_somebody_chose_do_nothing_in_a_comment() -> None:
    for text in HOSTILE:
        quoted = "'" + text.replace("'", "''") + "'" if text.isprintable() else '"a\\n# title"'
        after = {
            "members/node-1.yaml": f"role: node\nvariables: {{region: {quoted}, port: 2222}}\n"
        }
        html = rendered(told({}, after))
        tags = set(re.findall(r"</?([a-z0-9]+)[ >]", html))
        assert tags <= {"p", "strong", "code", "h4", "ul", "li"}, (text, html)


def test_problems_are_told_in_a_comment() -> None:
    assert problems_markdown([]).startswith("**Valid**")
    one = Problem(
        file="a`b.yaml", line=3, column=1, pointer="/x", rule="r", message="<b>", hint="do"
    )
    assert problems_markdown([one]).startswith("**1 problem**")
    assert problems_markdown([one, one]).startswith("**2 problems**")
    assert spans(problem_line(one)) == ["a`b.yaml:3:1", "/x", "&lt;b&gt;", "r", "do"]
    assert problem_line(Problem(file="f", rule="r", message="m")) == "`f`: `m` (`r`)"
