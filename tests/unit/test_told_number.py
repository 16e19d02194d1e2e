"""What a member tells in numbers is of a size that everybody behind can take."""

import json
from typing import Any

import pytest

from mftgit.model.told_number import MOST, count_of, measure_of


@pytest.mark.parametrize(
    ("told", "kept"), [(7, 7), ("7", 7), (-1, 0), (10**400, MOST), (1.9, 1), (True, 1)]
)
def test_a_count_stays_within_what_json_has(told: Any, kept: int) -> None:
    assert count_of(told) == kept


@pytest.mark.parametrize(("told", "kept"), [(0.5, 0.5), (-3, 0), (1e308, MOST), ("2.5", 2.5)])
def test_a_measure_stays_within_what_json_has(told: Any, kept: float) -> None:
    assert measure_of(told) == kept


@pytest.mark.parametrize("told", ["nan", "inf", "-inf", float("nan"), float("inf"), 10**400, "x"])
def test_what_json_does_not_have_is_no_measure(told: Any) -> None:
    with pytest.raises((ValueError, OverflowError)):
        json.dumps(measure_of(told))


@pytest.mark.parametrize("told", ["x", None, [], float("inf")])
def test_what_is_no_number_counts_nothing(told: Any) -> None:
    with pytest.raises((ValueError, TypeError, OverflowError)):
        count_of(told)
