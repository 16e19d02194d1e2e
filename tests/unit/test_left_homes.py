import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.inbound import left_homes
from mftgit.model.inbound.left_homes import KEPT_S, Homes, follow, parse_homes


def test_what_is_served_no_more_is_looked_through_until_all_there_has_stalled_and_for_a_while() -> (
    None
):
    homes = follow(Homes(), {"/one": 10.0, "/two": 10.0}, now_s=0.0)
    homes = follow(homes, {"/one": 10.0}, now_s=100.0)
    assert homes.left == {"/two": 110.0 + KEPT_S}

    assert follow(homes, {"/one": 10.0}, now_s=109.0 + KEPT_S).left == homes.left
    assert not follow(homes, {"/one": 10.0}, now_s=110.0 + KEPT_S).left
    assert not follow(homes, {"/one": 10.0, "/two": 10.0}, now_s=101.0).left


def test_of_too_many_those_that_were_left_first_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(left_homes, "MOST_LEFT", 1)
    homes = follow(Homes(served={"/one": 1.0}), {"/two": 1.0}, now_s=0.0)

    assert list(follow(homes, {}, now_s=1.0).left) == ["/two"]


@given(st.lists(st.dictionaries(st.sampled_from(["/a", "/b", "/c"]), st.just(10.0)), max_size=9))
def test_a_folder_is_served_or_left_and_what_is_kept_is_read_again(
    turns: list[Mapping[str, float]],
) -> None:
    homes, ever = Homes(), set[str]()
    for now_s, served in enumerate(turns):
        ever |= served.keys()
        homes = follow(homes, served, now_s=float(now_s))
        assert homes.served == served
        assert set(homes.left) == ever - served.keys()
        assert parse_homes(json.loads(json.dumps(homes.as_json()))) == homes


@pytest.mark.parametrize("value", [None, {}, {"served": [], "left": {}}, {"served": {"/a": "x"}}])
def test_what_is_of_another_shape_is_not_read(value: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  whichever it is
        parse_homes(value)
