"""A secret shows itself to nobody who does not ask for it, and opens only where it belongs."""

import copy
import dataclasses
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.secrets.value import MAX_VALUE_BYTES, SecretValue, unwrap, wrap

PLANTED = "planted-hunter2"
PATH = "secrets/partner.yaml"
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200).filter(
    lambda text: bool(text.strip())
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    secret: SecretValue


SHOWN: list[Callable[[SecretValue], object]] = [
    repr,
    str,
    "{}".format,
    "{:>40}".format,
    "{!r:.80}".format,
    lambda value: f"{value}",
    lambda value: repr([{"a": value}]),
    lambda value: repr(Holder(secret=value)),
    lambda value: repr(dataclasses.asdict(Holder(secret=value))),
    lambda value: repr(vars(type(value))),
    lambda value: repr(copy.deepcopy([value])),
    lambda value: json.dumps(value, default=str),
]


@pytest.mark.parametrize("show", SHOWN)
def test_a_value_is_masked_however_it_is_shown(show: Callable[[SecretValue], object]) -> None:
    try:
        shown = str(show(SecretValue(PLANTED)))
    except TypeError as error:
        shown = str(error)
    assert PLANTED not in shown


def test_a_value_goes_into_no_file() -> None:
    with pytest.raises(TypeError, match="not to be written"):
        pickle.dumps(SecretValue(PLANTED))
    with pytest.raises(TypeError):
        json.dumps(SecretValue(PLANTED))


def test_values_are_equal_when_what_they_say_is_and_only_those_who_ask_are_told() -> None:
    one = SecretValue(PLANTED)
    assert one == SecretValue(PLANTED)
    assert copy.copy(one) is one
    assert hash(one) == hash(SecretValue(PLANTED))
    assert one != SecretValue(PLANTED + "!")
    assert one != PLANTED
    assert one.reveal() == PLANTED


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("x" * (MAX_VALUE_BYTES + 1), "65,537 bytes; a secret has at most 65,536"),
        ("é" * (MAX_VALUE_BYTES // 2) + "x", "65,537 bytes"),
        (PLANTED + "\udcff", "not text in UTF-8"),
    ],
)
def test_what_can_be_no_secret_is_refused_without_telling_it(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        SecretValue(text)
    assert PLANTED not in repr(caught.value)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


@given(texts)
def test_what_was_wrapped_for_a_document_is_what_it_opens_to(text: str) -> None:
    assert unwrap(PATH, wrap(PATH, SecretValue(text))).reveal() == text


def test_the_longest_value_of_the_widest_characters_opens_again() -> None:
    text = "\x01" * MAX_VALUE_BYTES
    assert unwrap(PATH, wrap(PATH, SecretValue(text))).reveal() == text


@given(texts, st.sampled_from(["secrets/other.yaml", "secrets/partner.yml", "partner", ""]))
def test_what_was_wrapped_for_one_document_opens_in_no_other(text: str, path: str) -> None:
    with pytest.raises(ValueError, match="moved or copied here"):
        unwrap(path, wrap(PATH, SecretValue(text)))


def envelope(**changes: Any) -> bytes:
    return json.dumps({"v": 1, "path": PATH, "field": "value", "value": PLANTED} | changes).encode()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (envelope(v=2), "not encrypted by `mftgit secret`"),
        (envelope(field="password"), "moved or copied here"),
        (envelope(value=[PLANTED]), "not encrypted by `mftgit secret`"),
        (envelope(value=""), "empty"),
        (envelope(value="\ud800" + PLANTED), "UTF-8"),
        (PLANTED.encode(), "not encrypted by `mftgit secret`"),
        (b"[1]", "not encrypted by `mftgit secret`"),
        (b"[" * 100_000, "not encrypted by `mftgit secret`"),
        (b"\xff" + PLANTED.encode(), "not encrypted by `mftgit secret`"),
        (envelope(more="x" * 8 * MAX_VALUE_BYTES), "not encrypted by `mftgit secret`"),
    ],
)
def test_what_is_no_value_of_this_document_is_refused_without_telling_it(
    content: bytes, why: str
) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        unwrap(PATH, content)
    assert PLANTED not in repr(caught.value)
    assert caught.value.__context__ is None
