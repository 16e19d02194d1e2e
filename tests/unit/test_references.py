"""What one document says of another has to hold, on every member that would run it."""

import pytest
from config_tree import VALID, found, only, tree, validate, validator

INVOICES = VALID["transfers/invoices.yaml"]
INBOX = "locations/inbox.yaml"
TRANSFER = "transfers/invoices.yaml"


def changed(old: str, new: str) -> dict[str, str]:
    assert old in INVOICES
    return {TRANSFER: INVOICES.replace(old, new)}


def test_the_small_repository_is_valid() -> None:
    assert found({}) == []


def test_a_location_that_is_not_there_is_a_problem_with_a_suggestion() -> None:
    problem = only(changed("{location: inbox}", "{location: inbx}"))
    assert (problem.file, problem.line, problem.column) == (TRANSFER, 1, 20)
    assert (problem.pointer, problem.rule) == ("/source/location", "reference")
    assert (problem.message, problem.hint) == (
        "there is no location 'inbx'",
        "did you mean 'inbox'?",
    )


def test_a_name_like_no_other_is_told_where_to_add_it() -> None:
    assert only(changed("{location: outbox}", "{location: zzz}")).hint == "add locations/zzz.yaml"


def test_both_ends_of_a_transfer_are_looked_at() -> None:
    assert found(
        changed(
            "{location: inbox}\ndestination: {location: outbox}",
            "{location: x}\ndestination: {location: y}",
        )
    ) == [
        (TRANSFER, "/source/location", "reference"),
        (TRANSFER, "/destination/location", "reference"),
    ]


def test_a_removed_document_that_is_still_named_is_a_problem_even_of_what_is_switched_off() -> None:
    assert found({INBOX: None, TRANSFER: INVOICES + "enabled: false\n"}) == [
        (TRANSFER, "/source/location", "reference")
    ]


def test_a_broken_document_is_told_itself_and_not_where_it_is_named() -> None:
    assert found({INBOX: "type: local\n"}) == [(INBOX, "", "missing-field")]
    assert found({"members/node-1.yaml": "role: nod\n", **changed("nodes", "[node-1]")}) == [
        ("members/node-1.yaml", "/role", "choice")
    ]


def test_the_references_of_a_broken_transfer_are_told_with_what_breaks_it() -> None:
    broken = {
        TRANSFER: "source: {location: zzz}\ndestination: {location: '{{ where }}'}\n"
        "active_on: [node-1, node-9]\nprefer: [7, node-8]\nretries: 3\n"
    }
    assert sorted(found(broken)) == [
        (TRANSFER, "", "missing-field"),
        (TRANSFER, "/active_on/1", "reference"),
        (TRANSFER, "/prefer/0", "type"),
        (TRANSFER, "/prefer/1", "reference"),
        (TRANSFER, "/retries", "unknown-field"),
        (TRANSFER, "/source/location", "reference"),
    ]


def test_what_is_no_mapping_refers_to_nothing() -> None:
    assert found({TRANSFER: "source: inbox\ndestination: [outbox]\nactive_on: all\n"}) == [
        (TRANSFER, "", "missing-field"),
        (TRANSFER, "/source", "type"),
        (TRANSFER, "/destination", "type"),
    ]


@pytest.mark.parametrize("kind", ["transfers", "accounts", "services"])
def test_members_that_are_named_have_to_be_there(kind: str) -> None:
    text = (
        INVOICES.replace("nodes", "[node-1, node-3]")
        if kind == "transfers"
        else "active_on: [node-1, node-3]\nenabled: false\n"
        + ("" if kind == "accounts" else "type: sftp\nlisten: {port: 22}\nhost_keys: [{file: k}]\n")
    )
    problem = only({f"{kind}/invoices.yaml": text})
    assert (problem.pointer, problem.rule, problem.hint) == (
        "/active_on/1",
        "reference",
        "did you mean 'node-2'?",
    )


def test_a_transfer_on_nobody_but_unknown_members_is_one_problem() -> None:
    assert found(changed("nodes", "[x]")) == [(TRANSFER, "/active_on/0", "reference")]


