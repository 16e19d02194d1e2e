"""The Web Manager's frame, over real TLS: log-in, sessions, what guards the pages, and the description of the API."""

import json
from collections.abc import Iterator
from contextlib import closing

import pytest
from controller_site import NOW, Site, controller_site
from waiting import until
from web_client import WebClient

from mftgit.adapters.passwords import hash_password
from mftgit.adapters.registry.registry import Registry
from mftgit.model.access import OperatorRole
from mftgit.model.names import OperatorName


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with controller_site(tmp_path_factory.mktemp("manager")) as made:
        made.publish({})
        yield made


@pytest.fixture
def client(site: Site) -> WebClient:
    made = WebClient(site)
    assert made.log_in().status == 303
    return made


def test_who_is_not_logged_in_is_sent_to_where_that_is_done_and_comes_back(site: Site) -> None:
    client = WebClient(site)
    sent = client.get("/cluster?x=1")
    assert (sent.status, sent.headers["Location"]) == (303, "/login?to=%2Fcluster%3Fx%3D1")
    let_in = client.log_in(to="/cluster?x=1")
    assert (let_in.status, let_in.headers["Location"]) == (303, "/cluster?x=1")
    page = client.get("/cluster")
    assert page.status == 200
    assert "controller" in page.text


def test_the_cluster_is_told_as_status_tells_it(client: WebClient) -> None:
    answer = client.get("/api/v1/cluster")
    assert answer.status == 200
    assert [each["name"] for each in json.loads(answer.text)["members"]] == ["controller"]


def test_who_may_publish_is_warned_where_there_is_no_recovery_key(
    site: Site, client: WebClient
) -> None:
    warning = "There is no recovery key"
    file = site.folder.recovery_recipients
    file.unlink(missing_ok=True)
    assert json.loads(client.get("/api/v1/cluster").text)["recovery_key"] is False
    until(lambda: warning in client.get("/cluster").text)  # the page is kept for a few seconds
    with closing(Registry(site.folder.registry, now=NOW)) as registry:
        registry.add_operator(OperatorName("looker"), hash_password("r"), OperatorRole.READ)
    looker = WebClient(site)
    looker.log_in("looker", "r")
    assert warning not in looker.get("/cluster").text

    file.write_text("age1qqqq\n", encoding="ascii")
    assert json.loads(client.get("/api/v1/cluster").text)["recovery_key"] is True
    until(lambda: warning not in client.get("/cluster").text)
    file.write_bytes(b"\xff\n")  # damaged: as none, and no status fails by it
    assert json.loads(client.get("/api/v1/cluster").text)["recovery_key"] is False
    file.unlink()


def test_where_nothing_is_a_browser_is_told_so_on_a_page(client: WebClient) -> None:
    page = client.get("/nowhere/x", {"Accept": "text/html,*/*"})
    assert (page.status, "there is no such page" in page.text) == (404, True)
    assert "Log out" in page.text
    told = client.get("/api/v1/nowhere")
    assert (told.status, json.loads(told.text)) == (404, {"error": "there is no such page"})
    assert "default-src 'none'" in told.headers["Content-Security-Policy"]
    assert client.ask("DELETE", "/cluster").status == 405


@pytest.mark.parametrize("path", ["/cluster", "/account"])
def test_every_page_is_guarded_and_kept_nowhere(client: WebClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status == 200
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Strict-Transport-Security"]
    assert "style=" not in answer.text
    assert "<script>" not in answer.text


def test_a_form_without_its_token_or_from_elsewhere_changes_nothing(
    site: Site, client: WebClient
) -> None:
    path = "/cluster/rollout/pause"
    head = site.head()
    assert head is not None
    fields = {"revision": head, "form_token": client.token}
    for sent, headers in (
        ({"revision": head}, {}),
        ({**fields, "form_token": WebClient(site).ask("GET", "/login").text[:64]}, {}),
        (fields, {"Sec-Fetch-Site": "cross-site"}),
        (fields, {"Sec-Fetch-Site": "same-site"}),
        (fields, {"Sec-Fetch-Site": "none"}),
    ):
        assert client.post(path, sent, headers).status == 403
    client.headers = {}
    assert client.post(path, fields, {"Origin": "https://evil.invalid"}).status == 403
    assert client.post(path, fields).status == 403
    assert json.loads(client.get("/api/v1/rollout").text)["state"] == "done"
    assert client.post(path, fields, {"Origin": site.url}).status == 303
    assert json.loads(client.get("/api/v1/rollout").text)["paused"]
    client.headers = {"Sec-Fetch-Site": "same-origin"}
    assert client.send("/cluster", "/cluster/rollout/resume").status == 303


def test_a_role_sees_and_does_what_it_may(site: Site) -> None:
    with closing(Registry(site.folder.registry, now=NOW)) as registry:
        registry.add_operator(OperatorName("reader"), hash_password("r"), OperatorRole.READ)
    client = WebClient(site)
    client.log_in("reader", "r")
    assert "/cluster/rollout/" not in client.get("/cluster").text
    fields = {"form_token": client.token}
    refused = client.post("/cluster/rollout/pause", fields)
    assert refused.status == 403
    assert "this is for publish" in refused.text
