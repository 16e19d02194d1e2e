"""Every member finds out by itself who is to own what, and all find the same."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.names import Epoch, MemberName, TransferName
from mftgit.model.ownership.spread import Want, able_members, assign
from mftgit.model.ownership.standing import Handover, Standing
from mftgit.model.ownership.view import Sight, View

A, B, C = (MemberName(name) for name in "abc")
KEYS = [TransferName(f"t{number}") for number in range(12)]
T = KEYS[0]

MEMBERS = st.sets(st.sampled_from([A, B, C]), min_size=1)
STANDINGS = st.builds(
    Standing, draining=st.booleans(), aside=st.frozensets(st.sampled_from(KEYS), max_size=3)
)
WANTS = st.dictionaries(
    st.sampled_from(KEYS),
    st.builds(
        Want,
        eligible=st.none() | st.frozensets(st.sampled_from([A, B, C]), min_size=1),
        prefer=st.lists(st.sampled_from([A, B, C]), unique=True).map(tuple),
    ),
)
VIEWS = st.builds(
    View,
    owner=st.none() | st.sampled_from([A, B, C]),
    handover=st.none() | st.builds(Handover, epoch=st.just(Epoch(1)), to=st.sampled_from([A, B])),
)
SIGHTS = st.builds(
    Sight,
    members=st.dictionaries(st.sampled_from([A, B, C]), STANDINGS),
    views=st.dictionaries(st.sampled_from(KEYS), VIEWS),
)


def living(*names: MemberName, owned: dict[TransferName, MemberName] | None = None) -> Sight:
    return Sight(
        members=dict.fromkeys(names, Standing()),
        views={key: View(owner=owner, epoch=Epoch(1)) for key, owner in (owned or {}).items()},
    )


@given(wants=WANTS, sight=SIGHTS, stays=st.sets(st.sampled_from(KEYS)))
def test_a_key_is_for_one_that_can_own_it_and_for_nobody_only_where_none_can(
    wants: dict[TransferName, Want], sight: Sight, stays: set[TransferName]
) -> None:
    targets = assign(wants, sight, stays=stays)
    for key, want in wants.items():
        able = able_members(key, want, sight.members)
        assert (key in targets) == bool(able)
        assert not able or targets[key] in able


@given(sight=SIGHTS, members=MEMBERS)
def test_without_preference_nobody_has_two_more_than_another_in_the_end(
    sight: Sight, members: set[MemberName]
) -> None:
    wants = dict.fromkeys(KEYS, Want())
    owned = {key: view.owner for key, view in sight.views.items() if view.owner in members}
    calm = living(*members, owned={key: owner for key, owner in owned.items() if owner})
    loads = Counter(assign(wants, calm).values())
    counts = [loads[name] for name in members]
    assert max(counts) - min(counts) < 2


@given(members=MEMBERS)
def test_what_is_even_stays_as_it_is(members: set[MemberName]) -> None:
    wants = dict.fromkeys(KEYS, Want())
    first = assign(wants, living(*members))
    assert assign(wants, living(*members, owned=first)) == first


@given(prefer=st.permutations([A, B, C]), members=MEMBERS)
def test_the_first_that_is_there_of_those_that_are_preferred_has_it(
    prefer: list[MemberName], members: set[MemberName]
) -> None:
    wants = {T: Want(prefer=tuple(prefer))}
    wanted = next(name for name in prefer if name in members)
    for owner in (None, *members):
        owned = {} if owner is None else {T: owner}
        assert assign(wants, living(*members, owned=owned))[T] == wanted


def test_what_an_operator_moved_stays_while_its_owner_can_have_it() -> None:
    wants = {T: Want(prefer=(A,))}
    assert assign(wants, living(A, B, owned={T: B}), stays={T})[T] == B
    assert assign(wants, living(A, owned={T: B}), stays={T})[T] == A


def test_what_is_given_to_a_member_is_its_own_while_it_is_there() -> None:
    given_to_b = View(epoch=Epoch(1), handover=Handover(epoch=Epoch(1), to=B))
    sight = Sight(members=dict.fromkeys((A, B), Standing()), views={T: given_to_b})
    assert assign({T: Want(prefer=(A,))}, sight)[T] == B
    gone = Sight(members={A: Standing()}, views={T: given_to_b})
    assert assign({T: Want(prefer=(A,))}, gone)[T] == A


def test_who_stands_aside_has_it_only_where_nobody_else_does() -> None:
    aside = Standing(aside=frozenset({T}))
    assert assign({T: Want(prefer=(A,))}, Sight(members={A: aside, B: Standing()}))[T] == B
    assert assign({T: Want(prefer=(A,))}, Sight(members={A: aside, B: aside}))[T] == A
    draining = Standing(draining=True)
    assert assign({T: Want(prefer=(A,))}, Sight(members={A: aside, B: draining}))[T] == A
    assert assign({T: Want()}, Sight(members={A: draining})) == {}


def test_of_many_free_keys_each_goes_to_the_one_with_fewest() -> None:
    owned = dict.fromkeys(KEYS[:4], A)
    targets = assign(dict.fromkeys(KEYS, Want()), living(A, B, C, owned=owned))
    assert Counter(targets.values()) == {A: 4, B: 4, C: 4}
    assert all(targets[key] == A for key in KEYS[:4])
