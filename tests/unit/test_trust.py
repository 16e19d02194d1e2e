"""Whose commits are taken follows from what was published before, and nothing that is pushed admits itself."""

import base64
from collections.abc import Mapping
from dataclasses import replace

import pytest
from config_tree import VALID, entry, only, tree, validate
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.documents.problem import format_problem
from mftgit.model.keys.ssh_key import PublicKey, read_key
from mftgit.model.names import Revision
from mftgit.model.revisions.push import unsigned
from mftgit.model.trust.growth import History, grown, judge_growth
from mftgit.model.trust.policy_version import check_policy_step
from mftgit.model.trust.signers import Signer
from mftgit.model.trust.trust import (
    MAX_TOLD,
    Evidence,
    Outcome,
    Policy,
    check_trust,
    explain,
    judge_commit,
    objections,
    read_policy,
)

REQUIRED = "name: acme\ntrust: {require_signatures: true}\n"
SIGNERS = "trust/allowed_signers"


def key(name: str) -> PublicKey:
    fields = (b"ssh-ed25519", name.encode().ljust(32))
    return read_key(b"".join(len(each).to_bytes(4) + each for each in fields))


def line(name: str, options: str = "") -> str:
    return f"{name} {options} ssh-ed25519 {base64.b64encode(key(name).blob).decode()}\n"


def rev(name: str) -> Revision:
    return Revision(name.encode().hex().ljust(40, "0"))


def policy(*names: str) -> Policy:
    """Return a policy that requires signatures by ``names``."""
    return Policy(
        required=True, signers=tuple(Signer(line=1, principals=(n,), key=key(n)) for n in names)
    )


def by(name: str | None, at_s: int = 0) -> Evidence:
    if name is None:
        return Evidence(revision=rev("x"), flaw=Outcome.UNSIGNED)
    return Evidence(revision=rev("x"), at_s=at_s, key=key(name))


# What a repository may say


def test_signatures_are_not_required_unless_the_cluster_says_so() -> None:
    assert not read_policy(tree(VALID)).required
    assert not read_policy(tree({"cluster.yaml": "name: a\ntrust: {}\n"})).required
    no = "name: a\ntrust: {require_signatures: false}\n"
    assert not read_policy(tree({"cluster.yaml": no})).required
    assert read_policy(tree({"cluster.yaml": REQUIRED})).required


@pytest.mark.parametrize(
    "content", ["name: a\ntrust: yes\n", "name: a\ntrust: {require_signatures: 0}\n"]
)
def test_anything_but_a_plain_no_requires_signatures(content: str) -> None:
    assert read_policy(tree({"cluster.yaml": content})).required


@pytest.mark.parametrize("content", ["", "name: [", None])
def test_an_unreadable_cluster_lets_no_commit_pass(content: str | None) -> None:
    files = {SIGNERS: line("ann")} | ({} if content is None else {"cluster.yaml": content})
    assert objections(read_policy(tree(files)), [by("ann")])


@pytest.mark.parametrize(
    "signers", ["", "# nobody\n", "ann\n", line("ann") + "bob\n", line("ann", 'namespaces="file"')]
)
def test_an_empty_or_unreadable_list_of_signers_lets_no_commit_pass(signers: str) -> None:
    found = read_policy(tree({"cluster.yaml": REQUIRED, SIGNERS: signers}))
    assert not found.admits_somebody
    (wrong,) = objections(found, [by("ann")])
    assert wrong.outcome is Outcome.NOT_ALLOWED
    told = "\n".join(explain(found, [wrong]))
    assert "admits nobody: see docs/how-to/sign.md" in told
    assert all(format_problem(each) in told for each in found.problems)


def test_an_unreadable_list_of_revoked_keys_lets_no_commit_pass() -> None:
    files = {"cluster.yaml": REQUIRED, SIGNERS: line("ann"), "trust/revoked_keys": "x"}
    assert objections(read_policy(tree(files)), [by("ann")])


