"""What members keep for a lost controller is bounded and read strictly; who replaced whom is the authority's word."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.members.incarnation import (
    Shown,
    disputes,
    parse_incarnation,
    read_header,
    replaces,
    warrant_text,
)
from mftgit.model.members.messages import Head, parse_head
from mftgit.model.members.recovery import (
    MAX_SEALED_BYTES,
    SEALED_MARK,
    Bundle,
    KeptBundle,
    format_bundle,
    parse_bundle,
    parse_kept,
)
from mftgit.model.names import MemberName, Revision

TIP = Revision("a" * 40)
BUNDLE = Bundle(
    cluster_id="c",
    name=MemberName("controller"),
    url="https://mft.example:8443",
    listen=("0.0.0.0", 8443),
    made_at="2026-11-23T08:00:00.000Z",
    seq=7,
    incarnation=2,
    last_event=9,
    files={"ca.key": "KEY"},
    records={"members": [{"name": "node-1", "public_key": "ab"}]},
)


def test_a_bundle_is_what_was_written_and_shows_no_secret_in_a_log() -> None:
    assert parse_bundle(format_bundle(BUNDLE)) == BUNDLE
    assert "KEY" not in repr(BUNDLE)


def test_files_that_no_controller_keeps_are_left_out() -> None:
    odd = replace(BUNDLE, files={"../../etc/passwd": "x", "bootstrap.json": "{}", "ca.key": "KEY"})
    assert parse_bundle(format_bundle(odd)).files == {"ca.key": "KEY"}


def test_only_what_has_to_be_kept_makes_another_bundle_necessary() -> None:
    later = replace(BUNDLE, made_at="2027", seq=8, last_event=10)
    assert later.content() == BUNDLE.content()
    assert replace(BUNDLE, records={}).content() != BUNDLE.content()


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"name": "../x"},
        {"listen": ["host"]},
        {"listen": None},
        {"incarnation": -1},
        {"seq": "x"},
        {"records": []},
        {"files": None},
    ],
)
def test_a_bundle_that_is_none_is_refused(change: dict[str, Any]) -> None:
    value = {**json.loads(format_bundle(BUNDLE)), **change}
    with pytest.raises(ValueError, match=r".+"):
        parse_bundle(json.dumps(value).encode())
    with pytest.raises(ValueError, match=r".+"):
        parse_bundle(b"[]")


def test_what_a_member_keeps_is_sealed_and_bounded() -> None:
    sealed = KeptBundle(number=5, sealed=f"{SEALED_MARK}\nx")
    assert parse_kept(sealed.as_json()) == sealed
    for bad in (
        {"number": 0},
        {"number": 1 << 60},
        {"sealed": "plain"},
        {"sealed": f"{SEALED_MARK}\u00e4"},
        {"sealed": SEALED_MARK + "x" * MAX_SEALED_BYTES},
        {"sealed": 5},
    ):
        with pytest.raises(ValueError, match=r"recovery bundle"):
            parse_kept({**sealed.as_json(), **bad})
    with pytest.raises(ValueError, match=r"recovery bundle"):
        parse_kept(None)


def test_a_head_tells_its_incarnation_where_there_was_another_controller() -> None:
    first = Head(oid=TIP, seq=1, issued_at="2026")
    assert "incarnation" not in first.as_json()
    second = replace(first, incarnation=1, warrant="ab")
    assert parse_head(second.as_json()) == second
    with pytest.raises(ValueError, match="incarnation"):
        parse_head({**second.as_json(), "incarnation": True})


def signed(word: bytes, warrant: str) -> bool:
    return warrant == word.hex()


def test_only_the_authority_s_word_for_a_higher_number_replaces_a_controller() -> None:
    warrant = warrant_text("c", 2).hex()
    good = Shown(incarnation=2, warrant=warrant)
    ask = {"cluster_id": "c", "is_signed": signed}
    assert replaces(read_header(good.header()), own=1, **ask) == 2  # type: ignore[arg-type]
    assert replaces(good, own=2, **ask) is None  # type: ignore[arg-type]
    assert replaces(None, own=0, **ask) is None  # type: ignore[arg-type]
    assert replaces(replace(good, incarnation=3), own=1, **ask) is None  # type: ignore[arg-type]
    assert replaces(good, own=1, cluster_id="d", is_signed=signed) is None


class Sealed:
    """Signatures that are the word, with what tells them apart behind it; upper case is the same one."""

    def is_signed(self, word: bytes, signature: str) -> bool:
        return signature.lower().startswith(word.hex())

    def is_same(self, one: str, other: str) -> bool:
        return one.lower() == other.lower()


def test_two_controllers_are_disputed_where_the_authority_signed_the_same_number_twice() -> None:
    word = warrant_text("c", 2).hex()
    own, other = (Shown(incarnation=2, warrant=f"{word}{end}") for end in ("aa", "bb"))

    def disputed(shown: Shown, cluster_id: str = "c") -> bool:
        found = {
            disputes(*pair, cluster_id=cluster_id, seal=Sealed())
            for pair in ((own, shown), (shown, own))
        }
        (both,) = found
        return both

    assert disputed(other)
    assert not disputed(own)
    assert not disputed(replace(own, warrant=own.warrant.upper()))
    assert not disputed(replace(other, incarnation=3))
    assert not disputed(replace(other, warrant="bb"))
    assert not disputed(replace(other, warrant=""))
    assert not disputed(other, cluster_id="d")


@given(st.one_of(st.none(), st.text(max_size=20)))
def test_whatever_a_member_shows_is_read_or_nothing(text: str | None) -> None:
    shown = read_header(text)
    assert shown is None or 0 <= shown.incarnation < 10_000_000


def test_a_number_of_incarnations_is_one() -> None:
    assert parse_incarnation(3) == 3
    for bad in (-1, True, "1", None, 10**9):
        with pytest.raises(ValueError, match="incarnation"):
            parse_incarnation(bad)
