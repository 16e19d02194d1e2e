"""Who approved what, whose approval counts, and what is written down of it."""

import base64
import json
from dataclasses import replace

import pytest
from config_tree import validate
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.documents.problem import format_problem
from mftgit.model.names import Revision
from mftgit.model.review.policy import (
    CLOSED,
    People,
    ReviewPolicy,
    build_review,
    fold,
    matches,
    read_review,
    together,
)
from mftgit.model.review.record import (
    EMPTY_TREE,
    MAX_HEAD_BYTES,
    MAX_MESSAGE_BYTES,
    Entry,
    Record,
    Said,
    Via,
    format_record,
    parse_record,
    read_link,
)
from mftgit.model.review.review import (
    NEXT,
    Change,
    Standing,
    State,
    Step,
    ended,
    fingerprint,
    judge_change,
    named_in,
    this_round,
)

TIP, BASE, OTHER = (Revision(each * 40) for each in "abc")
CONTENT = "0" * 64
NAMES = st.sampled_from(["ann", "bob", "carol", "dave"])


def record(said: Said = Said.APPROVE, by: str = "bob", **rest: object) -> Record:
    given: dict[str, object] = {
        "said": said,
        "change": "" if said in {Said.BEGIN, Said.BREAK_GLASS} else "node",
        "commit": TIP,
        "by": by,
        "via": Via.GIT,
        "base": BASE,
        "content": CONTENT,
        "text": "x" if said is Said.BREAK_GLASS else "",
    }
    return Record(**given | rest)  # type: ignore[arg-type]


def entry(said: Said = Said.APPROVE, by: str = "bob", *principals: str, **rest: object) -> Entry:
    return Entry(oid=TIP, at_s=0, record=record(said, by, **rest), principals=principals)


PROPOSED = entry(Said.PROPOSE, "ann")


def change(*paths: str, authors: tuple[str, ...] = ("ann@example.org",)) -> Change:
    return Change(
        name="node",
        tip=TIP,
        base=BASE,
        content=CONTENT,
        paths=frozenset(paths),
        authors=frozenset(authors),
    )


OPERATORS = frozenset({"ann", "bob", "carol", "dave"})


def judged(policy: ReviewPolicy, *entries: Entry, of: Change | None = None) -> Standing:
    return judge_change(policy, of or change(), (PROPOSED, *entries), operators=OPERATORS)


# Who is whom


def test_a_name_is_the_same_in_whatever_case_width_and_composition() -> None:
    assert fold(" Ann@Example.ORG ") == fold("\uff41nn@example.org")
    assert fold("\u00e9") == fold("e\u0301")


def test_names_that_people_lists_are_of_one_person() -> None:
    people = People.of({"ann": ["ANN@example.org", "ann@laptop"]})
    assert people.persons(["ann@EXAMPLE.org", "ann", "ann@laptop", "bob", " "]) == {"ann", "bob"}


def test_who_shares_a_name_is_counted_once() -> None:
    parties = [frozenset("ab"), frozenset("cd"), frozenset("be"), frozenset("ec")]
    assert together(parties) == (frozenset("abcde"),)


@given(st.lists(st.frozensets(NAMES, min_size=1)))
def test_no_two_parties_share_a_person_and_nobody_is_lost(parties: list[frozenset[str]]) -> None:
    found = together(parties)
    assert sum(map(len, found)) == len(frozenset().union(*found))
    assert frozenset().union(*found) == frozenset().union(*parties)


# Whose paths


@pytest.mark.parametrize(
    ("glob", "path", "hit"),
    [
        ("cluster.yaml", "cluster.yaml", True),
        ("cluster.yaml", "Cluster.YAML", True),
        ("cluster.yaml", "x/cluster.yaml", False),
        ("transfers/*", "transfers/a.yaml", True),
        ("transfers/*", "transfers/a/b.yaml", False),
        ("transfers/**", "transfers/a/b.yaml", True),
        ("**/a.yaml", "a.yaml", True),
        ("**/a.yaml", "x/y/a.yaml", True),
        ("**/a.yaml", "x/ba.yaml", False),
        ("a?.yaml", "ab.yaml", True),
        ("a?.yaml", "a/.yaml", False),
        ("a.b", "axb", False),
        ("***", "a/b\nc", True),
        ("trust/**", "trust/\u00e9", True),
        ("notes/*", "notes/\u2100.txt", True),  # a/c in one character
        ("*", "a\uff0fb", True),
        ("trust/**", "\uff54rust/x", True),
    ],
)
def test_globs_match_as_they_read(glob: str, path: str, hit: bool) -> None:  # noqa: FBT001
    assert matches(glob, path) is hit