@pytest.mark.parametrize(
    "files",
    [
        {},
        {SIGNERS: ""},
        {SIGNERS: line("ann", 'namespaces="file"')},
        {SIGNERS: line("ann"), "trust/revoked_keys": line("ann").partition("  ")[2]},
    ],
)
def test_requiring_signatures_of_nobody_is_a_problem_at_its_place(files: dict[str, str]) -> None:
    problem = only({"cluster.yaml": REQUIRED, **files})
    assert (problem.file, problem.line, problem.column) == ("cluster.yaml", 2, 29)
    assert problem.pointer == "/trust/require_signatures"
    assert "admits nobody" in problem.message
    assert "mftgit trust add" in problem.hint


def test_requiring_signatures_of_somebody_is_valid() -> None:
    assert validate({"cluster.yaml": REQUIRED, SIGNERS: line("ann")}).problems == ()
    assert validate({SIGNERS: ""}).problems == ()


def test_a_bad_line_is_a_problem_even_where_nothing_is_required() -> None:
    problem = only({SIGNERS: line("ann") + "bob ssh-ed25519 x\n"})
    assert (problem.file, problem.line, problem.column) == (SIGNERS, 2, 5)


def test_a_broken_cluster_is_told_by_itself() -> None:
    found = validate({"cluster.yaml": "name: a\ntrust: {require_signatures: 1}\n"}).problems
    assert [each.pointer for each in found] == ["/trust/require_signatures"]
    assert check_trust({"cluster.yaml": entry("")}, None) == ()


# What a commit is


def test_a_commit_is_signed_by_whom_the_line_of_its_key_names() -> None:
    found = judge_commit(policy("ann", "bob"), by("bob"))
    assert (found.outcome, found.principals) == (Outcome.SIGNED, ("bob",))
    assert str(found) == f"commit {rev('x')[:12]} is signed ({key('bob').fingerprint})"


@pytest.mark.parametrize("outcome", [each for each in Outcome if each is not Outcome.SIGNED])
def test_what_is_wrong_with_a_commit_is_told(outcome: Outcome) -> None:
    found = judge_commit(policy("ann"), Evidence(revision=rev("x"), flaw=outcome, detail="look"))
    assert found.outcome is outcome
    assert str(found).endswith(": look")


def window(after: int | None, before: int | None) -> Signer:
    return Signer(
        line=1, principals=("ann",), key=key("ann"), valid_after=after, valid_before=before
    )


@given(st.integers(0, 9), st.none() | st.integers(0, 9), st.none() | st.integers(0, 9))
def test_a_key_counts_from_the_first_to_the_last_second_of_its_window(
    at_s: int, after: int | None, before: int | None
) -> None:
    outcome = judge_commit(Policy(signers=(window(after, before),)), by("ann", at_s)).outcome
    if after is not None and at_s < after:
        assert outcome is Outcome.NOT_YET_VALID
    elif before is not None and at_s > before:
        assert outcome is Outcome.EXPIRED
    else:
        assert outcome is Outcome.SIGNED


def test_of_several_lines_with_one_key_the_best_counts() -> None:
    both = Policy(signers=(window(None, 3), window(5, None)))
    outcomes = [judge_commit(both, by("ann", at_s)).outcome for at_s in (3, 4, 5)]
    assert outcomes == [Outcome.SIGNED, Outcome.EXPIRED, Outcome.SIGNED]


def test_a_revoked_key_counts_at_no_time() -> None:
    asked = Policy(signers=policy("ann").signers, revoked=frozenset({key("ann")}))
    assert judge_commit(asked, by("ann")).outcome is Outcome.REVOKED


def test_evidence_without_a_key_proves_nothing() -> None:
    assert judge_commit(policy("ann"), Evidence(revision=rev("x"))).outcome is Outcome.UNSIGNED


