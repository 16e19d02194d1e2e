"""Which files are documents follows from their places, and what does not belong there is a problem."""

import pytest
from config_tree import VALID, entry, found, only, tree, validator

from mftgit.model.documents.places import MAX_FILES, sort_files
from mftgit.model.printable import printable


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        ".gitignore",
        ".github/workflows/validate.yml",
        "__init__.py",
        "docs/members/x.txt",
        "other.yaml",
    ],
)
def test_files_in_other_places_are_passed_over(path: str) -> None:
    assert found({path: "not: [a document"}) == []


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("members/README.md", "ending"),
        ("members/.gitkeep", "ending"),
        ("members/node-3.YAML", "ending"),
        ("members/node-3.yaml.bak", "ending"),
        ("members/berlin/node-3.yaml", "folder"),
        ("members/Node-3.yaml", "name"),
        ("members/.yaml", "name"),
        ("members/-a.yaml", "name"),
        ("members/a b.yaml", "name"),
        ("members/" + "a" * 64 + ".yaml", "name"),
        ("members/a\nb.yaml", "name"),
        ("Members/node-3.yaml", "folder"),
        ("secrets/partner.key", "ending"),
        ("event-handlers/mail.txt", "ending"),
        ("cluster.yml", "name"),
        ("cluster.json", "name"),
        ("services", "mode"),
        ("trust", "mode"),
        ("trust/README.md", "folder"),
        ("trust/keys/allowed_signers", "folder"),
        ("Trust/allowed_signers", "folder"),
    ],
)
def test_what_does_not_belong_into_a_folder_of_documents_is_a_problem(path: str, rule: str) -> None:
    problem = only({path: "role: node\n"})
    assert problem.rule == rule
    assert problem.file == printable(path)
    assert problem.hint


@pytest.mark.parametrize("ending", [".yml", ".json"])
def test_a_document_may_end_in_yml_or_json(ending: str) -> None:
    assert found({f"members/node-3{ending}": '{"role": "node"}'}) == []


ANYWHERE = [
    "members/node-1.yaml",
    "cluster.yaml",
    "members/sub/x",
    "locations/x",
    "README.md",
    "docs/a/b",
    "accounts",
]


@pytest.mark.parametrize(
    ("mode", "what", "way_out"),
    [
        (0o120000, "is a symbolic link,", "git rm {}"),
        (0o160000, "is a submodule,", "git rm --cached {}"),
        (0o040000, "is a folder,", "git rm {}"),
        (0o100755, "is executable,", "git update-index --chmod=-x {}"),
        (0o100664, "is of mode 100664,", "git update-index --chmod=-x {}"),
        (0o104755, "is of mode 104755,", "git update-index --chmod=-x {}"),
    ],
)
@pytest.mark.parametrize("path", ANYWHERE)
def test_every_file_wherever_it_stands_is_a_plain_one(
    path: str, mode: int, what: str, way_out: str
) -> None:
    files = {**tree(VALID), path: entry("role: node", mode)}
    (problem,) = [
        each for each in validator().validate(files).problems if each.rule != "missing-file"
    ][:1]
    assert (problem.file, problem.rule) == (path, "mode")
    assert what in problem.message
    assert problem.hint.endswith(way_out.format(path))


def test_the_way_out_can_be_pasted_into_a_shell() -> None:
    files = {**tree(VALID), "docs/a; here": entry("x", 0o100755)}
    (problem,) = validator().validate(files).problems
    assert problem.hint == "chmod -x 'docs/a; here' && git update-index --chmod=-x 'docs/a; here'"


def test_each_unsafe_file_is_one_problem_and_all_are_told_at_once() -> None:
    files = {
        **tree(VALID),
        "a": entry("x", 0o120000),
        "b/.git/config": entry("x"),
        "c": entry("x", 0o100755),
        "d/.git/link": entry("x", 0o120000),
    }
    problems = validator().validate(files).problems
    assert [(each.file, each.rule) for each in problems] == [
        ("a", "mode"),
        ("b/.git/config", "name"),
        ("c", "mode"),
        ("d/.git/link", "name"),
    ]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("docs/.git/hooks/pre-commit", "take it for .git"),
        ("docs/GIT~1", "take it for .git"),
        ("members/.Git.yaml/../x", "take it for .git, . or .."),
        ("docs//x", "take it for .git, . or .."),
        ("docs/a\\.git", "take it for .git"),
        ("docs/caf\udce9", "not UTF-8"),
        ("docs/a\nb", "control character"),
        ("docs/a\x9b2J", "control character"),
        ("members/a\nb.yaml", "control character"),
    ],
)
def test_a_name_that_is_not_safe_is_a_problem_wherever_it_stands(path: str, why: str) -> None:
    problem = only({path: "x"})
    assert problem.rule == "name"
    assert problem.file == printable(path)
    assert why in problem.message
    assert problem.hint == "rename it, or remove it"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("README.md", "readme.md"),
        ("docs/caf\u00e9", "docs/cafe\u0301"),
        ("stra\u00dfe", "STRASSE"),
        ("\u212a", "k"),
    ],
)
def test_paths_that_some_file_systems_take_for_one_are_a_problem_that_names_both(
    first: str, second: str
) -> None:
    problem = only({first: "a", second: "b"})
    assert problem.rule == "same-name"
    assert first in problem.message
    assert second in problem.message


def test_two_documents_of_one_name_are_a_problem_that_names_both() -> None:
    problem = only({"members/node-1.json": '{"role": "node"}'})
    assert problem.rule == "same-name"
    assert "members/node-1.json and members/node-1.yaml" in problem.message or (
        "members/node-1.yaml and members/node-1.json" in problem.message
    )


def test_an_empty_repository_is_a_problem() -> None:
    (problem,) = validator().validate({}).problems
    assert (problem.file, problem.rule, problem.message) == (
        "cluster.yaml",
        "missing-file",
        "the repository is empty",
    )


def test_a_repository_without_cluster_yaml_is_a_problem() -> None:
    assert only({"cluster.yaml": None}).message == "there is no cluster.yaml"


def test_a_cluster_document_of_another_ending_is_told_to_be_renamed() -> None:
    assert ("cluster.yaml", "", "missing-file") in found(
        {"cluster.yaml": None, "cluster.yml": "name: a"}
    )
    (missing, _) = sort_files(tree({"cluster.yml": "name: a"}))[1]
    assert missing.hint == "rename cluster.yml to cluster.yaml"


def test_too_many_files_are_counted_and_not_looked_at() -> None:
    files = {f"docs/{number}": entry("") for number in range(MAX_FILES)}
    assert sort_files({**files, "cluster.yaml": entry("name: a")})[1][0].rule == "limit"
    assert sort_files({**dict(list(files.items())[1:]), "cluster.yaml": entry("name: a")})[1] == []
