"""Members take what enough people signed that they approve of, in whatever way the history was put together."""

import base64
from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.keys.ssh_key import PublicKey, read_key
from mftgit.model.names import Revision
from mftgit.model.review.record import Entry, Record, Said, Via
from mftgit.model.trust.approvals import MAX_OPINIONS, Approvals, explain_unapproved
from mftgit.model.trust.growth import Refusal, judge_growth
from mftgit.model.trust.signers import Signer
from mftgit.model.trust.trust import Evidence, Outcome, Policy

PEOPLE = ("ann", "bob", "carol")


def key(name: str) -> PublicKey:
    fields = (b"ssh-ed25519", name.encode().ljust(32))
    return read_key(
        base64.b64decode(base64.b64encode(b"".join(len(f).to_bytes(4) + f for f in fields)))
    )


def rev(name: str) -> Revision:
    return Revision(name.encode().hex().ljust(40, "0"))


def policy(approvals: int = 1, *names: str, **more: object) -> Policy:
    signers = tuple(Signer(line=1, principals=(n,), key=key(n)) for n in names or PEOPLE)
    return replace(Policy(required=True, signers=signers, approvals=approvals), **more)  # type: ignore[arg-type]


class World:
    """Commits with their parents, who signed each, and what was said of them."""

    def __init__(self) -> None:
        self.parents: dict[Revision, tuple[Revision, ...]] = {}
        self.signed: dict[Revision, str] = {}
        self.raw: dict[Revision, bytes] = {}
        self.policies: dict[Revision, Policy] = {}
        self.entries: list[Entry] = []

    def commit(
        self,
        name: str,
        *parents: str,
        by: str = "ann",
        named: str = "",
        policy: Policy | None = None,
    ) -> None:
        self.parents[rev(name)] = tuple(map(rev, parents))
        self.signed[rev(name)] = by
        self.raw[rev(name)] = f"author x <{named or by}> 1 +0000\n\n".encode()
        if policy:
            self.policies[rev(name)] = policy

    def say(
        self, commit: str, by: str, *, base: str, said: Said = Said.APPROVE, operator: str = ""
    ) -> None:
        oid = rev(f"r{len(self.entries)}")
        record = Record(
            said=said,
            change="x",
            commit=rev(commit),
            by=operator or by,
            via=Via.GIT,
            base=rev(base),
            content="0" * 64,
        )
        self.signed[oid] = by
        self.entries.append(Entry(oid=oid, at_s=0, record=record))

    def judge(self, tip: str, first: Policy) -> Refusal | None:
        approvals = Approvals(
            history=self.parents,
            entries=tuple(self.entries),
            examine=self._examine,
            raw_commit=self.raw.__getitem__,
        )

        def policy_of(revision: Revision) -> Policy:
            while revision not in self.policies:
                if revision not in self.parents:
                    return first
                revision = self.parents[revision][0]
            return self.policies[revision]

        return judge_growth(
            self._behind(rev(tip)),
            anchor=rev("anchor"),
            tip=rev(tip),
            policy_of=policy_of,
            examine=self._examine,
            covered=replace_history(approvals, self._behind(rev(tip))).covered,
        )

    def _behind(self, tip: Revision) -> Mapping[Revision, tuple[Revision, ...]]:
        found, todo = {}, [tip]
        while todo:
            each = todo.pop()
            if each in self.parents and each not in found:
                found[each] = self.parents[each]
                todo += found[each]
        return found

    def _examine(self, _policy: Policy, revision: Revision) -> Evidence:
        by = self.signed[revision]
        if by == "nobody":
            return Evidence(revision=revision, flaw=Outcome.UNSIGNED)
        if by == "unchecked":
            return Evidence(revision=revision, flaw=Outcome.NOT_CHECKED)
        return Evidence(revision=revision, key=key(by))


def replace_history(
    approvals: Approvals, history: Mapping[Revision, tuple[Revision, ...]]
) -> Approvals:
    return Approvals(
        history=history,
        entries=approvals.entries,
        examine=approvals.examine,
        raw_commit=approvals.raw_commit,
    )


def one() -> World:
    world = World()
    world.commit("t", "anchor")
    return world


def test_a_revision_is_taken_with_the_approval_of_another() -> None:
    world = one()
    refusal = world.judge("t", policy())
    assert refusal is not None
    assert refusal.unapproved == (rev("t"),)
    world.say("t", "bob", base="anchor")
    assert world.judge("t", policy()) is None
    assert world.judge("t", policy(2)) is not None
    world.say("t", "carol", base="anchor")
    assert world.judge("t", policy(2)) is None


def test_the_author_and_who_signed_it_do_not_count() -> None:
    world = one()
    world.say("t", "ann", base="anchor")
    assert world.judge("t", policy()) is not None
    world.commit("u", "anchor", named="BOB")
    world.say("u", "bob", base="anchor")
    assert world.judge("u", policy()) is not None