def test_a_refusal_names_what_was_found_and_the_ways_out() -> None:
    asked = policy("ann", "bob")
    verdict = unsigned(
        "refs/heads/main", asked, objections(asked, [by(None), by("eve"), by("ann")])
    )
    assert verdict.reason == "not signed as required"
    told = "\n".join(verdict.explanation)
    for part in (
        "refs/heads/main", f"{rev('x')[:12]} is not signed", key("eve").fingerprint, "allows: ann, bob",
        "git config gpg.format ssh", "git commit -S", "mftgit trust add",
    ):  # fmt: skip
        assert part in told


def test_a_refusal_of_many_commits_stays_short() -> None:
    asked = policy(*(f"n{number}" for number in range(MAX_TOLD + 5)))
    commits = iter([by(None)] * 1000)
    lines = explain(asked, objections(asked, commits))
    assert len(lines) < MAX_TOLD + 8
    assert "more commits like these follow" in lines
    assert f"n{MAX_TOLD - 1}, …" in "\n".join(lines)
    assert len(list(commits)) > 900  # the rest was not looked at


# How a history may grow

A = rev("anchor")


def grow(
    history: Mapping[str, tuple[str, ...]],
    signed: Mapping[str, str | None],
    policies: Mapping[str, Policy],
    tip: str,
) -> list[str] | None:
    """Return the commits that keep a member from following, by name; None when nothing does."""
    names = {rev(name): name for name in [*history, "anchor"]}
    told: dict[str, Policy] = {}
    last = Policy()
    for number, name in enumerate(["anchor", *history]):
        # What a revision does not say stays as it is, and what it does is numbered anew unless it has a number.
        new = policies.get(name)
        last = told[name] = replace(new, version=new.version or number) if new else last
    refusal = judge_growth(
        {rev(name): tuple(map(rev, parents)) for name, parents in history.items()},
        anchor=A,
        tip=rev(tip),
        policy_of=lambda revision: told[names[revision]],
        examine=lambda _policy, revision: Evidence(
            revision=revision,
            key=key(who) if (who := signed[names[revision]]) else None,
            flaw=None if who else Outcome.UNSIGNED,
        ),
    )
    return None if refusal is None else [names[each.revision] for each in refusal.wrong]


LINE = {"a": ("anchor",), "b": ("a",), "c": ("b",)}


def test_where_nothing_is_required_everything_may_follow() -> None:
    assert grow(LINE, {"a": None, "b": None, "c": None}, {"b": policy("ann")}, "c") is None


def test_every_commit_after_the_anchor_has_to_be_signed() -> None:
    asked = {"anchor": policy("ann")}
    assert grow(LINE, {"a": "ann", "b": "ann", "c": "ann"}, asked, "c") is None
    assert grow(LINE, {"a": "ann", "b": None, "c": "ann"}, asked, "c") == ["b"]
    assert grow({}, {}, asked, "anchor") is None


def test_no_commit_admits_its_own_author() -> None:
    asked = {"anchor": policy("ann"), "a": policy("ann", "eve")}
    assert grow(LINE, {"a": "eve", "b": "eve", "c": "eve"}, asked, "c") == ["a"]


def test_a_member_that_was_away_follows_those_who_were_admitted_meanwhile() -> None:
    asked = {"anchor": policy("ann"), "a": policy("ann", "bob"), "b": policy("bob")}
    assert grow(LINE, {"a": "ann", "b": "bob", "c": "bob"}, asked, "c") is None


def test_a_removed_signer_may_end_the_push_that_removes_him_and_begin_no_other() -> None:
    asked = {"anchor": policy("ann", "bob"), "b": policy("bob")}
    assert grow(LINE, {"a": "ann", "b": "bob", "c": "ann"}, asked, "c") is None
    asked = {"anchor": policy("bob"), "a": policy("ann", "bob"), "b": policy("bob")}
    assert grow(LINE, {"a": "bob", "b": "ann", "c": "ann"}, asked, "c") is None
    asked = {"anchor": policy("bob"), "a": policy("ann"), "b": policy("bob")}
    signed = {"a": "bob", "b": "ann", "c": "bob"}
    assert grow(LINE, signed, asked, "c") is None
    signed = {"a": "bob", "b": "ann", "c": "cid"}
    assert grow(LINE, signed, asked, "c") == ["c"]


