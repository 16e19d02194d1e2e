from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.inbound.account_use import KNOWN_S, AccountUse, UseNews
from mftgit.model.inbound.uses_everywhere import UsesEverywhere
from mftgit.model.names import AccountName, MemberName

ONE, TWO, THREE = (MemberName(f"node-{number}") for number in (1, 2, 3))
ACME, OTHER = AccountName("acme"), AccountName("other")
STEP, FIRST = 60_000_000, 1000


def use(account: AccountName, sessions: int = 0, step: int | None = None) -> AccountUse:
    return AccountUse(account=account, sessions=sessions, step=step)


def sessions(news: UseNews) -> dict[AccountName, int]:
    return {each.account: each.sessions for each in news.accounts}


def test_a_member_hears_of_the_others_alone_and_of_what_has_changed_alone() -> None:
    everywhere = UsesEverywhere(FIRST)
    everywhere.take(ONE, [use(ACME, 2)], at=0.0, step=STEP)
    everywhere.take(TWO, [use(ACME, 3), use(OTHER, 1)], at=0.0, step=STEP)

    first = everywhere.news(ONE, 0, step=STEP)
    assert first.whole
    assert sessions(first) == {ACME: 3, OTHER: 1}
    assert sessions(everywhere.news(THREE, 0, step=STEP)) == {ACME: 5, OTHER: 1}
    assert not everywhere.news(ONE, first.number, step=STEP).accounts

    everywhere.take(TWO, [use(ACME, 3)], at=0.0, step=STEP)
    then = everywhere.news(ONE, first.number, step=STEP)
    assert not then.whole
    assert sessions(then) == {OTHER: 0}


def test_a_used_code_is_pressing_once_and_told_to_all_for_a_while() -> None:
    everywhere = UsesEverywhere(FIRST)

    assert everywhere.take(ONE, [use(ACME, 1, STEP)], at=0.0, step=STEP)
    assert not everywhere.take(ONE, [use(ACME, 1, STEP)], at=0.0, step=STEP)
    assert not everywhere.take(TWO, [use(OTHER, 1)], at=0.0, step=STEP)
    everywhere.forget(ONE)
    assert everywhere.news(TWO, 0, step=STEP).accounts[0] == use(OTHER, 0)
    assert everywhere.news(TWO, 0, step=STEP).accounts[1] == use(ACME, 0, STEP)
    assert everywhere.news(TWO, 0, step=STEP + 99).accounts[1] == use(ACME, 0)


def test_what_a_member_said_counts_until_it_is_gone_or_silent() -> None:
    everywhere = UsesEverywhere(FIRST)
    everywhere.take(ONE, [use(ACME, 1)], at=0.0, step=STEP)
    everywhere.take(TWO, [use(ACME, 1)], at=50.0, step=STEP)
    everywhere.expire(KNOWN_S)
    assert sessions(everywhere.news(THREE, 0, step=STEP)) == {ACME: 2}
    everywhere.expire(KNOWN_S + 1)
    assert sessions(everywhere.news(THREE, 0, step=STEP)) == {ACME: 1}
    everywhere.forget(TWO)
    assert sessions(everywhere.news(THREE, 0, step=STEP)) == {ACME: 0}
    everywhere.forget(TWO)


def test_who_knows_another_controller_or_too_little_is_told_all_anew() -> None:
    everywhere = UsesEverywhere(FIRST, most_changed=2)
    names = [AccountName(f"a{number}") for number in range(3)]
    everywhere.take(ONE, [use(name, 1) for name in names], at=0.0, step=STEP)

    assert everywhere.news(TWO, FIRST, step=STEP).whole
    assert everywhere.news(TWO, everywhere.number + 1, step=STEP).whole
    assert not everywhere.news(TWO, everywhere.number, step=STEP).whole
    assert len(everywhere.news(TWO, FIRST, step=STEP).accounts) == 2


counts = st.dictionaries(st.sampled_from([AccountName(name) for name in "abcd"]), st.integers(1, 3))


@given(st.lists(st.tuples(st.sampled_from([ONE, TWO]), counts), max_size=12), st.integers(1, 3))
def test_who_asks_in_parts_now_and_then_knows_the_others_in_the_end(
    told: list[tuple[MemberName, dict[AccountName, int]]], limit: int
) -> None:
    everywhere, known = UsesEverywhere(FIRST), dict[AccountName, int]()
    last, after = dict[MemberName, dict[AccountName, int]](), 0
    for member, counted in told:
        uses = [use(name, count) for name, count in counted.items()]
        everywhere.take(member, uses, at=0.0, step=STEP)
        last[member] = counted
        more = True
        while more:
            news = everywhere.news(THREE, after, step=STEP, limit=limit)
            known = sessions(news) if news.whole else known | sessions(news)
            more, after = news.more, news.number
    expected = sum((Counter(each) for each in last.values()), Counter[AccountName]())
    assert {name: count for name, count in known.items() if count} == expected
