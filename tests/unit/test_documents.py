"""A document is read strictly, within bounds, and every value keeps its place."""

import json
import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.documents.document import MAX_SIZE_BYTES, Document, parse_document
from mftgit.model.documents.json_value import Json, Place, join_pointer, walk
from mftgit.model.documents.problem import Problem


@pytest.fixture(params=["libyaml", "python"])
def _either_parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "python":
        monkeypatch.setattr("mftgit.model.documents.yaml_text._LOADER", yaml.SafeLoader)


def read(text: str | bytes, ending: str = ".yaml") -> Document:
    data = text.encode() if isinstance(text, str) else text
    document = parse_document(f"x{ending}", data)
    assert isinstance(document, Document), document
    return document


def refused(text: str | bytes, ending: str = ".yaml") -> list[tuple[int, int, str, str]]:
    return [(each.line, each.column, each.pointer, each.rule) for each in problems(text, ending)]


def problems(text: str | bytes, ending: str = ".yaml") -> tuple[Problem, ...]:
    data = text.encode() if isinstance(text, str) else text
    found = parse_document(f"x{ending}", data)
    assert isinstance(found, tuple), found
    assert found
    assert all(each.file == f"x{ending}" for each in found)
    assert all(each.hint for each in found)
    return found


@pytest.mark.usefixtures("_either_parser")
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("1:20", "1:20"),
        ("2026-01-01", "2026-01-01"),
        ("017", 17),
        ("0o17", 15),
        ("0x1F", 31),
        ("0o18", "0o18"),
        ("-12", -12),
        ("+12", 12),
        ("-0", 0),
        ("1_000", "1_000"),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-1.", -1.0),
        ("1.2.3", "1.2.3"),
        ("true", True),
        ("False", False),
        ("tRUE", "tRUE"),
        ("null", None),
        ("~", None),
        ("", None),
        ('"17"', "17"),
        ("'true'", "true"),
        ("|\n  17\n", "17\n"),
        ("[a, [b], {c: d}]", ["a", ["b"], {"c": "d"}]),
        ("9007199254740991", 2**53 - 1),
    ],
)
def test_plain_yaml_means_what_version_1_2_says(text: str, value: Json) -> None:
    got = read(f"key: {text}").value["key"]
    assert (got, type(got)) == (value, type(value))


@pytest.mark.usefixtures("_either_parser")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: *b\n", [(1, 4, "/a", "yaml-alias")]),
        ("*b : a\n", [(1, 1, "", "yaml-alias")]),
        ("a:\n  - *.csv\n", [(2, 6, "/a/0", "yaml-alias")]),
        ("a: &b c\n", [(1, 4, "/a", "yaml-alias")]),
        ("a: &b [c]\nd: &e {}\n", [(1, 4, "/a", "yaml-alias"), (2, 4, "/d", "yaml-alias")]),
        ("a: !!str 1\n", [(1, 4, "/a", "yaml-tag")]),
        ("a: !x [1]\n", [(1, 4, "/a", "yaml-tag")]),
        ("a: ! b\n", [(1, 4, "/a", "yaml-tag")]),
        ("<<: {a: 1}\n", [(1, 1, "", "yaml-merge-key")]),
        ("a: 1\nb: 2\na: 3\n", [(3, 1, "/a", "duplicate-key")]),
        ("a:\n  b: 1\n  b: [{c: 2}]\n", [(3, 3, "/a/b", "duplicate-key")]),
        ("%YAML 1.2\n---\na: 1\n", [(1, 1, "", "yaml-directive")]),
        ("a: 1\n---\nb: 2\n", [(2, 1, "", "yaml-documents")]),
        ("1: a\n", [(1, 1, "", "key")]),
        ("~: a\ntrue: b\n", [(1, 1, "", "key"), (2, 1, "", "key")]),
        ("port: {{ port }}\n", [(1, 8, "/port", "key")]),
        ("? [a]\n: b\n", [(1, 3, "", "key")]),
        (
            "a: .inf\nb: -.Inf\nc: .NaN\n",
            [(1, 4, "/a", "number"), (2, 4, "/b", "number"), (3, 4, "/c", "number")],
        ),
        ("a: 9007199254740992\n", [(1, 4, "/a", "number")]),
        ("a: 0x" + "f" * 100_000 + "\n", [(1, 4, "/a", "number")]),
        ("a: " + "1" * 1_000_000 + "\n", [(1, 4, "/a", "number")]),
        ("a: 1e400\n", [(1, 4, "/a", "number")]),
        ("a: 0." + "0" * 1_000_000 + "\n", [(1, 4, "/a", "number")]),
        ("x" * 300 + ": {y: 1}\n", [(1, 1, "", "key")]),
        ('"' + "x" * 300 + '": 1\n', [(1, 1, "", "limit")]),
        ('a: "\\0"\n', [(1, 4, "/a", "character")]),
        ('"\\e": 1\n', [(1, 1, "", "character")]),
        ("", [(1, 1, "", "empty")]),
        ("# only a comment\n", [(1, 1, "", "empty")]),
        ("- a\n", [(1, 1, "", "type")]),
        ("a\n", [(1, 1, "", "type")]),
        ("---\n", [(1, 1, "", "type")]),
    ],
)
def test_what_is_outside_of_the_subset_is_refused_where_it_stands(
    text: str, expected: list[tuple[int, int, str, str]]
) -> None:
    if text.startswith("x" * 300):
        # A plain key of that length is no key for YAML itself.
        assert [each[3] for each in refused(text)] in (["syntax"], ["limit"])
    else:
        assert refused(text) == expected


