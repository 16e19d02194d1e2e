"""Accounts, groups and services have to fit to each other, and to what they name, on every member that runs them."""

from pathlib import Path

import pytest
from config_tree import KEY as HOST_KEY
from config_tree import found, only, validate
from secret_documents import make_key, sealed

from mftgit.model.configuration.config import Generation, Role
from mftgit.model.configuration.render import render
from mftgit.model.configuration.rendered import InvalidConfigError
from mftgit.model.names import MemberName, SecretName

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINqHPD5s9DAzoF9WfStHb8C+BV2oiFNN6Hwp1oAWaTtc"
A, G, S, T = "accounts/a.yaml", "groups/g.yaml", "services/s.yaml", "services/t.yaml"
HOME = "home: {location: inbox, path: '{account}'}\n"
LOGIN = f"login: {{keys: [{KEY}]}}\n"
SERVICE = "type: sftp\nlisten: {port: 2022}\nhost_keys: [{file: k}]\n"
GOOD = {A: f"groups: [g]\n{LOGIN}", G: HOME, S: SERVICE}
REMOTE = {
    "locations/away.yaml": f"type: sftp\nhost: h\nusername: u\nhost_keys: [{HOST_KEY}]\n"
    "auth: [{password: {file: f}}]\n"
}


def with_good(changes: dict[str, str | None]) -> list[tuple[str, str, str]]:
    return found({**GOOD, **changes})


def rendered(changes: dict[str, str], member: str = "node-1") -> Generation:
    validation = validate({**GOOD, **changes})
    assert validation.problems == ()
    return render(validation, MemberName(member), Role.NODE)


def test_an_account_with_its_group_and_a_service_is_valid() -> None:
    generation = rendered({})
    (account,) = generation.accounts.values()
    assert (account.name, account.home.path) == ("a", "a")
    assert [each.name for each in generation.services.values()] == ["s"]
    assert set(generation.locations) == {"inbox", "outbox"}
    assert set(rendered({}, "controller").locations) == {"inbox"}


@pytest.mark.parametrize(
    ("path", "content", "expected"),
    [
        (A, f"groups: [x]\n{LOGIN}", (A, "/groups/0", "reference")),
        (A, f"{HOME}services: [x]\n{LOGIN}", (A, "/services/0", "reference")),
        (A, f"home: {{location: x}}\n{LOGIN}", (A, "/home/location", "reference")),
        (
            A,
            f"{HOME}folders: [{{at: /x, location: x}}]\n{LOGIN}",
            (A, "/folders/0/location", "reference"),
        ),
        (G, "home: {location: x}\n", (G, "/home/location", "reference")),
        (G, f"{HOME}services: [x]\n", (G, "/services/0", "reference")),
        (
            A,
            f"{HOME}login: {{password: {{secret: x}}}}\n",
            (A, "/login/password/secret", "reference"),
        ),
        (
            S,
            SERVICE.replace("file: k", "secret: x"),
            (S, "/host_keys/0/secret", "reference"),
        ),
        (A, f"active_on: [x]\n{HOME}{LOGIN}", (A, "/active_on/0", "reference")),
    ],
)
def test_what_is_named_has_to_be_there(
    path: str, content: str, expected: tuple[str, str, str]
) -> None:
    assert with_good({path: content}) == [expected]


def test_references_are_told_of_a_document_that_does_not_fit_its_schema_too() -> None:
    broken = (
        "groups: [x]\nservices: [y]\nhome: {location: z}\nfolders: [{location: z}, 7]\nhello: 1\n"
    )
    told = with_good({A: broken, G: "home: 7\nfolders: 8\nservices: 9\n"})
    assert {pointer for path, pointer, rule in told if rule == "reference"} == {
        "/groups/0",
        "/services/0",
        "/home/location",
        "/folders/0/location",
    }


@pytest.mark.parametrize("document", [A, G])
def test_a_home_is_a_local_folder(document: str) -> None:
    changes = {
        **GOOD,
        **REMOTE,
        document: "home: {location: away}\n" + (LOGIN if document == A else ""),
    }
    problem = only(changes)
    assert (problem.file, problem.pointer, problem.rule) == (document, "/home/location", "local")
    assert "of the type sftp" in problem.message


