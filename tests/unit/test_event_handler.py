"""Event handlers as documents say them: which events they want, whose, and what is wrong with a document."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from config_tree import VALID, found, only, validate
from secret_documents import make_key, sealed

from mftgit.model.configuration.changes import Action, member_changes
from mftgit.model.configuration.config import EVERYWHERE, ActiveOn, Generation, Member, Role
from mftgit.model.configuration.plan import plan
from mftgit.model.configuration.render import render
from mftgit.model.events.event import Event, EventName
from mftgit.model.events.kinds import Severity
from mftgit.model.handlers.coverage import Coverage
from mftgit.model.handlers.document import build_event_handler
from mftgit.model.handlers.handler import (
    ON_CONTROLLER,
    AnyEventHandler,
    CommandHandler,
    EmailHandler,
    Every,
    FileHandler,
    MailTls,
    SyslogHandler,
    WebhookHandler,
)
from mftgit.model.locations.login import SecretRef
from mftgit.model.names import EventHandlerName, MemberName, SecretName
from mftgit.model.secrets.needs import secrets_needed

NAME = EventHandlerName("mail")
CONTROLLER, NODE = MemberName("controller"), MemberName("node-1")
PATH = "event-handlers/mail.yaml"
HOOK = "type: webhook\nurl: https://alerts.example/in\n"


def event(name: EventName = EventName.RUN_FAILED, member: str = "node-1", **facts: Any) -> Event:
    at = "2026-11-29T10:00:00.000Z"
    return Event(member=MemberName(member), seq=7, at=at, event=name, facts=facts)


def handler(**value: Any) -> AnyEventHandler:
    return build_event_handler(NAME, {"type": "file", "path": "x", **value})


def on(member: MemberName, files: Mapping[str, str]) -> Generation:
    validation = validate(files)
    assert validation.problems == ()
    return render(validation, member, Role.NODE)


# Which events


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"events": ["RunFailed"]}, True),
        ({"events": ["RunStarted", "RunFinished"]}, False),
        ({"groups": ["transfer"]}, True),
        ({"groups": ["inbound"]}, False),
        ({"least": "error"}, True),
        ({"least": "warning"}, True),
        ({"components": ["transfer/invoices"]}, True),
        ({"components": ["transfer/*"]}, True),
        ({"components": ["transfer/other", "service/*"]}, False),
        ({"members": ["node-1"]}, True),
        ({"members": ["node-2"]}, False),
        ({"accounts": ["supplier"]}, False),
        ({"least": "error", "components": ["transfer/other"]}, False),
    ],
)
def test_an_event_is_wanted_that_fits_every_field(named: dict[str, Any], *, expected: bool) -> None:
    failed = event(transfer="invoices")
    assert handler(include=named).wants(failed) is expected
    assert handler(exclude=named).wants(failed) is not expected


def test_whoever_hears_of_errors_hears_that_one_is_over_and_of_no_other_news() -> None:
    errors = handler(include={"least": "error"})
    assert errors.wants(event(EventName.TRANSFER_RECOVERED, transfer="invoices"))
    assert not errors.wants(event(EventName.TRANSFER_RESUMED, transfer="invoices"))


def test_what_is_about_no_component_or_account_fits_none_that_is_named() -> None:
    started = event(EventName.MEMBER_STARTED)
    assert handler().wants(started)
    assert not handler(include={"components": ["transfer/*"]}).wants(started)
    assert handler(include={"accounts": ["a"]}).wants(event(EventName.SESSION_OPENED, account="a"))
    assert not handler(include={"least": "warning"}).wants(started)


def test_a_handler_never_handles_what_is_about_itself() -> None:
    failing = event(EventName.EVENT_HANDLER_FAILING, event_handler="mail")
    assert not handler().wants(failing)
    assert handler().wants(event(EventName.EVENT_HANDLER_FAILING, event_handler="other"))


def test_only_a_webhook_lets_components_go_past_each_other() -> None:
    hook = build_event_handler(NAME, {"type": "webhook", "url": "https://x.example/"})
    assert hook.lane(event(transfer="invoices")) == "transfer/invoices"
    assert hook.lane(event(EventName.MEMBER_STARTED)) == "member/node-1"
    assert handler().lane(event(transfer="invoices")) == handler().lane(event())


# Whose events

MEMBERS = {
    name: Member(name=name, role=role, labels={"site": site})
    for name, role, site in (
        (CONTROLLER, Role.CONTROLLER, "berlin"),
        (NODE, Role.NODE, "berlin"),
        (MemberName("node-2"), Role.NODE, "paris"),
    )
}


@pytest.mark.parametrize(
    ("active_on", "covered"),
    [
        (ON_CONTROLLER, {"controller", "node-1", "node-2", "new"}),
        (EVERYWHERE, {"controller"}),
        (ActiveOn(members=frozenset({CONTROLLER, NODE})), {"controller", "node-2", "new"}),
        (ActiveOn(labels=frozenset({("site", "berlin")})), {"controller", "node-2", "new"}),
    ],
)
def test_the_controller_handles_events_of_those_who_do_not(
    active_on: ActiveOn, covered: set[str]
) -> None:
    coverage = Coverage.of(active_on, MEMBERS[CONTROLLER], MEMBERS)
    names = ("controller", "node-1", "node-2", "new")
    assert {name for name in names if coverage.covers(MemberName(name))} == covered


def test_a_node_handles_its_own_events_alone() -> None:
    coverage = Coverage.of(EVERYWHERE, MEMBERS[NODE], MEMBERS)
    assert [name for name in MEMBERS if coverage.covers(name)] == [NODE]


# Documents


def test_every_type_is_read_with_its_fields() -> None:
    secret = {"secret": "key"}
    common = {"include": {"least": "error"}, "exclude": {"members": ["node-2"]}}

    def built(**value: Any) -> AnyEventHandler:
        found = build_event_handler(NAME, {**common, **value})
        assert found.include.least is Severity.ERROR
        return found

    file = built(type="file", path="a", rotate={"every": "day", "keep": 3}, template="{at}")
    assert isinstance(file, FileHandler)
    assert (file.every, file.keep, file.max_bytes) == (Every.DAY, 3, 104_857_600)
    auth = {"private_key": secret, "certificate": {"file": "x.crt"}}
    log = built(type="syslog", host="h", port=6514, auth=auth, facility="local3")
    assert isinstance(log, SyslogHandler)
    assert list(log.secrets()) == [("/private_key/secret", "key")]
    hook = built(type="webhook", url="https://x/", signing_secret=secret, token={"file": "t"})
    assert isinstance(hook, WebhookHandler)
    assert list(hook.secrets()) == [("/signing_secret/secret", "key")]
    value = {"host": "h", "port": 25, "from": "a@b", "to": ["c@d"], "tls": "implicit"}
    mail = built(type="email", **value, username="u", password=secret)
    assert isinstance(mail, EmailHandler)
    assert (mail.sender, mail.to, mail.tls) == ("a@b", ("c@d",), MailTls.IMPLICIT)
    assert mail.password == SecretRef(secret=SecretName("key"))
    command = built(type="command", program="page", arguments=["-q"])
    assert isinstance(command, CommandHandler)
    assert [*file.secrets(), *command.secrets()] == []


@pytest.mark.parametrize(
    ("document", "pointer", "rule"),
    [
        ("type: file\npath: ../bootstrap.json\n", "/path", "path"),
        ("type: file\npath: logs/\n", "/path", "path"),
        ("type: file\npath: x\ntemplate: '{nothing}'\n", "/template", "template"),
        ("type: file\npath: x\ntemplate: '{facts.reason'\n", "/template", "template"),
        ("type: file\npath: x\ntemplate: '{at.day}'\n", "/template", "template"),
        ("type: webhook\nurl: http://alerts.example/in\n", "/url", "address"),
        ("type: webhook\nurl: https:///in\n", "/url", "address"),
        ("type: webhook\nurl: 'https://x.example/a b'\n", "/url", "address"),
        ("type: webhook\nurl: https://x.example:none/\n", "/url", "address"),
        ("type: webhook\nurl: https://alice:pw@x.example/\n", "/url", "address"),
        (f"{HOOK}text: '{{no}}'\n", "/text", "template"),
        (f"{HOOK}signing_secret: MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", "/signing_secret", "plaintext-secret"),
        (f"{HOOK}signing_secret: {{secret: gone}}\n", "/signing_secret/secret", "reference"),
        ("type: syslog\nhost: h\nport: 601\ntls: false\nca: '-----BEGIN CERTIFICATE-----'\n", "/tls", "login"),
        ("type: email\nhost: h\nport: 25\nfrom: a@b\nto: [c@d]\ntls: none\n", "/tls", "login"),
        ("type: email\nhost: h\nport: 25\nfrom: a@b\nto: [c@d]\nusername: u\n", "/username", "login"),
        ("type: email\nhost: h\nport: 25\nfrom: a@b\nto: [c@d]\npassword: {file: p}\n", "/password", "login"),
        ("type: email\nhost: h\nport: 25\nfrom: a@b\nto: [c@d]\nsubject: '{at}'\n", "/subject", "template"),
        ("type: email\nhost: h\nport: 25\nfrom: a@b\nto: ['c@d, e@f']\n", "/to/0", "form"),
        ('type: email\nhost: h\nport: 25\nfrom: a@b\nto: ["c@d\\nBcc: e@f"]\n', "/to/0", "form"),
        ('type: email\nhost: h\nport: 25\nfrom: a@b\nto: [c@d]\nsubject: "a\\nBcc: e"\n', "/subject", "form"),
        (f"{HOOK}include: {{components: [transfer/gone]}}\n", "/include/components/0", "reference"),
        (f"{HOOK}include: {{components: [invoices]}}\n", "/include/components/0", "form"),
        (f"{HOOK}exclude: {{members: [gone]}}\n", "/exclude/members/0", "reference"),
        (f"{HOOK}exclude: {{accounts: [gone]}}\n", "/exclude/accounts/0", "reference"),
        (f"{HOOK}include: {{events: [RunFailt]}}\n", "/include/events/0", "choice"),
        (f"{HOOK}include: {{groups: [transfers]}}\n", "/include/groups/0", "choice"),
        (f"{HOOK}exclude: {{events: [Nothing, RunFailed]}}\n", "/exclude/events/0", "choice"),
        (f"{HOOK}active_on: [gone]\n", "/active_on/0", "reference"),
        (f"{HOOK}program: page\n", "/program", "unknown-field"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_document_is_told_at_its_place(
    document: str, pointer: str, rule: str
) -> None:
    assert (PATH, pointer, rule) in found({PATH: document})


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_without_tls_only_this_machine_is_spoken_to(host: str) -> None:
    mail = f"type: email\nhost: '{host}'\nport: 25\nfrom: a@b\nto: [c@d]\ntls: none\n"
    at = f"[{host}]" if ":" in host else host
    assert (
        found({PATH: mail, "event-handlers/x.yaml": f"type: webhook\nurl: 'http://{at}:8/x'\n"})
        == []
    )


@pytest.mark.parametrize(
    "document",
    [
        "type: command\nprogram: page\narguments: [-q]\n",
        "type: syslog\nhost: h\nport: '{{ port }}'\ntls: false\nactive_on: nodes\n",
        "type: file\npath: a/b.log\ninclude: {components: [transfer/*, service/*], groups: [transfer]}\n",
    ],
)
def test_what_is_right_is_taken(document: str) -> None:
    assert found({PATH: document}) == []


def test_a_transfer_that_a_handler_names_cannot_go_by_itself() -> None:
    names = {PATH: f"{HOOK}include: {{components: [transfer/invoices]}}\n"}
    assert found(names) == []
    assert only({**names, "transfers/invoices.yaml": None}).rule == "reference"


# On a member


def test_a_handler_is_active_on_the_controller_where_it_says_nothing() -> None:
    files = {PATH: HOOK, "event-handlers/own.yaml": "type: file\npath: x\nactive_on: nodes\n"}
    assert list(on(CONTROLLER, files).event_handlers) == ["mail"]
    assert list(on(NODE, files).event_handlers) == ["own"]
    assert on(CONTROLLER, {PATH: f"{HOOK}enabled: false\n"}).event_handlers == {}


def test_a_secret_is_needed_where_its_handler_is_active() -> None:
    generation = on(CONTROLLER, {PATH: HOOK})
    hook = WebhookHandler(
        name=NAME, url="https://x/", signing_secret=SecretRef(secret=SecretName("key"))
    )
    assert secrets_needed(generation) == set()
    with_secret = Generation(
        cluster=generation.cluster, member=generation.member, event_handlers={NAME: hook}
    )
    assert secrets_needed(with_secret) == {"key"}


def test_who_is_active_has_to_be_able_to_read_the_secret(tmp_path: Path) -> None:
    key = make_key(tmp_path, "node")
    files = {
        "members/node-1.yaml": f"{VALID['members/node-1.yaml']}age_recipient: {key.public}\n",
        "secrets/token.yaml": sealed("token", "x", key),
        PATH: f"{HOOK}token: {{secret: token}}\nactive_on: [node-1]\n",
    }
    assert found(files) == []
    elsewhere = {**files, PATH: f"{HOOK}token: {{secret: token}}\n"}
    assert only(elsewhere).message.startswith("controller needs the secret 'token'")


def test_a_plan_names_handlers_that_are_new_other_or_gone() -> None:
    before = on(CONTROLLER, {PATH: HOOK})
    after = on(CONTROLLER, {PATH: f"{HOOK}timeout_s: 5\n"})
    assert plan(None, before).event_handlers == (NAME,)
    assert plan(before, after).event_handlers == (NAME,)
    assert plan(before, before).event_handlers == ()
    assert plan(before, on(CONTROLLER, {})).event_handlers == (NAME,)
    assert plan(before, after)


def test_a_change_is_told_in_the_words_of_the_document() -> None:
    mail = (
        "type: email\nhost: h\nport: 25\nfrom: a@b\nto: [c@d]\nusername: u\npassword: {file: p}\n"
        "include: {least: warning}\nactive_on: "
    )
    was = {PATH: f"{mail}all\n"}
    now = {
        PATH: f"{mail}{{labels: {{site: berlin}}}}\ndigest_s: 60\n".replace("file: p", "file: q")
    }
    now["members/controller.yaml"] = "role: controller\nlabels: {site: berlin}\n"
    (change,) = member_changes(validate(was), validate(now), CONTROLLER)
    (told,) = change.event_handlers
    assert (told.name, told.action) == ("mail", Action.CHANGED)
    assert {each.field: (each.before, each.after) for each in told.fields} == {
        "active_on": ("all", ("site: berlin",)),
        "digest_s": (900.0, 60.0),
        "password": ("p", "q"),
    }


@pytest.mark.parametrize(
    ("active_on", "told"),
    [("controller", "controller"), ("[node-1]", ("node-1",)), ("nodes", "nodes")],
)
def test_where_a_handler_is_active_is_told_as_it_is_written(active_on: str, told: object) -> None:
    files = {PATH: f"type: file\npath: x\nactive_on: {active_on}\n"}
    other = {PATH: "type: file\npath: x\nrotate: {keep: 2}\nactive_on: all\n"}
    member = CONTROLLER if active_on == "controller" else NODE
    (change,) = member_changes(validate(files), validate(other), member)
    (handler_change,) = change.event_handlers
    fields = {each.field: (each.before, each.after) for each in handler_change.fields}
    assert fields == {"active_on": (told, "all"), "rotate.keep": (10, 2)}
    assert change


def test_a_handler_that_comes_is_started_and_one_that_goes_is_stopped() -> None:
    (comes,) = member_changes(validate({}), validate({PATH: HOOK}), CONTROLLER)
    (goes,) = member_changes(validate({PATH: HOOK}), validate({}), CONTROLLER)
    assert [each.action for each in (*comes.event_handlers, *goes.event_handlers)] == [
        Action.STARTED,
        Action.STOPPED,
    ]
