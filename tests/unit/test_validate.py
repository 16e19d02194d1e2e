"""A whole revision is validated: all problems at once, at the cost of what has changed, never raising."""

import sys
import threading
from collections.abc import Mapping

import pytest
from config_tree import VALID, entry, found, tree, validate, validator
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.documents.document import MAX_SIZE_BYTES
from mftgit.model.documents.problem import format_problems
from mftgit.model.rules.tree import Entry
from mftgit.model.rules.validate import MAX_PROBLEMS, Validator
from mftgit.resources import load_schemas

SECRET = "hunter2-hunter2"

BROKEN: Mapping[str, str | bytes | None] = {
    "cluster.yaml": "name: Acme Bank\npoll_s: 0\n",
    "members/node-2.yaml": "role: node\nrole: node\n",
    "members/node-3.yaml": f"role: node\nvariables: {{db_password: {SECRET}}}\n",
    "members/notes.txt": "",
    "locations/partner.yaml": (
        f"type: sftp\nhost: h\nusername: u\npassword: {SECRET}\nauth: [{{password: {SECRET}}}]\n"
    ),
    "locations/same.yaml": "type: local\npath: inbox\n",
    "transfers/a.yaml": (
        "source: {location: inbox, include: ['a|b']}\ndestination: {location: same}\n"
        "trigger: {cron: {expression: '99 * * * *', timezone: Mars}}\n"
    ),
    "transfers/b.yaml": (
        "source: {location: inbx}\ndestination: {location: outbox}\ntrigger: {}\n"
    ),
    "transfers/c.json": '{"source": {"location": "inbox"}, "source": 1}',
    "transfers/d.yaml": (
        "source: {location: nowhere}\ndestination: {location: outbox}\n"
        "trigger: {watch: {}}\nactive_on: [nobody]\n"
    ),
    "event-handlers/x.yaml": "type: nothing\n",
}


def test_every_problem_is_told_at_once_with_all_that_is_needed_to_mend_it() -> None:
    problems = validate(BROKEN).problems
    assert [(each.file, each.rule) for each in problems] == [
        ("cluster.yaml", "form"),
        ("cluster.yaml", "range"),
        ("event-handlers/x.yaml", "choice"),
        ("locations/partner.yaml", "missing-field"),
        ("locations/partner.yaml", "plaintext-secret"),
        ("locations/partner.yaml", "plaintext-secret"),
        ("members/node-2.yaml", "duplicate-key"),
        ("members/node-3.yaml", "plaintext-secret"),
        ("members/notes.txt", "ending"),
        ("transfers/a.yaml", "glob"),
        ("transfers/a.yaml", "feeds-itself"),
        ("transfers/a.yaml", "cron"),
        ("transfers/a.yaml", "timezone"),
        ("transfers/b.yaml", "reference"),
        ("transfers/b.yaml", "size"),
        ("transfers/c.json", "duplicate-key"),
        ("transfers/d.yaml", "reference"),
        ("transfers/d.yaml", "reference"),
    ]
    for problem in problems:
        told = problem.as_json()
        assert set(told) == {"file", "line", "column", "pointer", "rule", "message", "hint"}
        assert told["message"]
        assert told["hint"]
        assert not str(told["message"])[0].isupper()
        assert not str(told["message"]).endswith(".")
        if problem.rule not in {"ending", "folder"}:
            assert problem.line
            assert problem.column
        if problem.rule not in {"ending", "folder", "missing-field"}:
            assert problem.pointer.startswith("/")
    assert list(problems) == sorted(problems)


def test_no_message_repeats_a_secret() -> None:
    assert SECRET not in format_problems(validate(BROKEN).problems)


def test_documents_that_can_be_read_are_given_by_path() -> None:
    documents = validate(BROKEN).documents
    assert documents["cluster.yaml"].value == {"name": "Acme Bank", "poll_s": 0}
    assert documents["cluster.yaml"].positions()["/poll_s"].value == (2, 9)
    assert "transfers/c.json" not in documents
    assert "members/notes.txt" not in documents


def test_after_a_thousand_problems_the_rest_is_counted() -> None:
    files: dict[str, str | bytes | None] = {f"members/n{n:04}.txt": "" for n in range(MAX_PROBLEMS)}
    assert len(validate(files).problems) == MAX_PROBLEMS
    problems = validate({**files, **{f"members/o{n}.txt": "" for n in range(234)}}).problems
    assert len(problems) == MAX_PROBLEMS + 1
    assert problems[-1].message == "234 more problems, from here on"
    assert problems[-1].file == "members/o0.txt"
    assert list(problems) == sorted(problems)


def test_a_file_that_is_too_large_is_not_even_loaded() -> None:
    def never() -> bytes:
        raise AssertionError

    huge = Entry(mode=0o100644, oid="x", size_bytes=MAX_SIZE_BYTES + 1, load=never)
    (problem,) = validator().validate({**tree(VALID), "members/big.yaml": huge}).problems
    assert (problem.file, problem.rule) == ("members/big.yaml", "limit")