@given(st.text(alphabet="ab*?/.", max_size=12), st.text(alphabet="ab/.", max_size=30))
def test_a_glob_without_stars_matches_itself_alone(glob: str, path: str) -> None:
    if not set(glob) & set("*?"):
        assert matches(glob, path) == (glob == path)
    assert matches("**", path)


def test_whose_document_is_under_one_ending_is_under_the_others() -> None:
    policy = ReviewPolicy(
        owners={"transfers/bank*.yaml": ("money",)}, groups={"money": ("bob", "carol")}
    )
    assert policy.owned(["transfers/bank-2.json"]) == {"transfers/bank*.yaml": {"bob", "carol"}}
    assert policy.owned(["transfers/other.yaml", "README"]) == {}


# What is read


def test_what_cannot_be_read_lets_nothing_pass() -> None:
    assert read_review(None) == CLOSED
    assert read_review({"review": 3}) == CLOSED
    assert read_review({"review": {"approvals": []}}) == CLOSED
    assert read_review({"name": "a"}) is None
    assert "cannot be read" in judged(CLOSED).lacking[0]


def test_defaults_ask_for_one_who_is_not_the_author() -> None:
    assert build_review({}) == ReviewPolicy(approvals=1, not_by_author=True, break_glass=True)


# What counts


def test_one_approval_of_somebody_else_is_enough() -> None:
    assert judged(ReviewPolicy()).lacking == ("1 more approval is needed: 0 of 1 so far",)
    found = judged(ReviewPolicy(), entry())
    assert (found.state, found.lacking, found.may_merge) == (State.APPROVED, (), True)


def test_without_a_policy_nothing_is_lacking() -> None:
    assert judge_change(None, change(), (), operators=None).may_merge


def test_who_pushed_wrote_or_signed_it_does_not_count() -> None:
    people = {"ann": ("ann@example.org",), "bob": ("bob@example.org",), "carol": ()}
    policy = ReviewPolicy(people=people)
    assert judged(policy, entry(by="ann")).given == 0
    assert judged(policy, entry(), of=change(authors=("BOB@example.org",))).given == 0
    assert (
        judged(
            policy, entry(Said.APPROVE, "carol", "bob@example.org"), of=change(authors=("bob",))
        ).given
        == 0
    )
    assert judged(replace(policy, not_by_author=False), entry(by="ann")).given == 1


def test_who_merged_main_into_it_is_no_author() -> None:
    merged = entry(Said.PROPOSE, "bob", commit=OTHER)
    assert judged(ReviewPolicy(), merged, entry(by="bob")).given == 1
    changed = entry(Said.PROPOSE, "bob", content="1" * 64)
    assert judged(ReviewPolicy(), changed, entry(by="bob")).given == 0
    assert judged(ReviewPolicy(), changed, PROPOSED, entry(by="ann")).given == 0


def test_who_is_not_listed_or_no_operator_does_not_count() -> None:
    assert judged(ReviewPolicy(people={"carol": ()}), entry()).opinions[0].discounted == (
        "review.people does not name bob"
    )
    assert (
        judge_change(ReviewPolicy(), change(), (PROPOSED, entry()), operators=frozenset()).given
        == 0
    )
    assert judge_change(ReviewPolicy(), change(), (PROPOSED, entry()), operators=None).given == 1


def test_two_keys_of_one_person_count_once() -> None:
    two = ReviewPolicy(approvals=2)
    same = (
        entry(Said.APPROVE, "bob", "x@example.org"),
        entry(Said.APPROVE, "carol", "X@example.org"),
    )
    assert judged(two, *same).lacking == ("1 more approval is needed: 1 of 2 so far",)
    assert judged(replace(two, approvals=3), entry()).lacking == (
        "2 more approvals are needed: 1 of 3 so far",
    )


@given(st.lists(NAMES), st.integers(0, 4))
def test_approvals_are_enough_when_so_many_others_gave_them(names: list[str], needed: int) -> None:
    found = judged(ReviewPolicy(approvals=needed), *(entry(by=name) for name in names))
    assert found.given == len(set(names) - {"ann"})
    assert found.may_merge == (found.given >= needed)


def test_the_last_word_of_each_is_what_counts() -> None:
    refusal = entry(Said.REQUEST_CHANGES)
    assert judged(ReviewPolicy(), entry(), refusal).state is State.CHANGES_REQUESTED
    assert judged(ReviewPolicy(), refusal, entry()).state is State.APPROVED
    assert judged(ReviewPolicy(approvals=2), refusal, entry()).state is State.OPEN


