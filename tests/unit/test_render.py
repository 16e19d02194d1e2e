"""A member runs what is enabled and active on it, with its own values, and nothing else."""

import pytest
from config_tree import VALID, tree, validate, validator

from mftgit.errors import ConfigError
from mftgit.model.configuration.config import (
    Cluster,
    Generation,
    Member,
    Role,
)
from mftgit.model.configuration.render import render
from mftgit.model.configuration.rendered import InvalidConfigError
from mftgit.model.locations.location import LocalLocation, SftpLocation
from mftgit.model.names import LocationName, MemberName, TransferName

INVOICES = VALID["transfers/invoices.yaml"]
PARTNER = (
    'type: sftp\nhost: "sftp.{{ region }}.example"\nport: "{{ port }}"\nusername: u\n'
    f"host_keys: [SHA256:{'a' * 43}]\nauth: [{{password: {{file: '{{{{ region }}}}.password'}}}}]\n"
)
TEMPLATED = {"locations/outbox.yaml": PARTNER}


def rendered(changes: dict[str, str], member: str, role: Role = Role.NODE) -> Generation:
    return render(validate(dict(changes)), MemberName(member), role)


def test_a_member_runs_what_is_active_on_it() -> None:
    generation = rendered({}, "node-1")
    assert generation.cluster == Cluster(name="acme")
    assert generation.member == Member(
        name=MemberName("node-1"),
        role=Role.NODE,
        labels={"site": "berlin"},
        variables={"region": "emea", "port": 2222},
    )
    inbox, outbox = LocationName("inbox"), LocationName("outbox")
    assert generation.locations == {
        inbox: LocalLocation(name=inbox, path="inbox"),
        outbox: LocalLocation(name=outbox, path="outbox"),
    }
    assert list(generation.transfers) == ["invoices"]
    assert generation.transfers[TransferName("invoices")].name == "invoices"


def test_a_member_on_which_nothing_is_active_runs_nothing() -> None:
    generation = rendered({}, "controller", Role.CONTROLLER)
    assert generation.transfers == {}
    assert generation.locations == {}
    off = {"transfers/invoices.yaml": INVOICES + "enabled: false\n"}
    assert rendered(off, "node-1").transfers == {}


def test_each_member_has_its_own_values_with_their_types() -> None:
    for member, region, port in (("node-1", "emea", 2222), ("node-2", "apac", 2223)):
        location = rendered(TEMPLATED, member).locations[LocationName("outbox")]
        assert isinstance(location, SftpLocation)
        assert location.host == f"sftp.{region}.example"
        assert location.port == port
        assert location.auth[0].file == f"{region}.password"


def test_a_templated_transfer_is_named_after_its_file() -> None:
    changes = {
        "transfers/invoices.yaml": INVOICES.replace("inbox}", 'inbox, path: "{{ region }}"}')
    }
    transfer = rendered(changes, "node-2").transfers[TransferName("invoices")]
    assert (transfer.name, transfer.source.path) == ("invoices", "apac")


def test_a_member_without_a_document_is_an_ordinary_one_of_its_role() -> None:
    generation = rendered({}, "node-9")
    assert generation.member == Member(name=MemberName("node-9"), role=Role.NODE)
    assert list(generation.transfers) == ["invoices"]
    assert rendered({}, "other", Role.CONTROLLER).transfers == {}


def test_the_role_in_the_document_counts() -> None:
    assert rendered({}, "controller", Role.NODE).member.role is Role.CONTROLLER


def test_a_member_without_a_document_that_lacks_a_variable_is_told_so() -> None:
    with pytest.raises(InvalidConfigError, match="and 1 more") as caught:
        rendered(TEMPLATED, "node-9")
    assert isinstance(caught.value, ConfigError)
    assert [(each.file, each.line, each.pointer, each.rule) for each in caught.value.problems] == [
        ("locations/outbox.yaml", 3, "/port", "variable"),
        ("locations/outbox.yaml", 2, "/host", "variable"),
    ]
    assert "member 'node-9' does not define the variable 'port'" in str(caught.value)


def test_an_invalid_revision_is_not_rendered() -> None:
    with pytest.raises(
        InvalidConfigError, match=r"the configuration is not valid: cluster\.yaml:1:7: "
    ) as caught:
        rendered({"cluster.yaml": "name: A\n"}, "node-1")
    assert [each.rule for each in caught.value.problems] == ["form"]


def test_an_empty_tree_is_not_rendered() -> None:
    with pytest.raises(InvalidConfigError, match="the repository is empty"):
        render(validator().validate({}), MemberName("node-1"), Role.NODE)


def test_the_same_content_under_two_names_gives_two_transfers() -> None:
    generation = rendered({"transfers/other.yaml": INVOICES}, "node-1")
    assert {name: each.name for name, each in generation.transfers.items()} == {
        "invoices": "invoices",
        "other": "other",
    }


def test_rendering_twice_gives_equal_generations() -> None:
    first = render(validator().validate(tree(VALID)), MemberName("node-1"), Role.NODE)
    assert first == render(validator().validate(tree(VALID)), MemberName("node-1"), Role.NODE)


def test_a_generation_tells_what_other_members_have_otherwise_and_every_transfer_there_is() -> None:
    off = VALID["transfers/invoices.yaml"] + "enabled: false\n"
    changes = {
        **TEMPLATED,
        "transfers/off.yaml": off,
        "members/node-3.yaml": "role: node\nvariables: {region: emea, port: 2222}\n",
        "members/node-4.yaml": "role: node\nvariables: {region: emea}\n",
        "transfers/invoices.yaml": INVOICES.replace(
            "active_on: nodes", "active_on: [node-1, node-2]"
        ),
    }
    generation = rendered(changes, "node-1")
    other = generation.elsewhere.pop(MemberName("node-2"))  # type: ignore[attr-defined]
    assert generation.elsewhere == {}  # node-3 has it alike, and node-4 could not have it
    (location,) = other.values()
    assert isinstance(location, SftpLocation)
    assert (location.name, location.host) == ("outbox", "sftp.apac.example")
    assert generation.declared == {"invoices", "off"}
    assert generation.disabled == {"off"}
    (transfer,) = generation.transfers.values()
    assert transfer.active_on.members == {"node-1", "node-2"}