@pytest.mark.parametrize("document", [A, G])
def test_a_folder_may_lie_on_a_server(document: str) -> None:
    folders = "folders: [{at: /away, location: away}]\n"
    generation = rendered({**REMOTE, document: GOOD[document] + folders})
    assert set(generation.locations) == {"inbox", "outbox", "away"}
    (account,) = generation.accounts.values()
    assert [each.at for each in account.folders] == ["/away"]


def test_an_account_runs_where_one_of_its_services_does() -> None:
    changes = {
        **GOOD,
        S: f"{SERVICE}active_on: nodes\n",
        A: f"groups: [g]\nactive_on: controller\n{LOGIN}",
    }
    problem = only(changes)
    assert (problem.file, problem.pointer, problem.rule) == (A, "/active_on", "nobody")
    assert "its services run on others" in problem.message
    on_both = {T: SERVICE.replace("2022", "2023")}
    assert found({**changes, **on_both}) == []
    assert found({**changes, **on_both, G: f"{HOME}services: [s]\n"}) == [
        (A, "/active_on", "nobody")
    ]
    assert found({**changes, S: f"{SERVICE}enabled: false\n"}) == []
    assert found({**changes, S: None}) == []
    assert found({**changes, A: f"{changes[A]}enabled: false\n"}) == []
    broken = {"members/node-1.yaml": "role: x\n"}
    assert found({**changes, **broken}) == [("members/node-1.yaml", "/role", "choice")]
    assert found({**changes, S: f"{SERVICE}active_on: {{labels: {{site: rome}}}}\n"}) == [
        (S, "/active_on", "nobody")
    ]


def test_a_group_is_looked_at_that_nobody_is_in() -> None:
    assert with_good({G: "home: {location: x}\n", A: HOME + LOGIN}) == [
        (G, "/home/location", "reference")
    ]


def test_the_home_of_an_enabled_account_has_to_be_said_by_somebody() -> None:
    assert with_good({G: "max_sessions: 1\n"}) == [(A, "", "login")]
    assert with_good({G: "max_sessions: 1\n", A: f"groups: [g]\nenabled: false\n{LOGIN}"}) == []


@pytest.mark.parametrize(
    ("login", "group", "pointer"),
    [
        ("{}", "", "/login"),
        ("{totp: {file: x}}", "", "/login"),
        (
            "{require: [key, password+totp], totp: {file: x}, password: {file: x}}",
            "",
            "/login/require/0",
        ),
        (f"{{keys: [{KEY}]}}", "login: {require: [password]}\n", "/groups"),
    ],
)
def test_what_an_enabled_account_requires_it_has(login: str, group: str, pointer: str) -> None:
    account = f"groups: [g]\nlogin: {login}\n"
    assert with_good({A: account, G: HOME + group}) == [(A, pointer, "login")]
    assert with_good({A: f"{account}enabled: false\n", G: HOME + group}) == []


def test_authorities_of_a_group_are_a_factor() -> None:
    group = f"{HOME}login: {{certificates: {{authorities: [{KEY}]}}}}\n"
    assert with_good({A: "groups: [g]\n", G: group}) == []


def test_folders_are_not_within_each_other_with_those_of_the_groups_either() -> None:
    group = HOME + "folders: [{at: /x, location: outbox}]\n"
    account = "groups: [g]\nfolders: [{at: /x/y/z, location: outbox}]\n" + LOGIN
    problem = only({**GOOD, A: account, G: group})
    assert (problem.file, problem.pointer, problem.rule) == (A, "/groups", "nested")
    assert "/x/y/z within the folder /x" in problem.message
    assert with_good({A: account.replace("/x/y/z", "/xy"), G: group}) == []
    assert with_good({A: account.replace("/x/y/z", "/x"), G: group}) == []


def test_what_is_wrong_in_an_account_by_itself_is_told_once() -> None:
    nested = "[{at: /x/y, location: outbox}, {at: /x, location: outbox}]"
    assert with_good({A: f"groups: [g]\nfolders: {nested}\n{LOGIN}"}) == [
        (A, "/folders/0/at", "nested")
    ]
    assert with_good({G: f"{HOME}folders: {nested}\n"}) == [(G, "/folders/0/at", "nested")]
    assert with_good({G: f"{HOME}expires: 2027-02-30\n"}) == [(G, "/expires", "date")]
    assert with_good({G: "home: 7\n"}) == [(G, "/home", "type")]