def test_switching_the_requirement_off_takes_a_signature_and_counts_afterwards() -> None:
    asked = {"anchor": policy("ann"), "a": Policy()}
    assert grow(LINE, {"a": "ann", "b": None, "c": None}, asked, "c") is None
    assert grow(LINE, {"a": None, "b": None, "c": None}, asked, "c") == ["a"]


MERGED = {"side": ("anchor",), "a": ("anchor",), "m": ("a", "side"), "n": ("m",)}


def test_a_signature_that_could_not_be_checked_leaves_the_refusal_in_doubt() -> None:
    both, bob = policy("ann", "bob"), replace(policy("bob"), version=1)

    def refused(policies: Mapping[str, Policy], unsure: tuple[Policy, str]) -> bool | None:
        """Judge a line that ann begins and bob ends; ``unsure`` cannot be told here by that policy."""
        told = {A: policies["anchor"], rev("a"): policies["a"], rev("b"): policies["a"]}

        def examine(asked: Policy, revision: Revision) -> Evidence:
            if (asked, revision) == (unsure[0], rev(unsure[1])):
                return Evidence(revision=revision, flaw=Outcome.NOT_CHECKED)
            return Evidence(revision=revision, key=key("ann" if revision == rev("a") else "eve"))

        line = {rev("a"): (A,), rev("b"): (rev("a"),)}
        found = judge_growth(
            line, anchor=A, tip=rev("b"), policy_of=told.__getitem__, examine=examine
        )
        return None if found is None else found.in_doubt

    assert refused({"anchor": both, "a": both}, (both, "a")) is True
    assert refused({"anchor": both, "a": both}, (both, "x")) is False
    assert refused({"anchor": both, "a": bob}, (both, "b")) is True
    assert refused({"anchor": both, "a": bob}, (bob, "b")) is True


def test_both_sides_of_a_merge_have_to_be_signed() -> None:
    asked = {"anchor": policy("ann")}
    good = dict.fromkeys(MERGED, "ann")
    assert grow(MERGED, good, asked, "n") is None
    for name in MERGED:
        assert grow(MERGED, {**good, name: None}, asked, "n") == [name]


def test_a_branch_from_before_the_anchor_comes_in_whole() -> None:
    history = {"old": ("root",), "m": ("anchor", "old")}
    asked = {"anchor": policy("ann")}
    assert grow(history, {"old": "ann", "m": "ann"}, asked, "m") is None
    assert grow(history, {"old": None, "m": "ann"}, asked, "m") == ["old"]


def test_a_merge_that_has_main_as_its_second_parent_is_followed() -> None:
    history = {"local": ("older",), "m": ("local", "anchor")}
    asked = {"anchor": policy("ann")}
    assert grow(history, {"local": "ann", "m": "ann"}, asked, "m") is None
    assert grow(history, {"local": "eve", "m": "ann"}, asked, "m") == ["local"]


@st.composite
def histories(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    """Draw commits, the last of which is grown from the anchor; some of the parents lie before it."""
    history: dict[str, tuple[str, ...]] = {}
    for number in range(draw(st.integers(1, 8))):
        known = ["before", "anchor", *history]
        history[f"c{number}"] = tuple(
            draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True))
        )
    return {**history, "tip": ("anchor", *history)}


@given(histories())
def test_what_grew_from_the_anchor_comes_after_those_of_its_parents_that_did(
    history: dict[str, tuple[str, ...]],
) -> None:
    known = {rev(name): tuple(map(rev, parents)) for name, parents in history.items()}
    told = list(grown(known, anchor=A, tip=rev("tip")))
    places = {revision: place for place, (revision, _) in enumerate([(A, ()), *told])}
    assert len(places) == len(told) + 1
    assert told[-1][0] == rev("tip")
    assert set(places) == {A, *(each for each in known if A in behind(known, each))}
    for revision, parents in told:
        assert parents == tuple(each for each in known[revision] if each in places)
        assert all(places[parent] < places[revision] for parent in parents)