def test_a_preferred_member_has_to_be_there_and_among_those_that_may_run_it() -> None:
    assert found({TRANSFER: INVOICES + "prefer: [node-2, zzz, controller]\n"}) == [
        (TRANSFER, "/prefer/1", "reference"),
        (TRANSFER, "/prefer/2", "prefer"),
    ]


def test_nothing_is_said_of_a_preferred_member_whose_document_is_broken() -> None:
    changes = {TRANSFER: INVOICES + "prefer: [controller]\n", "members/controller.yaml": "role: x"}
    assert found(changes) == [("members/controller.yaml", "/role", "choice")]


def test_there_is_one_controller_at_most() -> None:
    problem = only({"members/second.yaml": "role: controller\n"})
    assert (problem.file, problem.pointer, problem.rule) == (
        "members/second.yaml",
        "/role",
        "one-controller",
    )
    assert found({"members/controller.yaml": None}) == []


@pytest.mark.parametrize(
    "active_on", ["{labels: {site: rome}}", "{labels: {site: berlin, rack: x}}"]
)
def test_somebody_has_to_run_what_is_enabled(active_on: str) -> None:
    assert found(changed("nodes", active_on)) == [(TRANSFER, "/active_on", "nobody")]
    assert found({TRANSFER: INVOICES.replace("nodes", active_on) + "enabled: false\n"}) == []


def test_without_a_controller_nobody_runs_what_is_for_the_controller() -> None:
    assert found({"members/controller.yaml": None, **changed("nodes", "controller")}) == [
        (TRANSFER, "/active_on", "nobody")
    ]


NO_MEMBERS = {path: None for path in VALID if path.startswith("members/")}


@pytest.mark.parametrize("active_on", ["all", "controller", "nodes"])
def test_without_any_member_document_roles_are_enough(active_on: str) -> None:
    assert found({**NO_MEMBERS, **changed("nodes", active_on)}) == []


def test_without_any_member_document_labels_names_and_templates_are_problems() -> None:
    assert found({**NO_MEMBERS, **changed("nodes", "{labels: {a: b}}")}) == [
        (TRANSFER, "/active_on", "nobody")
    ]
    assert found({**NO_MEMBERS, **changed("nodes", "[node-1]")}) == [
        (TRANSFER, "/active_on/0", "reference")
    ]
    assert found({**NO_MEMBERS, INBOX: 'type: local\npath: "{{ region }}"\n'}) == [
        (INBOX, "/path", "variable")
    ]


def test_a_variable_that_nobody_defines_is_a_problem_with_a_suggestion() -> None:
    problem = only({INBOX: 'type: local\npath: "x/{{ regoin }}"\n'})
    assert (problem.line, problem.column, problem.pointer, problem.rule) == (
        2,
        7,
        "/path",
        "variable",
    )
    assert problem.message == "no member defines the variable 'regoin'"
    assert problem.hint == "did you mean 'region'?"
    assert (
        only({INBOX: 'type: local\npath: "{{ zzz }}"\n'}).hint
        == "add zzz to the variables in members/NAME.yaml"
    )


def test_a_variable_that_nobody_defines_is_a_problem_of_an_unused_location_too() -> None:
    assert found({"locations/unused.yaml": 'type: local\npath: "{{ nothing }}"\n'}) == [
        ("locations/unused.yaml", "/path", "variable")
    ]


def test_every_member_that_would_run_it_has_to_define_the_variable() -> None:
    changes = {INBOX: 'type: local\npath: "{{ region }}"\n'}
    assert found(changes) == []
    assert found({**changes, **changed("nodes", "[node-1]")}) == []
    problem = only({**changes, **changed("nodes", "all")})
    assert problem.file == INBOX
    assert problem.message == "member 'controller' does not define the variable 'region'"


def test_what_does_not_run_needs_no_variable() -> None:
    changes = {INBOX: 'type: local\npath: "{{ region }}"\n'}
    off = INVOICES.replace("nodes", "all") + "enabled: false\n"
    assert found({**changes, TRANSFER: off}) == []


