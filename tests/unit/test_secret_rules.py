"""Who needs a secret has to be able to read it, and what is named has to be there."""

from pathlib import Path

import pytest
from certificate_lines import USER_LINE
from config_tree import KEY, VALID, found, only, tree, validate, validator
from secret_documents import Key, make_key, sealed

from mftgit.model.configuration.changes import member_changes
from mftgit.model.configuration.config import Role
from mftgit.model.configuration.flat import FieldChange
from mftgit.model.configuration.render import render
from mftgit.model.names import MemberName, SecretName
from mftgit.model.rules.secret import names_of_recipients, recipients_of

PARTNER = SecretName("partner")
PATH = "secrets/partner.yaml"
LOCATION = "locations/outbox.yaml"
SFTP = f"type: sftp\nhost: h.example\nusername: u\nhost_keys: [{KEY}]\nauth: [{{password: {{secret: partner}}}}]\n"
AT = "/auth/0/password/secret"
ONE, TWO, ANN = MemberName("node-1"), MemberName("node-2"), "ann"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Key]:
    folder: Path = tmp_path_factory.mktemp("keys")
    return {name: make_key(folder, name) for name in (ONE, TWO, ANN)}


@pytest.fixture(scope="module")
def files(keys: dict[str, Key]) -> dict[str, str | bytes | None]:
    """Two nodes that need the secret, and an operator."""
    return {
        LOCATION: SFTP,
        "cluster.yaml": f"name: acme\nage: {{operators: {{ann: {keys[ANN].public}}}}}\n",
        **{
            path: VALID[path] + f"age_recipient: {keys[name].public}\n"
            for name in (ONE, TWO)
            for path in [f"members/{name}.yaml"]
        },
        PATH: sealed("partner", "x", *keys.values()),
    }


Files = dict[str, str | bytes | None]


def test_a_secret_that_all_who_need_it_can_read_is_valid(files: Files) -> None:
    assert found(files) == []


DECRYPT = "content: [{pgp_decrypt: {private_key: {secret: own}, passphrase: {secret: partner}}}]\n"


def test_a_secret_that_the_content_of_a_transfer_needs_is_for_the_members_that_run_it(
    files: Files, keys: dict[str, Key]
) -> None:
    path = "transfers/invoices.yaml"
    some = {**files, LOCATION: VALID[LOCATION], path: VALID[path] + DECRYPT}
    problem = only(some)
    at = "/content/0/pgp_decrypt/private_key/secret"
    assert (problem.file, problem.pointer, problem.rule) == (path, at, "reference")
    assert problem.message == "there is no secret 'own'"
    left_out = {**some, "secrets/own.yaml": sealed("own", "x", keys[ONE])}
    assert only(left_out).message == "not encrypted to all members that need it: node-2"
    good: Files = {**some, "secrets/own.yaml": sealed("own", "x", *keys.values())}
    generation = render(validate(good), ONE, Role.NODE)
    assert set(generation.sealed) == {"own", "partner"}


ETCD = (
    "coordinator: {type: etcd, etcd: {endpoints: ['https://e:2379'], username: u,"
    " auth: {password: {secret: own}}}}\n"
)


def test_a_secret_that_the_cluster_needs_is_for_every_member(
    files: Files, keys: dict[str, Key]
) -> None:
    cluster = str(files["cluster.yaml"]) + ETCD
    some = {**files, "cluster.yaml": cluster}
    at = "/coordinator/etcd/auth/password/secret"
    assert found(some) == [("cluster.yaml", at, "reference")]
    left_out = {**some, "secrets/own.yaml": sealed("own", "x", keys[ONE])}
    assert [each[0] for each in found(left_out)] == ["members/controller.yaml", "secrets/own.yaml"]
    controller = VALID["members/controller.yaml"] + f"age_recipient: {keys[ANN].public}\n"
    good: Files = {
        **some,
        "members/controller.yaml": controller,
        "secrets/own.yaml": sealed("own", "x", *keys.values()),
    }
    assert found(good) == []
    generation = render(validate(good), ONE, Role.NODE)
    assert generation.sealed.keys() == {"own", "partner"}


def test_a_change_of_what_the_cluster_needs_is_looked_at(
    files: Files, keys: dict[str, Key]
) -> None:
    controller = VALID["members/controller.yaml"] + f"age_recipient: {keys[ANN].public}\n"
    changed: Files = {
        **VALID,
        **files,
        "members/controller.yaml": controller,
        "secrets/own.yaml": sealed("own", "x", keys[ANN]),
    }
    good = {path: content for path, content in changed.items() if content is not None}
    check = validator()
    assert not check.validate(tree(good)).problems
    named = {**good, "cluster.yaml": str(files["cluster.yaml"]) + ETCD}
    assert {each.file for each in check.validate(tree(named)).problems} == {"secrets/own.yaml"}


