"""One transfer as the cluster has it: whom to believe, who can carry an order out, and what is found."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.configuration.config import Ownership, Role
from mftgit.model.members.messages import MemberState, MemberStatus
from mftgit.model.members.orders import Verb
from mftgit.model.names import Epoch, MemberName, TransferName
from mftgit.model.transfers.pause import Pause
from mftgit.model.transfers.status import TransferState, TransferStatus
from mftgit.model.transfers.view import (
    NoTargetError,
    TransferView,
    Wanted,
    choose_member,
    find,
    view_all,
)

A, B, C, CONTROLLER = (MemberName(each) for each in ("a", "b", "c", "controller"))
T = TransferName("t")
FREE = TransferStatus(
    name=T,
    owner=None,
    epoch=None,
    state=TransferState.STANDBY,
    last_run=None,
    delivered=0,
    ownership=Ownership.SINGLE,
)


def owned(by: MemberName, epoch: int) -> TransferStatus:
    return replace(FREE, owner=by, epoch=Epoch(epoch))


def member(
    name: MemberName, *transfers: TransferStatus, state: MemberState = MemberState.ACTIVE
) -> MemberStatus:
    return MemberStatus(
        name=name,
        role=Role.NODE,
        state=state,
        active_revision=None,
        attempted_revision=None,
        reason=None,
        transfers=transfers,
    )


def silent(name: MemberName, *transfers: TransferStatus) -> MemberStatus:
    return member(name, *transfers, state=MemberState.SILENT)


@pytest.mark.parametrize(
    ("members", "believed"),
    [
        ([member(A, owned(A, 1)), member(B, owned(A, 1))], (A, A)),
        ([silent(A, owned(A, 5)), member(B, owned(B, 6)), member(C, owned(A, 5))], (B, B)),
        ([silent(A, owned(A, 5)), member(B, owned(A, 5)), member(C, owned(B, 6))], (C, B)),
        ([member(A, owned(A, 5)), member(B, owned(B, 6))], (B, B)),
        ([silent(A, owned(A, 5)), member(B, FREE)], (B, None)),
        ([silent(A, owned(A, 5))], (A, A)),
    ],
)
def test_the_word_counts_of_who_is_in_touch_knows_the_latest_epoch_and_is_the_owner(
    members: list[MemberStatus], believed: tuple[MemberName, MemberName | None]
) -> None:
    (view,) = view_all(members)
    assert (view.said.member, view.said.status.owner) == believed
    gone = {each.name for each in members if each.state is MemberState.SILENT}
    assert view.said.heard is (believed[0] not in gone)
    assert set(view.members) == {each.name for each in members}
    assert view.as_json()["told_by"] == believed[0]


def test_where_each_member_runs_it_there_is_one_for_each() -> None:
    each = replace(FREE, ownership=Ownership.EACH)
    views = view_all([member(B, replace(each, owner=B)), member(A, replace(each, owner=A)), member(C)])  # fmt: skip
    assert [(view.said.member, view.is_each) for view in views] == [(A, True), (B, True)]


def views_of(*members: MemberStatus) -> tuple[TransferView, ...]:
    return view_all(members)


@pytest.mark.parametrize("verb", [Verb.RUN_TRANSFER, Verb.STOP_RUN])
def test_to_run_and_to_stop_is_for_the_owner_even_where_it_is_silent(verb: Verb) -> None:
    views = views_of(silent(A, owned(A, 1)), member(CONTROLLER, owned(A, 1)))
    assert choose_member(verb, views, asked=None, controller=CONTROLLER) == A
    with pytest.raises(NoTargetError, match="nobody owns it just now"):
        choose_member(verb, views_of(member(A, FREE)), asked=None, controller=CONTROLLER)


@pytest.mark.parametrize(
    ("members", "target"),
    [
        ([member(A, owned(A, 1)), member(CONTROLLER, owned(A, 1))], CONTROLLER),
        ([member(A, owned(A, 1)), silent(CONTROLLER, owned(A, 1))], A),
        ([silent(A, owned(A, 1)), member(C, owned(A, 1)), member(B, owned(A, 1))], B),
        ([member(C, FREE)], C),
    ],
)
def test_a_word_on_the_storage_is_left_by_a_member_in_touch(
    members: list[MemberStatus], target: MemberName
) -> None:
    chosen = choose_member(
        Verb.PAUSE_TRANSFER, views_of(*members), asked=None, controller=CONTROLLER
    )
    assert chosen == target


def test_nobody_in_touch_carries_nothing_out() -> None:
    views = views_of(silent(A, owned(A, 1)))
    with pytest.raises(NoTargetError, match="none of a is in touch"):
        choose_member(Verb.PAUSE_TRANSFER, views, asked=None, controller=CONTROLLER)


def test_a_member_that_is_named_gets_the_order_if_it_has_the_transfer() -> None:
    views = views_of(member(A, owned(A, 1)), member(B, owned(A, 1)))
    assert choose_member(Verb.RUN_TRANSFER, views, asked=B, controller=CONTROLLER) == B
    with pytest.raises(NoTargetError, match="c does not have this transfer: a, b do"):
        choose_member(Verb.RUN_TRANSFER, views, asked=C, controller=CONTROLLER)


def test_where_each_member_runs_it_one_has_to_be_named() -> None:
    views = views_of(member(A, replace(FREE, ownership=Ownership.EACH)))
    with pytest.raises(NoTargetError, match="say which of a"):
        choose_member(Verb.RUN_TRANSFER, views, asked=None, controller=CONTROLLER)


def test_what_fails_is_found_first_and_what_is_paused_or_nobodys_by_these_words() -> None:
    pause = Pause(by="x", member="a", at="now")
    told = [
        replace(owned(A, 1), name=TransferName("fine")),
        replace(owned(A, 1), name=TransferName("sick"), state=TransferState.FAILING),
        replace(owned(B, 1), name=TransferName("still"), paused=pause),
        replace(FREE, name=TransferName("free")),
    ]
    views = view_all([member(A, *told)])

    def names(wanted: Wanted) -> list[str]:
        return [each.name for each in find(views, wanted).views]

    assert names(Wanted()) == ["sick", "fine", "free", "still"]
    assert names(Wanted(state="paused")) == ["still"]
    assert names(Wanted(state="nobody")) == ["free"]
    assert names(Wanted(text="FREE")) == ["free"]
    assert names(Wanted(text="b")) == ["still"]
    found = find(views, Wanted(state="standby", page=2, limit=3))
    assert (found.total, found.matching, [each.name for each in found.views]) == (4, 3, [])
    assert found.states == {"failing": 1, "nobody": 1, "paused": 1, "standby": 3}


@given(st.integers(0, 40), st.integers(1, 7))
def test_the_pages_have_every_transfer_once(count: int, limit: int) -> None:
    told = [replace(FREE, name=TransferName(f"t-{number:02}")) for number in range(count)]
    views = view_all([member(A, *told)])
    pages = range(1, count // limit + 2)
    found = [each.name for page in pages for each in find(views, Wanted(page=page, limit=limit)).views]  # fmt: skip
    assert found == [each.name for each in told]
