"""What a revision changes on a member is told by what the member runs, not by what the documents look like."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from config_tree import KEY, VALID, validate
from hypothesis import given
from hypothesis import strategies as st
from pgp_public import FINGERPRINT, as_list

from mftgit.model.configuration.changes import (
    Action,
    MemberChange,
    Presence,
    member_changes,
)
from mftgit.model.configuration.config import Role
from mftgit.model.configuration.flat import FieldChange
from mftgit.model.configuration.plan import plan
from mftgit.model.configuration.render import render
from mftgit.model.names import MemberName

Files = Mapping[str, str | bytes | None]

INVOICES = VALID["transfers/invoices.yaml"]
NODE = MemberName("node-1")
SFTP = (
    "type: sftp\nhost: sftp.example\nusername: acme\n"
    f"host_keys: [{KEY}]\nauth: [{{password: {{file: pass}}}}, {{private_key: {{file: key}}}}]\n"
)


def changes(before: Files, after: Files, only: MemberName | None = None) -> list[MemberChange]:
    was, becomes = validate(before), validate(after)
    assert was.problems == becomes.problems == ()
    return list(member_changes(was, becomes, only))


def on_node(before: Files, after: Files) -> MemberChange:
    (change,) = changes(before, after, NODE)
    return change


def told(fields: tuple[FieldChange, ...]) -> dict[str, tuple[Any, Any]]:
    return {each.field: (each.before, each.after) for each in fields}


def of_invoices(before: str, after: str) -> dict[str, tuple[Any, Any]]:
    """Return what changes in the one transfer, which has to be all that changes."""
    change = on_node({"transfers/invoices.yaml": before}, {"transfers/invoices.yaml": after})
    (transfer,) = change.transfers
    assert (transfer.name, transfer.action) == ("invoices", Action.CHANGED)
    assert not change.settings
    assert not change.locations
    return told(transfer.fields)


def test_every_member_with_a_document_is_told_and_one_that_is_named_alone() -> None:
    assert [each.member for each in changes({}, {})] == ["controller", "node-1", "node-2"]
    assert [each.member for each in changes({}, {}, NODE)] == ["node-1"]


def test_comments_the_order_of_keys_and_written_defaults_change_nothing() -> None:
    same = (
        "# the same\ntrigger:\n  watch:\n    every_s: 1.0\nactive_on: nodes\nownership: single\n"
        "destination: {overwrite: fail, location: outbox, path: .}\nsource: {location: inbox}\n"
    )
    found = changes({}, {"transfers/invoices.yaml": same, "cluster.yaml": "# c\nname: acme\n"})
    assert not any(found)
    assert {each.presence for each in found} == {Presence.STAYS}


def test_a_transfer_is_started_and_stopped_where_it_is_active() -> None:
    off = {"transfers/invoices.yaml": INVOICES + "enabled: false\n"}
    for before, after, actions in (
        (off, {}, (Action.STARTED, Action.ADDED)),
        ({}, off, (Action.STOPPED, Action.REMOVED)),
    ):
        controller, *nodes = changes(before, after)
        assert not controller
        for node in nodes:
            assert [(each.name, each.action) for each in node.transfers] == [
                ("invoices", actions[0])
            ]
            assert {each.action for each in node.locations} == {actions[1]}
            assert [each.name for each in node.locations] == ["inbox", "outbox"]


def test_a_changed_transfer_names_its_fields_as_the_document_does() -> None:
    before = INVOICES.replace("outbox", "outbox, path: incoming")
    assert of_invoices(before, before.replace("path: incoming", "path: in")) == {
        "destination.path": ("incoming", "in")
    }
    include = INVOICES.replace("{location: inbox}", "{location: inbox, include: ['*.csv']}")
    assert of_invoices(INVOICES, include) == {"source.include": (("*",), ("*.csv",))}
    regex = INVOICES.replace("{location: inbox}", "{location: inbox, include: [{regex: a+}]}")
    assert of_invoices(INVOICES, regex) == {"source.include": (("*",), ("regex a+",))}
    assert of_invoices(INVOICES, INVOICES + "after_success: {action: archive, path: sent}\n") == {
        "after_success.action": ("delete", "archive"),
        "after_success.path": (None, "sent"),
    }
    assert of_invoices(INVOICES, INVOICES + "prefer: [node-2]\n") == {"prefer": ((), ("node-2",))}
    assert of_invoices(INVOICES, INVOICES + "content: [{zip: {}}, {gzip: {level: 1}}]\n") == {
        "content": ((), ("zip", "gzip level 1")),
    }
    seal = f"content:\n  - pgp_encrypt:\n      recipients:\n{as_list(8)}      signing_key: {{file: k}}\n"
    told_step = f"pgp_encrypt recipients {FINGERPRINT} signing_key k armor False"
    assert of_invoices(INVOICES, INVOICES + seal) == {"content": ((), (told_step,))}


def test_where_else_a_transfer_is_active_changes_nothing_on_a_member_that_goes_on_with_it() -> None:
    wider = INVOICES.replace("active_on: nodes", "active_on: all")
    controller, *nodes = changes({}, {"transfers/invoices.yaml": wider})
    assert [each.action for each in controller.transfers] == [Action.STARTED]
    assert not any(nodes)
    assert of_invoices(INVOICES, wider + "prefer: [node-2]\n") == {"prefer": ((), ("node-2",))}


def test_another_kind_of_trigger_is_told_with_the_fields_of_both() -> None:
    cron = INVOICES.replace("watch: {every_s: 1}", 'cron: {expression: "0 2 * * *"}')
    assert of_invoices(INVOICES, cron) == {
        "trigger.watch.every_s": (1.0, None),
        "trigger.watch.by": ("auto", None),
        "trigger.cron.expression": (None, "0 2 * * *"),
        "trigger.cron.timezone": (None, "UTC"),
        "trigger.cron.catch_up_s": (None, 3600.0),
    }
    interval = INVOICES.replace("watch:", "interval:")
    assert of_invoices(interval, INVOICES) == {
        "trigger.interval.every_s": (1.0, None),
        "trigger.interval.catch_up_s": (3600.0, None),
        "trigger.watch.every_s": (None, 1.0),
        "trigger.watch.by": (None, "auto"),
    }


def test_a_changed_location_changes_the_transfers_that_use_it() -> None:
    change = on_node(
        {"locations/outbox.yaml": SFTP}, {"locations/outbox.yaml": SFTP + "port: 2222\n"}
    )
    (transfer,), (location,) = change.transfers, change.locations
    assert told(transfer.fields) == {"destination.location.port": (22, 2222)}
    assert (location.name, location.action) == ("outbox", Action.CHANGED)
    assert told(location.fields) == {"port": (22, 2222)}


def test_a_location_of_another_type_is_told_with_all_its_fields() -> None:
    (location,) = on_node({}, {"locations/outbox.yaml": SFTP}).locations
    fields = told(location.fields)
    assert fields["type"] == ("local", "sftp")
    assert fields["path"] == ("outbox", ".")
    assert fields["host_keys"] == (None, (KEY,))
    assert fields["auth"] == (None, ("password pass", "private_key key"))


def test_a_value_of_one_member_changes_what_that_member_runs() -> None:
    templated = {
        "locations/outbox.yaml": 'type: local\npath: "{{ region }}"\n',
    }
    moved = {**templated, "members/node-1.yaml": VALID["members/node-1.yaml"].replace("emea", "eu")}
    controller, node, other = changes(templated, moved)
    assert not controller
    assert not other
    assert told(node.settings) == {"variables.region": ("emea", "eu")}
    assert told(node.locations[0].fields) == {"path": ("emea", "eu")}


def test_settings_of_the_cluster_and_the_member_are_told() -> None:
    after = {
        "cluster.yaml": "name: acme\npoll_s: 5\ncoordinator: {type: shared-folder, ttl_s: 30}\n",
        "members/node-1.yaml": "role: node\nlabels: {site: rome}\nvariables: {port: true}\n",
    }
    before = {"members/node-1.yaml": "role: node\nvariables: {port: 1}\n"}
    assert told(on_node(before, after).settings) == {
        "cluster.poll_s": (60.0, 5.0),
        "cluster.coordinator.ttl_s": (10.0, 30.0),
        "labels.site": (None, "rome"),
        "variables.port": (1, True),  # which are equal in Python
    }
    etcd = "coordinator: {type: etcd, etcd: {endpoints: ['https://e'], auth: {password: {file: p}}, username: u}}"
    assert told(on_node({}, {"cluster.yaml": f"name: acme\n{etcd}\n"}).settings) == {
        "cluster.coordinator.etcd.endpoints": (None, ("https://e",)),
        "cluster.coordinator.etcd.prefix": (None, "/mftgit/acme"),
        "cluster.coordinator.etcd.username": (None, "u"),
        "cluster.coordinator.etcd.auth.password.file": (None, "p"),
    }
    assert told(on_node({}, {"cluster.yaml": "name: other\n"}).settings) == {
        "cluster.name": ("acme", "other")
    }


def test_a_member_that_comes_starts_everything_that_is_active_on_it() -> None:
    *_, change = changes({}, {"members/node-3.yaml": "role: node\n"})
    assert (change.member, change.presence) == ("node-3", Presence.COMES)
    assert [(each.name, each.action) for each in change.transfers] == [("invoices", Action.STARTED)]
    assert change.settings == ()


def test_a_member_that_goes_runs_on_as_one_without_a_document() -> None:
    labelled = {
        "transfers/labelled.yaml": INVOICES.replace("nodes", "{labels: {site: paris}}").replace(
            "inbox}", "inbox, path: other}"
        ),
        "members/node-3.yaml": "role: node\nlabels: {site: paris}\n",
    }
    change = changes(labelled, {**labelled, "members/node-3.yaml": None})[-1]
    assert (change.member, change.presence) == ("node-3", Presence.GOES)
    assert [(each.name, each.action) for each in change.transfers] == [("labelled", Action.STOPPED)]
    assert change


def test_a_member_that_would_refuse_the_revision_is_told_with_its_problems() -> None:
    templated = {"locations/outbox.yaml": 'type: local\npath: "{{ region }}"\n'}
    without: Files = {**templated, "members/node-2.yaml": None}
    change = changes(templated, without)[-1]
    assert (change.member, change.presence) == ("node-2", Presence.GOES)
    assert [each.rule for each in change.problems] == ["variable"]
    assert change.transfers == ()


def test_a_member_that_refused_the_revision_before_starts_what_it_can_run_now() -> None:
    templated = {"locations/outbox.yaml": 'type: local\npath: "{{ region }}"\n'}
    stranger = MemberName("stranger")
    (change,) = changes(templated, {}, stranger)
    assert change.presence is Presence.UNDECLARED
    assert [each.action for each in change.transfers] == [Action.STARTED]
    (change,) = changes({}, {}, stranger)
    assert not change


def triggers() -> st.SearchStrategy[dict[str, Any]]:
    seconds = st.sampled_from([1, 2, 2.5])
    return st.one_of(
        st.builds(lambda each: {"watch": {"every_s": each}}, seconds),
        st.builds(lambda each: {"interval": {"every_s": each}}, seconds),
        st.builds(
            lambda each: {"cron": {"expression": each}}, st.sampled_from(["0 2 * * *", "5 * * * *"])
        ),
    )


def transfers() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "source": st.fixed_dictionaries(
                {"location": st.just("inbox")},
                optional={
                    "include": st.sampled_from([["*"], ["*.csv"]]),
                    "stable_s": st.sampled_from([1, 5]),
                },
            ),
            "destination": st.fixed_dictionaries(
                {"location": st.just("outbox")},
                optional={"overwrite": st.sampled_from(["fail", "skip", "rename"])},
            ),
            "trigger": triggers(),
        },
        optional={
            "ownership": st.sampled_from(["single", "each"]),
            "active_on": st.sampled_from(
                ["all", "nodes", ["node-1"], {"labels": {"site": "berlin"}}]
            ),
            "after_success": st.just({"action": "archive", "path": "sent"}),
            "enabled": st.booleans(),
        },
    )


revisions = st.fixed_dictionaries(
    {},
    optional={
        "transfers/invoices.yaml": transfers().map(json.dumps),
        "locations/outbox.yaml": st.sampled_from(
            [SFTP, SFTP + "port: 23\n", "type: local\npath: o\n"]
        ),
        "transfers/second.yaml": transfers().map(
            lambda each: json.dumps({**each, "source": {"location": "inbox", "path": "second"}})
        ),
    },
)


@given(revisions)
def test_a_revision_changes_nothing_against_itself(files: Files) -> None:
    assert not any(changes(files, files))


@given(revisions, revisions)
def test_what_is_told_is_what_the_member_plans_and_a_change_names_what_it_changes(
    before: Files, after: Files
) -> None:
    was, becomes = validate(before), validate(after)
    assert was.problems == becomes.problems == ()
    for change in member_changes(was, becomes):
        role = Role.CONTROLLER if change.member == "controller" else Role.NODE
        steps = plan(render(was, change.member, role), render(becomes, change.member, role))
        planned = {
            **{job.transfer.name: Action.STARTED for job in steps.start},
            **{job.transfer.name: Action.CHANGED for job in steps.change},
            **dict.fromkeys(steps.stop, Action.STOPPED),
        }
        assert {each.name: each.action for each in change.transfers} == planned
        for each in (*change.transfers, *change.locations):
            assert bool(each.fields) == (each.action is Action.CHANGED)


@pytest.mark.parametrize(
    ("files", "member"), [({"members/node-1.yaml": None}, NODE), ({}, MemberName("stranger"))]
)
def test_only_a_change_counts_as_one(files: Files, member: MemberName) -> None:
    (change,) = changes({}, files, member)
    assert bool(change) is (change.presence is Presence.GOES)


def test_a_changed_roll_out_and_changed_windows_are_told_as_the_document_has_them() -> None:
    text = "name: acme\nrollout: {cohorts: [{name: a, members: [node-1]}]}\nwindows: {deny: [{from: '0F:00'}]}\n"
    before, after = text.replace("F", "1"), text.replace("F", "2").replace("node-1]", "node-2]")
    assert told(on_node({"cluster.yaml": before}, {"cluster.yaml": after}).settings) == {
        "cluster.rollout.cohorts.0.members": (("node-1",), ("node-2",)),
        "cluster.windows.deny.0.from": ("01:00", "02:00"),
    }


def test_a_fallback_is_told_with_the_fields_of_its_location() -> None:
    def files(port: int, failures: int) -> Files:
        told = f"{{location: outbox, fallback: {{location: other, after_failures: {failures}}}}}"
        return {
            "locations/other.yaml": f"{SFTP}port: {port}\n",
            "transfers/invoices.yaml": VALID["transfers/invoices.yaml"].replace(
                "{location: outbox}", told
            ),
        }

    (transfer,) = on_node(files(22, 3), files(23, 4)).transfers
    assert told(transfer.fields) == {
        "destination.fallback.after_failures": (3, 4),
        "destination.fallback.location.port": (22, 23),
    }


USER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINqHPD5s9DAzoF9WfStHb8C+BV2oiFNN6Hwp1oAWaTtc"
USER_PRINT = "SHA256:hsbmmVUgYNm8EVqrXcuRPsEHgg0TZHDhp3Tjy+o3YGE"
SERVICE = "type: sftp\nlisten: {port: 2022}\nhost_keys: [{file: k}]\nactive_on: nodes\n"
ACCOUNT = f"home: {{location: inbox, path: a}}\nlogin: {{keys: [{USER_KEY} al]}}\n"
INBOUND = {"services/s.yaml": SERVICE, "accounts/a.yaml": ACCOUNT}


def test_a_service_is_started_and_its_accounts_are_added_where_it_runs() -> None:
    for before, after, started, added in (
        ({}, INBOUND, Action.STARTED, Action.ADDED),
        (INBOUND, {}, Action.STOPPED, Action.REMOVED),
        (
            INBOUND,
            {**INBOUND, "services/s.yaml": f"{SERVICE}enabled: false\n"},
            Action.STOPPED,
            Action.REMOVED,
        ),
    ):
        controller, *nodes = changes(before, after)
        assert not controller
        for node in nodes:
            assert [(each.name, each.action) for each in node.services] == [("s", started)]
            assert [(each.name, each.action) for each in node.accounts] == [("a", added)]
            assert not node.transfers


def test_a_service_that_changes_is_told_as_its_document_has_it() -> None:
    after = SERVICE.replace("{file: k}", "{file: k}, {file: l}") + (
        "proxy_protocol: {from: [10.0.0.1]}\nlimits: {idle_s: 60}\nhealth: {port: 80}\nbanner: Hi\n"
        "algorithms: {ciphers: [aes256-ctr]}\n"
    )
    (service,) = on_node(INBOUND, {**INBOUND, "services/s.yaml": after}).services
    found = told(service.fields)
    assert found.pop("algorithms.ciphers")[1] == ("aes256-ctr",)
    assert found == {
        "banner": (None, "Hi"),
        "health.address": (None, "0.0.0.0"),
        "health.port": (None, 80),
        "host_keys": (("k",), ("k", "l")),
        "limits.idle_s": (900.0, 60.0),
        "proxy_protocol.from": ((), ("10.0.0.1",)),
    }


def test_an_account_that_changes_is_told_as_its_document_has_it() -> None:
    after = f"""
