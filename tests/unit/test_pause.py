"""A pause is read as it was written, and whatever else is in its place is a pause as well."""

from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.transfers.pause import Pause, format_pause, parse_pause

texts = st.text(max_size=200)


@given(st.builds(Pause, by=texts, member=texts, at=texts))
def test_a_pause_is_read_as_it_was_written(pause: Pause) -> None:
    assert parse_pause(format_pause(pause)) == pause


@given(
    st.binary()
    | st.sampled_from([b"", b"null", b"[]", b"[1", b'{"by": 7}', b'{"by": "' + b"x" * 9999 + b'"}'])
)
def test_whatever_is_in_it_is_a_pause(content: bytes) -> None:
    assert len(parse_pause(content).by) <= 200


def test_a_pause_says_who_and_when() -> None:
    pause = Pause(by="ann", member="node-1", at="2026-11-28T08:00:00.000Z")
    assert str(pause) == "paused by ann on node-1 at 2026-11-28T08:00:00.000Z"
    assert parse_pause(b"").by == "unknown"