@pytest.mark.parametrize(
    ("content", "pointer", "rule"),
    [
        ("expires: 2027-02-30\n", "/expires", "date"),
        ("from: [10.0.0.1/8]\n", "/from/0", "network"),
        ("from: ['10.0.0.0/33']\n", "/from/0", "network"),
        ("login: {keys: [ssh-ed25519 AAAA]}\n", "/login/keys/0", "public-key"),
        (
            f"login: {{certificates: {{authorities: [{KEY}, ssh-rsa AAAA]}}}}\n",
            "/login/certificates/authorities/1",
            "public-key",
        ),
        (
            "permissions: [{path: /a, allow: full}, {path: /a, allow: full}]\n",
            "/permissions/1/path",
            "twice",
        ),
        (
            "folders: [{at: /a, location: inbox}, {at: /a, location: inbox}]\n",
            "/folders/1/at",
            "twice",
        ),
    ],
)
def test_what_cannot_be_is_a_problem_of_a_disabled_account_too(
    content: str, pointer: str, rule: str
) -> None:
    problem = only({A: f"enabled: false\n{content}"})
    assert (problem.file, problem.pointer, problem.rule) == (A, pointer, rule)
    assert problem.line == 2
    assert problem.hint


def test_a_network_with_bits_of_a_host_is_told_what_it_is_called() -> None:
    problem = only({A: "enabled: false\nfrom: [10.1.2.3/8]\n"})
    assert problem.hint == "the network is called 10.0.0.0/8"


@pytest.mark.parametrize(
    ("more", "pointer"),
    [
        ("proxy_protocol: {from: [0.0.0.0/0]}\n", "/proxy_protocol/from/0"),
        ("proxy_protocol: {from: ['10.0.0.0/8', '1.2.3']}\n", "/proxy_protocol/from/1"),
        ("defence: {exempt: ['::1/8']}\n", "/defence/exempt/0"),
        ("health: {port: 1, address: 1.2.3.444}\n", "/health/address"),
    ],
)
def test_a_service_names_addresses_and_networks_that_there_are(more: str, pointer: str) -> None:
    assert found({S: SERVICE + more}) == [(S, pointer, "network")]


def test_two_services_of_one_member_do_not_listen_on_one_address() -> None:
    problem = only({S: SERVICE, T: SERVICE})
    assert (problem.file, problem.pointer, problem.rule) == (T, "/listen/port", "address-in-use")
    assert "service 's' listens on port 2022 of controller already" in problem.message
    assert found({S: SERVICE, T: f"{SERVICE}enabled: false\n"}) == []
    assert found({S: f"{SERVICE}active_on: nodes\n", T: f"{SERVICE}active_on: controller\n"}) == []
    assert found({S: SERVICE, T: SERVICE.replace("2022", "2023")}) == []


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("10.0.0.1", "0.0.0.0", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("10.0.0.1", "'::'", False),
        ("'::1'", "'::'", True),
        ("'::1'", "'0:0:0:0:0:0:0:1'", True),
    ],
)
def test_an_address_of_all_clashes_with_each_of_its_kind(
    one: str, other: str, *, clash: bool
) -> None:
    first, second = (
        SERVICE.replace("port: 2022", f"port: 2022, address: {each}") for each in (one, other)
    )
    assert bool(found({S: first, T: second})) is clash


def test_a_service_does_not_answer_for_its_health_where_it_listens() -> None:
    assert found({S: f"{SERVICE}health: {{port: 2022}}\n"}) == [
        (S, "/health/port", "address-in-use")
    ]


def test_each_member_has_its_own_values() -> None:
    changes = {
        A: f"active_on: nodes\nhome: {{location: inbox, path: '{{{{ region }}}}/{{account}}'}}\n{LOGIN}",
        S: SERVICE.replace("2022", "'{{ port }}'") + "active_on: nodes\n",
    }
    generation = rendered(changes)
    assert [each.home.path for each in generation.accounts.values()] == ["emea/a"]
    assert [each.listen.port for each in generation.services.values()] == [2222]
    assert [each.listen.port for each in rendered(changes, "node-2").services.values()] == [2223]