def test_files_that_are_no_documents_are_not_loaded() -> None:
    def never() -> bytes:
        raise AssertionError

    other = Entry(mode=0o100644, oid="x", size_bytes=1, load=never)
    assert validator().validate({**tree(VALID), "README.md": other}).problems == ()


def test_a_change_of_one_file_loads_one_file() -> None:
    fresh = Validator(load_schemas(), frozenset())
    loaded: list[str] = []

    def counted(files: Mapping[str, str]) -> dict[str, Entry]:
        def entry_of(path: str, content: str) -> Entry:
            plain = entry(content)

            def load() -> bytes:
                loaded.append(path)
                return plain.load()

            return Entry(mode=plain.mode, oid=plain.oid, size_bytes=plain.size_bytes, load=load)

        return {path: entry_of(path, content) for path, content in files.items()}

    assert fresh.validate(counted(VALID)).problems == ()
    assert sorted(loaded) == sorted(VALID)
    loaded.clear()
    assert fresh.validate(counted(VALID)).problems == ()
    assert loaded == []
    changed = {**VALID, "locations/inbox.yaml": "type: local\npath: other\n"}
    assert fresh.validate(counted(changed)).problems == ()
    assert loaded == ["locations/inbox.yaml"]


def test_what_is_remembered_does_not_keep_the_repository_in_memory() -> None:
    fresh = Validator(load_schemas(), frozenset())
    files = tree(VALID)
    loads = [each.load for each in files.values()]
    before = [sys.getrefcount(load) for load in loads]
    fresh.validate(files)
    assert [sys.getrefcount(load) for load in loads] == before


def test_the_same_content_is_judged_by_where_it_lies() -> None:
    content = '{"role": "node"}'
    assert found({"members/x.yaml": content, "members/x2.json": content}) == []
    problems = found({"locations/x.yaml": content, "members/x.yaml": content})
    assert {file for file, _, _ in problems} == {"locations/x.yaml"}
    yaml_only = "role: node # a comment"
    assert found({"members/x.yaml": yaml_only, "members/y.json": yaml_only}) == [
        ("members/y.json", "", "syntax")
    ]


def test_the_problems_of_both_documents_of_one_name_are_told() -> None:
    twins = {"members/a.json": '{"role": "bogus"}', "members/a.yaml": "role: bogus\n"}
    told = {file for file, at, _ in found({**VALID, **twins}) if at == "/role"}
    assert told == set(twins)


def test_a_problem_of_content_that_lies_twice_is_told_of_both_files() -> None:
    assert found({"members/x.yaml": "role: x", "members/y.yaml": "role: x"}) == [
        ("members/x.yaml", "/role", "choice"),
        ("members/y.yaml", "/role", "choice"),
    ]


def test_threads_may_share_a_validator() -> None:
    fresh = Validator(load_schemas(), frozenset())
    files = tree(VALID)
    outcomes: list[object] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(fresh.validate(files).problems))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [()] * 8


@pytest.mark.parametrize("text", ["{}", "[]", "null", "a", "", "{{}}", "[" * 1000])
def test_no_file_with_next_to_nothing_in_it_makes_validation_raise(text: str) -> None:
    for path in VALID:
        assert found({path: text})


_PATHS = st.sampled_from(
    [
        *VALID,
        "locations/x.json",
        "accounts/a.yaml",
        "groups/g.yaml",
        "services/s.yaml",
        "x",
        "members/X.yaml",
    ]
)
_PIECES = st.sampled_from(
    [
        "type: sftp", "type: local", "path: a", 'path: "{{ region }}"', "role: node", "role: controller", "name: a",
        "source: {location: inbox}",
        'source: {location: "{{ region }}"}', "destination: {location: outbox}",
        "trigger: {watch: {}}", 'trigger: {watch: {every_s: "{{ port }}"}}', "active_on: [node-1]", "enabled: false",
        "prefer: [node-2]", "labels: {a: b}", "variables: {region: inbox, port: 0}", "a: &b 1", "password: x", "{{ x",
        "after_success: {action: archive, path: .}", "home: {location: inbox}", "groups: [g]", "services: [s]",
        "login: {keys: [x], require: [password]}", "listen: {port: 22}", "host_keys: [{secret: x}]",
        "expires: 2027-02-30",
        'folders: [{at: /a, location: "{{ region }}"}, {at: /a/b, location: x}]',
    ]
)  # fmt: skip


@given(
    st.dictionaries(
        _PATHS,
        st.lists(_PIECES, max_size=6).map("\n".join) | st.text(max_size=20).filter(str.isprintable),
    )
)
def test_whatever_is_changed_validation_gives_an_answer(
    changes: dict[str, str | bytes | None],
) -> None:
    problems = validate(changes).problems
    assert list(problems) == sorted(problems)
    assert len(set(problems)) == len(problems)
    for problem in problems:
        assert problem.hint
        assert bool(problem.line) == bool(problem.column)