def test_a_secret_that_is_not_there_is_a_problem_that_tells_how_to_make_it(files: Files) -> None:
    problem = only({**files, PATH: None})
    assert (problem.file, problem.line, problem.pointer) == (LOCATION, 5, AT)
    assert problem.message == "there is no secret 'partner'"
    assert problem.hint == "make it: mftgit secret set partner"
    near = {**files, PATH: None, "secrets/partners.yaml": files[PATH]}
    assert only(near).hint == "did you mean 'partners'?"


def test_also_a_location_that_no_transfer_uses_names_a_secret_that_is_there(files: Files) -> None:
    unused = {"locations/spare.yaml": SFTP.replace("partner}", "spare}")}
    assert found({**files, **unused}) == [("locations/spare.yaml", AT, "reference")]


def test_a_member_without_a_key_that_needs_a_secret_is_told_how_to_get_one(files: Files) -> None:
    problem = only({**files, "members/node-2.yaml": VALID["members/node-2.yaml"]})
    assert (problem.file, problem.rule) == ("members/node-2.yaml", "secret")
    assert problem.message == "node-2 needs the secret 'partner' and has no age_recipient"
    assert "mftgit member recipient" in problem.hint
    assert "mftgit secret rekey" in problem.hint


def test_each_member_without_a_key_is_told_once(files: Files) -> None:
    location = SFTP.replace("auth: [", "auth: [{private_key: {secret: other}}, ")
    changes: Files = {
        **files,
        LOCATION: location,
        "secrets/other.yaml": files[PATH],
        "members/node-2.yaml": VALID["members/node-2.yaml"],
    }
    assert found(changes) == [("members/node-2.yaml", "", "secret")]


def test_a_secret_that_leaves_out_a_member_that_needs_it_is_a_problem(
    files: Files, keys: dict[str, Key]
) -> None:
    problem = only({**files, PATH: sealed("partner", "x", keys[ONE], keys[ANN])})
    assert (problem.file, problem.line, problem.pointer) == (PATH, 2, "/recipients")
    assert problem.message == "not encrypted to all members that need it: node-2"
    assert problem.hint == "encrypt it to them too: mftgit secret rekey"


def test_of_many_members_that_are_left_out_some_are_named(
    files: Files, keys: dict[str, Key]
) -> None:
    more = {
        f"members/node-{number}.yaml": f"role: node\nage_recipient: {keys[TWO].public}\n"
        for number in range(3, 9)
    }
    problem = only({**files, **more, PATH: sealed("partner", "x", keys[ONE])})
    assert problem.message.endswith(": node-2, node-3, node-4, node-5, node-6 and 2 more")


def test_who_does_not_run_it_needs_no_key(files: Files, keys: dict[str, Key]) -> None:
    alone: Files = {
        **files,
        "members/node-2.yaml": VALID["members/node-2.yaml"],
        "transfers/invoices.yaml": VALID["transfers/invoices.yaml"].replace("nodes", "[node-1]"),
        PATH: sealed("partner", "x", keys[ONE]),
    }
    assert found(alone) == []
    off = VALID["transfers/invoices.yaml"] + "enabled: false\n"
    assert found({**alone, "transfers/invoices.yaml": off}) == []


def test_where_no_member_has_a_document_the_secret_is_where_that_is_told(files: Files) -> None:
    none: Files = {**files, **{path: None for path in VALID if path.startswith("members/")}}
    assert [each[:1] + each[2:] for each in found(none)] == [(PATH, "secret")]


def test_a_broken_secret_is_told_itself_and_not_where_it_is_named(files: Files) -> None:
    assert found({**files, PATH: "recipients: []\n"}) == [
        (PATH, "", "missing-field"),
        (PATH, "", "missing-field"),
        (PATH, "/recipients", "size"),
    ]


TEMPLATED = SFTP.replace("{secret: partner}", "{secret: '{{ region }}'}")