def test_a_variable_is_asked_for_where_the_account_runs_and_nowhere_else() -> None:
    group = {G: "home: {location: inbox, path: '{{ region }}'}\n"}
    problem = only({**GOOD, **group})
    assert (problem.file, problem.rule) == (G, "variable")
    assert problem.message == "member 'controller' does not define the variable 'region'"
    on_nodes = {**GOOD, **group, S: f"{SERVICE}active_on: nodes\n"}
    assert found(on_nodes) == []
    assert rendered(on_nodes, "controller").accounts == {}
    with pytest.raises(InvalidConfigError, match=r"does not define the variable 'region'"):
        rendered(on_nodes, "a-node-without-a-document")


def test_a_secret_is_needed_where_the_service_runs_and_for_an_account_where_it_may_use_one(
    tmp_path: Path,
) -> None:
    keys = {name: make_key(tmp_path, name) for name in ("node-1", "node-2")}
    files = {
        **{
            f"members/{name}.yaml": f"role: node\nage_recipient: {key.public}\n"
            for name, key in keys.items()
        },
        "locations/inbox.yaml": "type: local\npath: a\n",
        G: f"{HOME}services: [s]\n",
        A: "groups: [g]\nlogin: {password: {secret: hash}, totp: {secret: code}}\n",
        S: f"{SERVICE.replace('file: k', 'secret: host')}active_on: nodes\n",
        T: SERVICE.replace("2022", "2023").replace("file: k", "file: t"),
        **{f"secrets/{name}.yaml": sealed(name, "x", *keys.values()) for name in ("hash", "host")},
        "secrets/code.yaml": sealed("code", "x", keys["node-1"]),
    }
    problem = only(files)
    assert (problem.file, problem.rule) == ("secrets/code.yaml", "secret")
    assert problem.message == "not encrypted to all members that need it: node-2"
    files["secrets/code.yaml"] = sealed("code", "x", *keys.values())
    validation = validate(files)
    assert validation.problems == ()
    assert validation.readers == dict.fromkeys(("hash", "code", "host"), ("node-1", "node-2"))
    generation = render(validation, MemberName("node-1"), Role.NODE)
    assert set(generation.sealed) == {"hash", "code", "host"}
    controller = render(validation, MemberName("controller"), Role.CONTROLLER)
    assert (controller.sealed, list(controller.services)) == ({}, ["t"])


def test_who_serves_an_account_needs_the_secrets_of_its_folders_on_servers(tmp_path: Path) -> None:
    keys = {name: make_key(tmp_path, name) for name in ("node-1", "node-2")}
    files = {
        **{
            f"members/{name}.yaml": f"role: node\nage_recipient: {key.public}\n"
            for name, key in keys.items()
        },
        "locations/inbox.yaml": "type: local\npath: a\n",
        "locations/away.yaml": REMOTE["locations/away.yaml"].replace("file: f", "secret: away"),
        G: f"{HOME}folders: [{{at: /away, location: away}}]\n",
        A: f"groups: [g]\n{LOGIN}",
        "accounts/b.yaml": f"groups: [g]\nactive_on: [node-1]\n{LOGIN}",
        S: f"{SERVICE}active_on: nodes\n",
        "secrets/away.yaml": sealed("away", "x", keys["node-1"]),
    }
    problem = only(files)
    assert (problem.file, problem.rule) == ("secrets/away.yaml", "secret")
    assert problem.message == "not encrypted to all members that need it: node-2"
    assert validate({**files, A: None}).readers[SecretName("away")] == ("node-1",)
    validation = validate({**files, "secrets/away.yaml": sealed("away", "x", *keys.values())})
    assert validation.readers[SecretName("away")] == ("node-1", "node-2")
    assert set(render(validation, MemberName("node-2"), Role.NODE).sealed) == {"away"}


def test_a_day_that_there_is_not_with_the_values_of_a_member_is_told_once() -> None:
    member = "role: node\nvariables: {until: 2027-02-30}\n"
    expires = "active_on: [node-1]\nexpires: '{{ until }}'\n"
    problem = only({**GOOD, A: f"groups: [g]\n{expires}{LOGIN}", "members/node-1.yaml": member})
    assert (problem.file, problem.pointer, problem.rule) == (A, "/expires", "date")
    assert "with the values of member 'node-1'" in problem.message