home: {{location: outbox, path: a}}
folders: [{{at: /x, location: inbox}}]
login:
  require: [password+totp]
  certificates: {{authorities: [{USER_KEY}]}}
  password: {{file: p}}
  totp: {{file: t}}
permissions: [{{path: /, allow: read-only}}, {{path: /in, allow: [write, list]}}]
services: [s]
from: [10.0.0.1]
expires: "2027-03-31"
quota: {{files: 1}}
max_sessions: 2
max_file_bytes: 3
"""
    change = on_node(INBOUND, {**INBOUND, "accounts/a.yaml": after})
    (account,) = change.accounts
    assert account.action is Action.CHANGED
    assert told(account.fields) == {
        "expires": (None, "2027-04-01T00:00:00+00:00"),
        "folders": ((), ("/x: . of inbox",)),
        "from": ((), ("10.0.0.1",)),
        "home.location": ("inbox", "outbox"),
        "login.certificates.authorities": ((), (USER_PRINT,)),
        "login.certificates.principals": ((), ("a",)),
        "login.keys": ((f"{USER_PRINT} al",), ()),
        "login.password": (None, "p"),
        "login.require": (("key",), ("password+totp",)),
        "login.totp": (None, "t"),
        "max_file_bytes": (None, 3),
        "max_sessions": (20, 2),
        "permissions": (("/: full",), ("/: read-only", "/in: list, write")),
        "quota.files": (None, 1),
        "services": (None, ("s",)),
    }


def test_an_account_changes_with_its_group_and_by_the_comment_of_a_key() -> None:
    def grouped(sessions: int) -> Files:
        return {
            **INBOUND,
            "groups/g.yaml": f"max_sessions: {sessions}\n",
            "accounts/a.yaml": f"groups: [g]\n{ACCOUNT}",
        }

    (account,) = on_node(grouped(1), grouped(2)).accounts
    assert told(account.fields) == {"max_sessions": (1, 2)}
    other = {**INBOUND, "accounts/a.yaml": ACCOUNT.replace(" al]", " Al of Acme]")}
    (account,) = on_node(INBOUND, other).accounts
    assert told(account.fields) == {
        "login.keys": ((f"{USER_PRINT} al",), (f"{USER_PRINT} Al of Acme",))
    }