def test_an_approval_is_of_a_commit_or_of_the_same_change() -> None:
    rebased = entry(commit=OTHER)
    assert judged(ReviewPolicy(), rebased).given == 1
    other = entry(commit=OTHER, content="1" * 64)
    found = judged(ReviewPolicy(), other)
    assert (found.given, found.outdated) == (0, (other,))


def test_a_commit_that_nobody_is_known_to_have_pushed_is_not_merged() -> None:
    found = judge_change(ReviewPolicy(), change(), (entry(),), operators=OPERATORS)
    assert found.lacking == ("who pushed this commit is not on record: push one more on top of it",)


def test_each_glob_wants_one_of_its_owners() -> None:
    policy = ReviewPolicy(owners={"a": ("carol",), "b": ("bob", "dave")})
    found = judged(policy, entry(), of=change("a", "b"))
    assert found.must_approve == {"a": ("carol",)}
    assert found.lacking == ("a needs the approval of one of: carol",)
    assert judged(policy, entry(), entry(by="carol"), of=change("a", "b")).may_merge


# Rounds


def test_a_name_that_is_used_again_begins_anew() -> None:
    first = (PROPOSED, entry(), entry(Said.MERGE, "ann"))
    assert this_round((*first, entry(Said.COMMENT, text="late")), "node")[:3] == first
    again = entry(Said.PROPOSE, "carol")
    assert this_round((*first, again, entry(Said.APPROVE, "bob", change="other")), "node") == (
        again,
    )
    assert ended(first) is State.MERGED
    assert ended((PROPOSED, entry(Said.CLOSE))) is State.CLOSED
    assert ended((PROPOSED,)) is None


def test_nothing_goes_on_from_an_end_but_a_new_proposal() -> None:
    for state in (State.MERGED, State.CLOSED):
        assert {step for (at, step) in NEXT if at is state} == {Step.PROPOSED}


# Content and authors


files = st.dictionaries(st.text(max_size=3), st.text("ab", max_size=2), max_size=4)


@given(files, files, files)
def test_the_same_change_has_one_fingerprint_whatever_lies_beside_it(
    before: dict[str, str], after: dict[str, str], more: dict[str, str]
) -> None:
    digest, paths = fingerprint(before, after)
    beside = {path: text for path, text in more.items() if path not in before and path not in after}
    assert fingerprint(before | beside, after | beside) == (digest, paths)
    assert (digest == fingerprint({}, {})[0]) == (before == after)


def test_everybody_who_is_named_in_a_commit_is_an_author() -> None:
    raw = (
        b"tree x\nauthor Ann <ann@a> 1 +0000\ncommitter  <> 1 +0000\n\n"
        b"subject\n\nauthor Eve <eve@e>\nCO-Authored-By: Bob <bob@b>\nco-authored-by: carol\n"
    )
    assert named_in(raw) == {"ann@a", "bob@b", "carol"}


# Records


records = st.builds(
    record,
    st.sampled_from(Said),
    NAMES,
    text=st.text(min_size=1, max_size=50).filter(str.strip),
    path=st.none() | st.text(min_size=1, max_size=20),
    line=st.none() | st.integers(1, 1000),
    result=st.none() | st.just(OTHER),
)


@given(records)
def test_a_record_is_read_as_it_was_written(made: Record) -> None:
    assert parse_record(format_record(made)) == made


def message(**changes: object) -> str:
    value = json.loads(format_record(record()).partition("\n\n")[2]) | changes
    return "x\n\n" + json.dumps({name: each for name, each in value.items() if each is not None})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x", "no JSON object"),
        ("x\n\n[]", "no JSON object"),
        ('x\n\n{"a": 1, "a": 2}', "no JSON object"),
        ('x\n\n{"line": NaN}', "no JSON object"),
        ("x\n\n" + "[" * 100_000, "no JSON object"),
        ("x" * (MAX_MESSAGE_BYTES + 1), "more than"),
        ("x" * 501 + message(), "its first line has more than 500"),
        (message(extra=1), "not known here"),
        (message(said="sing"), "sing"),
        (message(by=None), "by is missing"),
        (message(by="Not A Name"), "no name of an operator"),
        (message(by=3), "no text"),
        (message(commit="abc"), "full commit id"),
        (message(line=0), "no number"),
        (message(line=True), "no number"),
        (message(change="a/../b"), "no name of a proposal"),
        (message(base=None), "needs a base"),
        (message(content="xyz"), "needs a base"),
        (message(text="x" * 10_001), "at most"),
        (message(path="x" * 1_001), "at most"),
        (message(text="\ud800"), "surrogates"),
        (message(said="break-glass"), "a broken glass has a base and a reason"),
        (message(said="begin"), "has no change"),
    ],
)
def test_what_is_no_record_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_record(text)