@pytest.mark.usefixtures("_either_parser")
@pytest.mark.parametrize(
    "text", ["a: [1", "a: b: c", "a: 'x", "a:\n\tb: 1", "}", 'a: "\\q"', "a: @b"]
)
def test_what_is_no_yaml_is_told_with_line_and_column(text: str) -> None:
    (problem,) = problems(text)
    assert problem.rule == "syntax"
    assert problem.line
    assert problem.column
    assert problem.message.startswith("not YAML: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", (1, 2, "", "syntax")),
        ("{]", (1, 2, "", "syntax")),
        ("}", (1, 1, "", "syntax")),
        ('{"a": 1]', (1, 8, "", "syntax")),
        ('{"a": 1,}', (1, 9, "", "syntax")),
        ('{"a": [1,]}', (1, 10, "/a/1", "syntax")),
        ('{"a": [1 2]}', (1, 10, "/a/1", "syntax")),
        ('{"a" 1}', (1, 6, "/a", "syntax")),
        ('{"a": }', (1, 7, "/a", "syntax")),
        ('{"a":: 1}', (1, 6, "/a", "syntax")),
        ("{,}", (1, 2, "", "syntax")),
        ("{a: 1}", (1, 2, "", "syntax")),
        ("{1: 2}", (1, 2, "", "syntax")),
        ("{'a': 1}", (1, 2, "", "syntax")),
        ('{"a": 01}', (1, 7, "/a", "syntax")),
        ('{"a": 1.}', (1, 7, "/a", "syntax")),
        ('{"a": .5}', (1, 7, "/a", "syntax")),
        ('{"a": NaN}', (1, 7, "/a", "syntax")),
        ('{"a": Infinity}', (1, 7, "/a", "syntax")),
        ('{"a": truest}', (1, 7, "/a", "syntax")),
        ('{"a": "b\n"}', (1, 7, "/a", "syntax")),
        ('{"a": "b}', (1, 7, "/a", "syntax")),
        ('{"a": "\\q"}', (1, 7, "/a", "syntax")),
        ('{"a": 1} 2', (1, 10, "", "syntax")),
        ('{"a": 1}\n// no', (2, 1, "", "syntax")),
        ('{\n  "a": 1,\n  "a": 2}', (3, 3, "/a", "duplicate-key")),
        ('{"a": 1e400}', (1, 7, "/a", "number")),
        ('{"a": ' + "9" * 5000 + "}", (1, 7, "/a", "number")),
        ('{"a": "\\ud800"}', (1, 7, "/a", "character")),
        ('{"a\\u0000": 1}', (1, 2, "", "character")),
        ('{"\\q": 1}', (1, 2, "", "syntax")),
        ("", (1, 1, "", "syntax")),
        ("[]", (1, 1, "", "type")),
        ('"a"', (1, 1, "", "type")),
    ],
)
def test_json_is_read_strictly(text: str, expected: tuple[int, int, str, str]) -> None:
    assert refused(text, ".json") == [expected]


@pytest.mark.usefixtures("_either_parser")
@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000, "a: " + "[" * 100_000]
)
def test_deep_yaml_is_a_problem_and_no_crash(text: str) -> None:
    assert refused(text)[0][3] == "limit"


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_deep_json_is_a_problem_and_no_crash(text: str) -> None:
    assert refused(text, ".json")[0][3] == "limit"


@pytest.mark.parametrize("ending", [".yaml", ".json"])
def test_thirty_two_levels_are_read_and_one_more_is_not(ending: str) -> None:
    assert "a" in read('{"a":' + "[" * 31 + "]" * 31 + "}", ending).value
    assert refused('{"a":' + "[" * 32 + "]" * 32 + "}", ending)[0][2:] == (
        "/a" + "/0" * 31,
        "limit",
    )


@pytest.mark.parametrize("ending", [".yaml", ".json"])
def test_a_hundred_thousand_values_are_read_and_one_more_is_not(ending: str) -> None:
    assert "a" in read('{"a":[' + ",".join("1" * 99_998) + "]}", ending).value
    assert [each[3] for each in refused('{"a":[' + ",".join("1" * 99_999) + "]}", ending)] == [
        "limit"
    ]


@pytest.mark.parametrize("ending", [".yaml", ".json"])
def test_a_file_of_more_than_a_mebibyte_is_not_read(ending: str) -> None:
    assert "a" in read(b'{"a": 1}'.ljust(MAX_SIZE_BYTES), ending).value
    assert refused(b'{"a": 1}'.ljust(MAX_SIZE_BYTES + 1), ending) == [(0, 0, "", "limit")]