def test_every_member_of_a_transfer_reads_the_secrets_of_the_others_to_end_what_they_began(
    files: Files, keys: dict[str, Key]
) -> None:
    emea, apac = (sealed(name, "x", keys[ONE], keys[TWO]) for name in ("emea", "apac"))
    both: Files = {
        **files,
        LOCATION: TEMPLATED,
        "secrets/emea.yaml": emea,
        "secrets/apac.yaml": apac,
    }
    assert found(both) == []
    generation = render(validate(both), ONE, Role.NODE)
    assert list(generation.sealed) == ["apac", "emea"]
    own = {**both, "secrets/apac.yaml": sealed("apac", "x", keys[TWO])}
    assert found(own) == [("secrets/apac.yaml", "/recipients", "secret")]
    assert found({**both, "secrets/apac.yaml": None}) == [(LOCATION, AT, "reference")]


def test_the_recipients_of_a_secret_are_who_needs_it_and_operators(
    files: Files, keys: dict[str, Key]
) -> None:
    validation = validate(files)
    assert validation.readers == {"partner": (ONE, TWO)}
    parts = validation.parts
    assert recipients_of(parts, validation.readers[PARTNER]) == tuple(
        keys[name].public for name in (ONE, TWO, ANN)
    )
    assert recipients_of(parts, [MemberName("gone")]) == (keys[ANN].public,)
    assert names_of_recipients(parts) == {
        keys[ONE].public: "member node-1",
        keys[TWO].public: "member node-2",
        keys[ANN].public: "operator ann",
    }
    nothing = validator().validate(tree({})).parts
    assert recipients_of(nothing, []) == ()
    assert names_of_recipients(nothing) == {}


def test_a_member_is_given_the_secrets_that_it_needs_and_no_other(files: Files) -> None:
    spare = {**files, "secrets/spare.yaml": files[PATH]}
    generation = render(validate(spare), ONE, Role.NODE)
    assert list(generation.sealed) == ["partner"]
    assert generation.sealed[PARTNER].name == "partner"
    assert render(validate(spare), MemberName("controller"), Role.CONTROLLER).sealed == {}


def test_a_secret_that_was_changed_is_told_by_its_date(files: Files, keys: dict[str, Key]) -> None:
    def settings(after: str) -> tuple[FieldChange, ...]:
        (change,) = member_changes(validate(files), validate({**files, PATH: after}), ONE)
        assert not change.transfers
        return change.settings

    assert settings(sealed("partner", "x", *keys.values())) == ()  # encrypted anew
    at = "2027-01-01T00:00:00Z"
    assert settings(sealed("partner", "y", *keys.values(), changed=at)) == (
        FieldChange(field="secrets.partner.changed", before="2026-11-24T15:00:00Z", after=at),
    )


def test_what_belongs_to_a_key_is_needed_and_told_like_the_key(files: Files) -> None:
    location = SFTP.replace(
        "{password: {secret: partner}}",
        "{private_key: {file: k}, passphrase: {secret: partner}, certificate: {secret: other}}",
    )
    (problem,) = validate({**files, LOCATION: location}).problems
    assert (problem.pointer, problem.rule) == ("/auth/0/certificate/secret", "reference")
    inline = location.replace("{secret: other}", f"'{USER_LINE}'")
    (change,) = member_changes(validate(files), validate({**files, LOCATION: inline}), ONE)
    (told,) = change.locations
    after = f"private_key k, passphrase secret partner, certificate {USER_LINE}"
    assert told.fields == (
        FieldChange(field="auth", before=("password secret partner",), after=(after,)),
    )


def test_a_jump_host_needs_its_secrets_too(files: Files) -> None:
    jump = f"jump: {{host: j, username: u, host_keys: [{KEY}], auth: [{{private_key: {{secret: other}}}}]}}\n"
    (problem,) = validate({**files, LOCATION: SFTP + jump}).problems
    assert (problem.pointer, problem.rule) == ("/jump/auth/0/private_key/secret", "reference")
    by_file = jump.replace("secret: other", "file: other")
    (change,) = member_changes(validate(files), validate({**files, LOCATION: SFTP + by_file}), ONE)
    (told,) = change.locations
    assert {each.field: each.after for each in told.fields} == {
        "jump.host": "j",
        "jump.port": 22,
        "jump.username": "u",
        "jump.host_keys": (KEY,),
        "jump.auth": ("private_key other",),
    }


def test_another_way_to_log_in_is_told_by_the_name_of_the_secret(files: Files) -> None:
    by_file = SFTP.replace("{secret: partner}", "{file: partner}")
    (change,) = member_changes(validate({**files, LOCATION: by_file}), validate(files), ONE)
    (location,) = change.locations
    assert location.fields == (
        FieldChange(field="auth", before=("password partner",), after=("password secret partner",)),
    )