def raw(*lines: str, text: str = "", tree: str = EMPTY_TREE) -> bytes:
    head = "\n".join((f"tree {tree}", *lines, "committer x <x> 77 +0000"))
    return f"{head}\n\n{text or format_record(record())}".encode()


def test_a_link_of_the_chain_has_one_before_it_and_no_files() -> None:
    found, parent = read_link(TIP, raw(f"parent {OTHER}"))
    assert (found.at_s, found.record, parent) == (77, record(), OTHER)
    assert read_link(TIP, raw())[1] is None
    assert read_link(TIP, raw().replace(b"77 +0000", b"long ago"))[0].at_s == 0
    for wrong in (raw(f"parent {OTHER}", f"parent {BASE}"), raw(tree=BASE)):
        with pytest.raises(ValueError, match="no files"):
            read_link(TIP, wrong)
    with pytest.raises(ValueError, match="not UTF-8"):
        read_link(TIP, raw() + b"\xff")
    with pytest.raises(ValueError, match="stand before its message"):
        read_link(TIP, raw(f"author {'x' * MAX_HEAD_BYTES} <x> 1 +0000"))


# What the files may say


def problems(review: str) -> list[str]:
    files = {"cluster.yaml": f"name: a\nreview: {review}\n"}
    return [format_problem(each) for each in validate(files).problems]


@pytest.mark.parametrize(
    ("review", "why"),
    [
        ("{people: {ann: [], bob: []}, approvals: 2}", "2 have to approve besides the author"),
        ("{people: {ann: [x], bob: [X]}}", "'X' is a name of 'ann' already"),
        ("{people: {ann: [bob], bob: []}}", "'bob' is a name of 'ann' already"),
        ("{people: {ann: [], bob: []}, groups: {bob: [ann]}}", "'bob' is a person"),
        (
            "{people: {ann: [], bob: []}, groups: {g: [an]}}",
            "'an' is neither in review.people nor a group",
        ),
        ("{people: {ann: [], bob: []}, owners: {a: [zed, ann]}}", "'zed' is neither"),
        ("{owners: {a: [ann]}}", "nobody could approve there what ann changes"),
        ("{owners: {/a: [ann, bob]}}", "no path from the top"),
        ("{owners: {'!a': [ann, bob]}}", "no path from the top"),
        ("{owners: {a/../b: [ann, bob]}}", "no path from the top"),
        ("{owners: {a/: [ann, bob]}}", "names a folder"),
        ("{owners: {a//b: [ann, bob]}}", "names a folder"),
        ("{owners: {'[ab]': [ann, bob]}}", "no part of a glob"),
        ("{owners: {'*a*a*a*a*a*a*': [ann, bob]}}", "more than 6 stars"),
    ],
)
def test_what_could_never_work_is_a_problem(review: str, why: str) -> None:
    assert any(why in each for each in problems(review)), problems(review)


@pytest.mark.parametrize(
    "review",
    [
        "{}",
        "{approvals: 2, people: {ann: [], bob: [b@x], carol: []}, groups: {g: [ann, bob]}, owners: {a/**: [g]}}",
        "{approvals: 1, not_by_author: false, people: {ann: []}, owners: {a: [ann]}}",
    ],
)
def test_what_can_work_is_none(review: str) -> None:
    assert problems(review) == []


def line(name: str) -> str:
    fields = (b"ssh-ed25519", name.encode().ljust(32))
    blob = b"".join(len(each).to_bytes(4) + each for each in fields)
    return f"{name} ssh-ed25519 {base64.b64encode(blob).decode()}\n"


def test_approvals_are_required_with_signatures_of_enough_people_only() -> None:
    def found(trust: str, signers: str) -> list[str]:
        files = {"cluster.yaml": f"name: a\ntrust: {trust}\n", "trust/allowed_signers": signers}
        return [format_problem(each) for each in validate(files).problems]

    two = line("a") + line("b")
    assert "signatures are not required" in found("{require_approvals: 1}", two)[0]
    required = "{require_signatures: true, require_approvals: 1, version: 1}"
    assert "trust/ admits 1 in all" in found(required, line("a"))[0]
    assert found(required, two) == []
    assert all("[review]" not in each for each in found(required, f"{two}?"))


def test_without_a_cluster_nothing_is_said_of_review() -> None:
    assert all(each.rule != "review" for each in validate({"cluster.yaml": None}).problems)