def behind(history: History, revision: Revision) -> set[Revision]:
    """Return a revision and all that it has behind it."""
    return {revision}.union(*(behind(history, each) for each in history.get(revision, ())))


@given(histories(), st.data())
def test_a_member_follows_if_and_only_if_some_division_into_pushes_passes(
    history: dict[str, tuple[str, ...]], data: st.DataObject
) -> None:
    people = st.sampled_from([policy("ann"), policy("bob"), policy("ann", "bob"), Policy()])
    numbers = st.integers(1, 3)
    policies = {
        rev(name): replace(data.draw(people), version=data.draw(numbers))
        for name in ["anchor", *history]
    }
    signers = {rev(name): data.draw(st.sampled_from(["ann", "ann", "bob"])) for name in history}
    known = {rev(name): tuple(map(rev, parents)) for name, parents in history.items()}
    reach = {each: behind(known, each) & set(known) for each in policies}

    def shown(_: Policy, revision: Revision) -> Evidence:
        return Evidence(revision=revision, key=key(signers[revision]))

    def may_push(old: Revision, new: Revision) -> bool:
        asked = policies[old]
        grew = (old == A and A in behind(known, new)) or old in reach[new]
        return (
            grew
            and not objections(asked, (shown(asked, each) for each in reach[new] - reach[old]))
            and check_policy_step(asked, policies[new]) is None
        )

    published = [A]
    for old in published:
        published += [new for new in known if new not in published and may_push(old, new)]
    refusal = judge_growth(
        known, anchor=A, tip=rev("tip"), policy_of=policies.__getitem__, examine=shown
    )
    assert (refusal is None) == (rev("tip") in published)


def test_what_was_published_behind_the_second_parent_of_a_merge_counts() -> None:
    pulled = {"local": ("anchor",), "p": ("anchor",), "q": ("p",), "m": ("local", "q")}
    asked = {"anchor": policy("ann"), "p": policy("ann", "bob")}
    signed = {"p": "ann", "q": "bob", "local": "ann", "m": "ann"}
    assert grow(pulled, signed, asked, "m") is None
    assert grow(pulled, signed | {"p": "bob"}, asked, "m") == ["p", "q"]
    assert grow(pulled, signed | {"local": "eve"}, asked, "m") == ["local"]
    beyond = {**pulled, "n": ("m",)}
    assert grow(beyond, {**signed, "n": "bob"}, asked, "n") is None


def test_each_commit_of_a_wide_history_is_examined_once_by_a_policy() -> None:
    line = [f"l{number}" for number in range(300)]
    history: dict[str, tuple[str, ...]] = {
        name: (before,) for before, name in zip(["anchor", *line], line, strict=False)
    }
    history |= {f"m{number}": (f"m{number - 1}", name) for number, name in enumerate(line)}
    history["m0"] = ("anchor", "l0")
    history["octopus"] = ("m299", *history)
    known = {rev(name): tuple(map(rev, parents)) for name, parents in history.items()}
    asked: list[Revision] = []

    def examine(_: Policy, revision: Revision) -> Evidence:
        asked.append(revision)
        return Evidence(revision=revision, key=key("ann"))

    ann = policy("ann")
    told = judge_growth(
        known, anchor=A, tip=rev("octopus"), policy_of=lambda _: ann, examine=examine
    )
    assert told is None
    assert sorted(asked) == sorted(known)


@given(histories(), st.data())
def test_where_nobody_is_admitted_meanwhile_each_commit_is_judged_by_the_anchor(
    history: dict[str, tuple[str, ...]], data: st.DataObject
) -> None:
    signed = {name: data.draw(st.sampled_from(["ann", "eve", None])) for name in history}
    wrong = grow(history, signed, {"anchor": policy("ann")}, "tip")
    assert (wrong is None) == all(who == "ann" for who in signed.values())