def test_while_a_member_is_broken_nothing_is_said_of_variables_and_of_who_runs_what() -> None:
    changes = {
        "members/node-1.yaml": "role: nod\n",
        INBOX: 'type: local\npath: "{{ elsewhere }}"\n',
        **changed("nodes", "{labels: {site: berlin}}"),
    }
    assert found(changes) == [("members/node-1.yaml", "/role", "choice")]


def test_a_transfer_may_hold_templates_and_even_name_its_location_by_one() -> None:
    changes: dict[str, str | bytes | None] = {
        **changed("{location: inbox}", '{location: "in-{{ region }}"}'),
        "locations/in-emea.yaml": "type: local\npath: a\n",
    }
    assert found({**changes, "locations/in-apac.yaml": 'type: local\npath: "{{ port }}/x"\n'}) == []
    problem = only(changes)
    assert problem.message == "there is no location 'in-apac'"


def test_a_filled_document_has_to_fit_its_schema_again() -> None:
    problem = only(
        {
            TRANSFER: INVOICES.replace("{every_s: 1}", '{every_s: "{{ region }}"}'),
            "members/node-2.yaml": "role: node\nvariables: {region: 5}\n",
        }
    )
    assert (problem.file, problem.line, problem.column) == (TRANSFER, 3, 28)
    assert (
        problem.message
        == "must be a number, is the text 'emea', with the values of member 'node-1'"
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("true", "must be a whole number or a text, is true"),
        ("1", None),
        ("1.0", None),
        ('"1"', "must be a whole number, is the text '1'"),
        ("0", "must be at least 1, is 0"),
        ("70000", "must be at most 65535, is 70000"),
    ],
)
def test_values_that_are_equal_but_of_another_type_are_told_apart(
    value: str, message: str | None
) -> None:
    location = (
        'type: sftp\nhost: h\nport: "{{ p }}"\nusername: u\n'
        f"host_keys: [SHA256:{'a' * 43}]\nauth: [{{password: {{file: p}}}}]\n"
    )
    validation = validate(
        {
            "members/node-1.yaml": "role: node\nvariables: {p: 1}\n",
            "members/node-2.yaml": f"role: node\nvariables: {{p: {value}}}\n",
            INBOX: location,
        }
    )
    assert [each.message.partition(", with")[0] for each in validation.problems] == (
        [message] if message else []
    )


def test_a_quarantine_that_the_document_does_not_name_is_told_of() -> None:
    changes = {
        "locations/inbox.yaml": "type: local\npath: .\n",
        TRANSFER: INVOICES.replace("{location: inbox}", "{location: inbox, path: quarantine}")
        + "batch: {}\n",
    }
    ((_, _, rule),) = found(changes)
    assert rule == "feeds-itself"


@pytest.mark.parametrize(
    ("region", "rule"),
    [("../..", "form"), ("/etc", "form"), ("outbox", "feeds-itself"), ("inbox", None)],
)
def test_a_value_cannot_bring_in_what_the_document_may_not_say(
    region: str, rule: str | None
) -> None:
    changes = {
        "locations/inbox.yaml": "type: local\npath: .\n",
        TRANSFER: INVOICES.replace("{location: inbox}", '{location: inbox, path: "{{ region }}"}'),
        "members/node-2.yaml": f"role: node\nvariables: {{region: {region}}}\n",
    }
    assert [each[2] for each in found(changes)] == ([rule] if rule else [])


def test_a_rule_of_a_filled_transfer_is_told_once_for_each_pair_of_values() -> None:
    trigger = '{cron: {expression: "{{ cron }}"}}'
    changes: dict[str, str | bytes | None] = {
        TRANSFER: INVOICES.replace("{watch: {every_s: 1}}", trigger),
        **{f"members/node-{n}.yaml": "role: node\nvariables: {cron: x}\n" for n in range(1, 6)},
    }
    problem = only(changes)
    assert (problem.pointer, problem.rule) == ("/trigger/cron/expression", "cron")
    assert problem.message.endswith("with the values of member 'node-1'")