@pytest.mark.parametrize("ending", [".yaml", ".json"])
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\xff", (1, 1, "", "encoding")),
        (b"a: 1\nb: \xc3\xa4\xe4", (2, 5, "", "encoding")),
        (b"\xed\xa0\x80", (1, 1, "", "encoding")),
        (b"\xef\xbb\xbf{}", (1, 1, "", "encoding")),
        (b"a: 1\n# \x1b[2J\n", (2, 3, "", "character")),
        (b"a: \x00", (1, 4, "", "character")),
        (b"a: 1\rb: 2", (1, 5, "", "character")),
        ("a: x\u202ey".encode(), (1, 5, "", "character")),
        ("a: x\u2028y".encode(), (1, 5, "", "character")),
    ],
)
def test_what_a_reviewer_would_not_see_is_refused(
    data: bytes, expected: tuple[int, int, str, str], ending: str
) -> None:
    assert refused(data, ending) == [expected]


def test_many_mistakes_in_one_file_are_told_up_to_a_hundred() -> None:
    found = refused("".join(f"a: {number}\n" for number in range(1000)))
    assert [each[3] for each in found] == ["duplicate-key"] * 100 + ["limit"]


def test_line_ends_of_windows_make_no_difference() -> None:
    assert read(b"a: |\r\n  b\r\n  c\r\nd: 1\r\n").value == {"a": "b\nc\n", "d": 1}
    assert read(b'{\r\n"a": 1}', ".json").positions()["/a"].value == Place(2, 6)


def test_every_value_and_key_of_yaml_has_its_place() -> None:
    positions = read(
        "name: ä\nlist:\n  - x\n  - {k: v, ~0/: 1}\n".replace("~0/", "a~/b")
    ).positions()
    assert {pointer: (*each.value, *each.key) for pointer, each in positions.items()} == {
        "": (1, 1, 1, 1),
        "/name": (1, 7, 1, 1),
        "/list": (3, 3, 2, 1),
        "/list/0": (3, 5, 3, 5),
        "/list/1": (4, 5, 4, 5),
        "/list/1/k": (4, 9, 4, 6),
        "/list/1/a~0~1b": (4, 18, 4, 12),
    }


_TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Zl", "Zp"]), max_size=9
)
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXTS,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(_TEXTS, children, max_size=4),
    max_leaves=12,
)
_MAPPINGS = st.dictionaries(_TEXTS, _VALUES, max_size=5)


@given(value=_MAPPINGS, indent=st.sampled_from([None, 2]), ascii_only=st.booleans())
def test_json_that_python_writes_is_read_as_python_reads_it(
    value: dict[str, Json], indent: int | None, *, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert read(text, ".json").value == value


@given(_MAPPINGS, st.sampled_from([None, 2]))
def test_a_position_is_where_the_value_is_written(
    value: dict[str, Json], indent: int | None
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    lines = text.split("\n")
    positions = read(text, ".json").positions()
    assert positions.keys() == {join_pointer(parts) for parts, _ in walk(value)}
    for parts, item in walk(value):
        place, key = positions[join_pointer(parts)]
        opening = json.dumps(item, ensure_ascii=False)[:1]
        assert lines[place.line - 1][place.column - 1 :].startswith(opening)
        if key != place:
            written = json.dumps(parts[-1], ensure_ascii=False)
            assert lines[key.line - 1][key.column - 1 :].startswith(written)


@given(_MAPPINGS)
def test_yaml_that_python_writes_with_quotes_is_read_as_it_was(value: dict[str, Json]) -> None:
    text = yaml.safe_dump(value, default_style='"', allow_unicode=True)
    plain = all(isinstance(each, str | dict | list) for _, each in walk(value))
    if plain:
        assert read(text).value == value
    else:
        # Its other values come with a tag, as in: !!int "1"
        assert {each.rule for each in problems(text)} == {"yaml-tag"}


_YAML_LIKE = st.text(st.sampled_from("ab1:-?*&!|>'\"{}[],#%@`~<=. \n\t\\0"), max_size=40)


@given(
    st.binary(max_size=200) | _YAML_LIKE.map(str.encode),
    st.sampled_from([".yaml", ".yml", ".json"]),
)
def test_no_input_makes_the_reader_raise(data: bytes, ending: str) -> None:
    found = parse_document(f"x{ending}", data)
    if isinstance(found, Document):
        assert len(found.positions()) == len(list(walk(dict(found.value))))
    else:
        assert found


@given(_YAML_LIKE)
def test_both_yaml_parsers_read_the_same(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        first = parse_document("x.yaml", text.encode())
        patch.setattr("mftgit.model.documents.yaml_text._LOADER", yaml.SafeLoader)
        second = parse_document("x.yaml", text.encode())
    if isinstance(first, Document) and isinstance(second, Document):
        assert first.value == second.value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_keeps_its_value(number: float) -> None:
    assert math.isclose(read(json.dumps({"a": number}), ".json").value["a"], number)  # type: ignore[arg-type]
