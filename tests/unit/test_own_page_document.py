"""Where a member has its own page, as its document says it."""

import pytest
from config_tree import found, only, validate

from mftgit.model.configuration.config import Role, Web
from mftgit.model.configuration.render import render
from mftgit.model.inbound.service import Listen
from mftgit.model.names import MemberName

NODE = "members/node-1.yaml"
SERVICE = "type: sftp\nlisten: {port: 9464}\nhost_keys: [{file: k}]\nactive_on: nodes\n"


def web_of(document: str) -> Web | None:
    validation = validate({NODE: document})
    assert validation.problems == ()
    return render(validation, MemberName("node-1"), Role.NODE).member.web


VALUES = "variables: {region: emea, port: 1}\n"


@pytest.mark.parametrize(
    ("document", "web"),
    [
        (f"role: node\n{VALUES}", None),
        (
            f"role: node\n{VALUES}web: {{listen: {{port: 9464}}}}\n",
            Web(listen=Listen(address="127.0.0.1", port=9464)),
        ),
        (
            f"role: node\n{VALUES}web: {{listen: {{port: 1, address: '::'}}}}\n",
            Web(listen=Listen(address="::", port=1)),
        ),
    ],
)
def test_a_member_has_its_own_page_where_its_document_says_so_and_only_then(
    document: str, web: Web | None
) -> None:
    assert web_of(document) == web


@pytest.mark.parametrize(
    ("web", "pointer", "rule"),
    [
        ("{listen: {port: 0}}", "/web/listen/port", "range"),
        ("{listen: {address: x}}", "/web/listen", "missing-field"),
        ("{}", "/web", "missing-field"),
        ("{listen: {port: 1}, tls: true}", "/web/tls", "unknown-field"),
        ("{listen: {port: 1, address: node-1}}", "/web/listen/address", "network"),
    ],
)
def test_what_is_wrong_with_it_is_told_with_its_place(web: str, pointer: str, rule: str) -> None:
    problem = only({NODE: f"role: node\n{VALUES}web: {web}\n"})
    assert (problem.file, problem.pointer, problem.rule) == (NODE, pointer, rule)


def test_no_service_listens_where_a_member_has_its_own_page() -> None:
    page = f"role: node\n{VALUES}web: {{listen: {{port: 9464}}}}\n"
    problem = only({NODE: page, "services/s.yaml": SERVICE})
    assert (problem.file, problem.pointer) == ("services/s.yaml", "/listen/port")
    assert "its own page listens on port 9464 of node-1" in problem.message
    assert found({NODE: page, "services/s.yaml": SERVICE.replace("nodes", "controller")}) == []
    assert found({NODE: page, "services/s.yaml": SERVICE.replace("9464", "9465")}) == []