def test_a_template_that_is_none_is_a_problem() -> None:
    assert found({INBOX: 'type: local\npath: "{{ region"\n'}) == [(INBOX, "/path", "template")]
    assert found({INBOX: 'type: local\npath: "{{ Region }}"\n'}) == [(INBOX, "/path", "template")]


def test_a_broken_destination_hides_no_problem_of_the_source_and_the_other_way_round() -> None:
    both = {TRANSFER: INVOICES.replace("nodes", "all")}
    assert found(
        {
            **both,
            INBOX: 'type: local\npath: "{{ region }}"\n',
            "locations/outbox.yaml": 'type: local\npath: "x/{{ port }}"\n',
        }
    ) == [
        (INBOX, "/path", "variable"),
        ("locations/outbox.yaml", "/path", "variable"),
    ]
    assert found(
        {
            **both,
            INBOX: "type: x\npath: y\n",
            "locations/outbox.yaml": 'type: local\npath: "x/{{ port }}"\n',
        }
    ) == [
        (INBOX, "/type", "choice"),
        ("locations/outbox.yaml", "/path", "variable"),
    ]


def test_a_location_that_many_transfers_use_is_told_once() -> None:
    changes: dict[str, str | bytes | None] = {INBOX: 'type: local\npath: "/{{ port }}/../x"\n'}
    changes |= {f"transfers/t{n}.yaml": INVOICES for n in range(5)}
    assert found(changes) == [(INBOX, "/path", "form")]
    changes[INBOX] = 'type: local\npath: "{{ port }}"\n'
    assert found(changes) == [(INBOX, "/path", "type")] * 2


def test_near_names_are_looked_for_twenty_times_at_most() -> None:
    transfers = {f"transfers/t{n}.yaml": INVOICES.replace("inbox", f"inbox{n}") for n in range(30)}
    hints = [each.hint for each in validate(transfers).problems]
    assert hints.count("did you mean 'inbox'?") == 20
    assert sum(hint.startswith("add locations/inbox") for hint in hints) == 10


def test_many_members_with_the_same_values_are_looked_at_once() -> None:
    members = {
        f"members/m-{n}.yaml": "role: node\nvariables: {region: x, port: 1}\n" for n in range(500)
    }
    transfers = {
        f"transfers/t-{n}.yaml": INVOICES.replace("inbox}", 'inbox, path: "{{ region }}"}')
        + f"# {n}\n"
        for n in range(50)
    }
    fresh = validator()
    before = fresh._fill.cache_info().misses
    assert fresh.validate(tree({**VALID, **members, **transfers})).problems == ()
    # three groups of values, two of them as before: 50 documents in 3 variants
    assert fresh._fill.cache_info().misses - before == 150


FALLBACK = "{location: outbox, fallback: {location: LOCATION, path: kept}}"


def falling_back(location: str, **more: str) -> dict[str, str]:
    return changed("{location: outbox}", FALLBACK.replace("LOCATION", location)) | more


def test_a_fallback_has_to_be_there_as_a_destination_has() -> None:
    other = {"locations/other.yaml": "type: local\npath: other\n"}
    assert found(falling_back("other") | other) == []
    assert found(falling_back("zzz")) == [
        (TRANSFER, "/destination/fallback/location", "reference"),
    ]
    broken = falling_back("zzz")[TRANSFER] + "retries: 3\n"
    assert sorted(found({TRANSFER: broken})) == [
        (TRANSFER, "/destination/fallback/location", "reference"),
        (TRANSFER, "/retries", "unknown-field"),
    ]


def test_a_fallback_must_not_feed_the_source_nor_be_the_destination() -> None:
    fed = falling_back("inbox")[TRANSFER].replace("path: kept", "path: .")
    assert found({TRANSFER: fed}) == [(TRANSFER, "/destination/fallback", "feeds-itself")]
    assert found(falling_back("outbox")) == [
        (TRANSFER, "/destination/fallback/location", "fallback")
    ]


def test_a_template_of_a_fallback_is_filled_in_on_each_member() -> None:
    assert set(found(falling_back("'{{ region }}'"))) == {
        (TRANSFER, "/destination/fallback/location", "reference")
    }
