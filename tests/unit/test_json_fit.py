"""What is sent as JSON is held against its schema."""

import pytest

from mftgit.model.documents.json_fit import JsonFit

FIT = JsonFit(
    {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"type": "integer"}}},
        "unevaluatedProperties": False,
    }
)


def test_what_fits_is_taken() -> None:
    assert FIT.why_not({}) is None
    assert FIT.why_not({"a": [1]}) is None


@pytest.mark.parametrize(
    ("value", "where"), [([], "the body: "), ({"a": [1, "x"]}, "/a/1: "), ({"b": 1}, "the body: ")]
)
def test_what_does_not_fit_is_told_with_its_place(value: object, where: str) -> None:
    told = FIT.why_not(value)
    assert told is not None
    assert told.startswith(where)


def test_what_is_told_has_an_end() -> None:
    told = FIT.why_not("x" * 10_000)
    assert told is not None
    assert len(told) < 400
