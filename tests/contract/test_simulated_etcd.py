"""Members over an etcd that ends no lease in time, with clocks that differ: one owner at a time, whatever happens."""

from typing import Final

import pytest
from simulated_etcd import simulate_all

from mftgit.adapters.etcd import beats as etcd_beats
from mftgit.member.outbound.ownership import own

pytestmark = pytest.mark.long

ALWAYS: Final = {"key": "", "target": "MOD", "result": "EQUAL", "mod_revision": 0}
"""The condition that a key is not there that never is."""


def test_a_key_has_one_owner_at_a_time_and_soon_one_whatever_the_schedule() -> None:
    assert simulate_all(25) > 12, "hardly anything ever happened"


@pytest.mark.soak
def test_a_key_has_one_owner_at_a_time_in_two_thousand_schedules() -> None:
    simulate_all(2000)


def test_a_deadline_that_is_later_than_others_wait_has_two_owners(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(own, "deadline", lambda sent_at, ttl_s: sent_at + 2 * ttl_s)
    with pytest.raises(AssertionError, match="two own"):
        simulate_all(40)


def test_an_end_that_wants_no_beat_has_two_owners(monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner renews between the look that found it silent and the end."""
    monkeypatch.setattr(etcd_beats, "changed_at", lambda _key, _changed: ALWAYS)
    with pytest.raises(AssertionError, match="two own"):
        simulate_all(200)