def test_two_keys_that_are_known_as_one_persons_count_once() -> None:
    world = one()
    world.say("t", "bob", base="anchor")
    world.say("t", "carol", base="anchor")
    people = (("bob", ("bob", "carol")),)
    assert world.judge("t", policy(2)) is None
    assert world.judge("t", policy(2, people=people)) is not None
    other = one()
    other.say("t", "bob", base="anchor", operator="x")
    other.say("t", "carol", base="anchor", operator="x")
    assert other.judge("t", policy(2)) is not None


def test_an_approval_of_another_commit_or_unsigned_or_of_who_may_not_sign_is_none() -> None:
    world = one()
    world.commit("other", "anchor")
    world.say("other", "bob", base="anchor")
    world.say("t", "nobody", base="anchor")
    world.say("t", "eve", base="anchor")
    world.say("t", "bob", base="anchor", said=Said.COMMENT)
    assert world.judge("t", policy()) is not None
    assert world.judge("t", policy(1, "ann", "eve")) is None
    assert world.judge("t", policy(revoked=frozenset({key("bob")}))) is not None


def test_who_asked_for_changes_later_approves_no_more() -> None:
    world = one()
    world.say("t", "bob", base="anchor")
    world.say("t", "bob", base="anchor", said=Said.REQUEST_CHANGES)
    assert world.judge("t", policy()) is not None


def test_an_approval_covers_what_lies_between_its_base_and_its_commit() -> None:
    world = one()
    world.commit("u", "t")
    world.say("u", "bob", base="t")  # by the word of a controller that says t was published
    refusal = world.judge("u", policy())
    assert refusal is not None
    assert refusal.unapproved == (rev("t"),)
    world.say("u", "carol", base="anchor")
    assert world.judge("u", policy()) is None
    assert world.judge("t", policy()) is not None  # what came on the way was not approved by itself
    assert world.judge("u", policy(2)) is not None  # one of the two saw u alone


def test_each_revision_may_be_approved_by_itself() -> None:
    world = one()
    world.commit("u", "t", by="bob")
    world.say("t", "bob", base="anchor")
    world.say("u", "ann", base="t")
    assert world.judge("u", policy()) is None


def test_a_weaker_policy_counts_from_where_it_was_approved_and_not_on_the_way() -> None:
    strict, weak = policy(version=1), policy(0, version=2)
    world = World()
    world.commit("weak", "anchor", policy=weak)
    world.commit("tip", "weak", policy=policy(version=3))
    world.say("tip", "bob", base="anchor")
    assert world.judge("tip", strict) is None
    world.commit("sneaked", "weak", by="carol", policy=weak)
    world.commit("merge", "sneaked", "tip", by="carol", policy=weak)
    assert world.judge("merge", strict) is not None
    world.say("weak", "bob", base="anchor")
    assert world.judge("merge", strict) is None  # now the weak one was approved itself


def test_a_broken_glass_is_signed_by_as_many_as_the_policy_says() -> None:
    world = one()
    world.say("t", "ann", base="anchor", said=Said.BREAK_GLASS)
    assert world.judge("t", policy(2)) is not None
    assert world.judge("t", policy(2, break_glass=2)) is not None
    assert world.judge("t", policy(2, break_glass=1)) is None
    world.say("t", "bob", base="anchor", said=Said.BREAK_GLASS)
    assert world.judge("t", policy(2, break_glass=2)) is None


def test_without_the_word_of_anybody_nothing_that_asks_for_approvals_is_taken() -> None:
    world = one()
    refusal = judge_growth(
        world.parents,
        anchor=rev("anchor"),
        tip=rev("t"),
        policy_of=lambda _: policy(),
        examine=world._examine,
    )
    assert refusal is not None


def test_what_could_not_be_checked_is_in_doubt_and_no_approval() -> None:
    world = one()
    world.say("t", "unchecked", base="anchor")
    approvals = Approvals(
        history=world.parents,
        entries=tuple(world.entries),
        examine=world._examine,
        raw_commit=world.raw.__getitem__,
    )
    assert approvals.covered(policy()) == ()
    assert "could not be checked here" in approvals.doubts[0]


def test_a_refusal_names_the_commits_and_the_way_out() -> None:
    told = "\n".join(explain_unapproved(policy(2), [rev("t")]))
    assert rev("t")[:12] in told
    assert "expected, for each: 2 of those" in told
    assert "mftgit review approve NAME --since A" in told


@given(st.lists(st.sampled_from(["ann", "bob", "carol", "eve", "nobody"])), st.integers(1, 3))
def test_so_many_others_as_are_asked_for_have_to_sign(names: list[str], needed: int) -> None:
    world = one()
    for name in names:
        world.say("t", name, base="anchor")
    enough = len(set(names) & {"bob", "carol"}) >= needed
    assert (world.judge("t", policy(needed)) is None) == enough


def test_much_that_is_said_by_others_does_not_push_out_who_approved() -> None:
    world = World()
    world.commit("c1", "anchor")
    world.say("c1", "bob", base="anchor")
    for said, by in (
        (Said.COMMENT, "ann"),
        (Said.REQUEST_CHANGES, "nobody"),
        (Said.APPROVE, "nobody"),
    ):
        for _ in range(MAX_OPINIONS):
            world.say("c1", by, base="anchor", said=said, operator="eve")
    assert world.judge("c1", policy()) is None
