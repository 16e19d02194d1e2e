"""What members tell Prometheus and people, and what the dashboard and the alert rules ask for, at the real thing."""

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from accessible import check_page
from browser import browser
from cluster import mftgit
from monitored import ACCOUNT, NODE, Monitored, ask, monitored, upload
from ssh_keys import program

from mftgit.model.monitoring.metrics import METRICS

pytestmark = [pytest.mark.e2e, pytest.mark.needs("prometheus"), pytest.mark.needs("sftp")]

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"
RULES = MONITORING / "mftgit-alerts.yml"
DASHBOARD = json.loads((MONITORING / "mftgit-dashboard.json").read_text(encoding="utf-8"))
VARIABLES = {"$__rate_interval": "1m", "$instance": ".*", "$transfer": ".*"}
SELECTOR = re.compile(r"\b(?:mftgit_\w+|process_\w+|up)(?:\{[^}]*\})?")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    with monitored(tmp_path_factory.mktemp("monitored")) as made:
        upload(made, "statement")
        made.made.until("it is delivered", (made.made.files / "out" / "statement").exists)
        yield made


def queries() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            expression: str = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            yield expression


def rules() -> list[dict[str, Any]]:
    text = RULES.read_text(encoding="utf-8")
    found = re.findall(r"alert: (\w+)\n +expr: (.*)\n", text)
    return [{"alert": name, "expr": expression} for name, expression in found]


def test_every_query_of_the_dashboard_has_series_of_a_running_cluster(site: Monitored) -> None:
    asked = list(queries())
    assert len(asked) > 30
    for expression in asked:
        site.made.until(f"{expression} has series", lambda: site.query(expression))  # noqa: B023  called at once


def test_the_variables_of_the_dashboard_have_values(site: Monitored) -> None:
    for each in DASHBOARD["templating"]["list"]:
        if each["type"] == "query":
            metric, label = re.fullmatch(
                r"label_values\((\w+), (\w+)\)", each["definition"]
            ).groups()  # type: ignore[union-attr]
            site.made.until(f"{each['name']} has values", lambda: site.query(metric))  # noqa: B023
            assert all(found["metric"][label] for found in site.query(metric))


def test_all_that_the_alert_rules_look_at_is_there_and_none_fires_where_all_is_well(
    site: Monitored,
) -> None:
    found = rules()
    assert len(found) == RULES.read_text(encoding="utf-8").count("- alert:")
    for rule in found:
        for selector in SELECTOR.findall(rule["expr"]):
            plain = re.sub(r"(by|on|group_left) \([^)]*\)", "", selector)
            site.made.until(f"{rule['alert']}: {plain} is there", lambda: site.query(plain))  # noqa: B023
        site.made.until(f"{rule['alert']} does not fire", lambda: not site.query(rule["expr"]))  # noqa: B023


def test_the_rules_and_the_example_of_a_configuration_are_good_ones() -> None:
    for words in (["check", "rules", RULES], ["check", "config", MONITORING / "prometheus.yml"]):
        done = subprocess.run(
            [program("promtool"), *map(str, words)],
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_a_member_tells_every_metric_there_is_and_what_happened(site: Monitored) -> None:
    def missing() -> list[str]:
        text = "".join(ask(site.url(each, "/metrics")).body for each in ("controller", NODE))
        return [each.name for each in METRICS if f"# TYPE {each.name} " not in text]

    site.made.until("every metric is told", lambda: missing() == [])
    for member, name, value in (
        (NODE, 'mftgit_deliveries_total{outcome="succeeded",transfer="quick"}', 1.0),
        (NODE, 'mftgit_delivered_bytes_total{transfer="quick"}', 7.0),
        ("controller", 'mftgit_uploads_total{service="sftp"}', 1.0),
        ("controller", 'mftgit_members{state="active"}', 2.0),
    ):  # a file arrives before it is counted
        site.made.until(f"{name} is {value}", lambda: site.value(member, name) == value)  # noqa: B023
    assert (
        ask(site.url(NODE, "/metrics"))
        .headers["Content-Type"]
        .startswith("text/plain; version=0.0.4")
    )


def test_metrics_name_no_file_no_account_and_no_client(site: Monitored) -> None:
    for member in site.pages:
        for path in ("/", "/metrics"):
            body = ask(site.url(member, path)).body
            assert "statement" not in body
            assert ACCOUNT not in body
    assert "acme" in ask(site.url(NODE)).body  # the cluster's name


def test_promtool_finds_nothing_to_say_about_the_metrics(site: Monitored) -> None:
    for member in site.pages:
        said = ask(site.url(member, "/metrics"))
        done = subprocess.run(
            [program("promtool"), "check", "metrics"],
            input=said.body,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_a_member_has_a_page_that_says_how_it_is_and_may_do_nothing(site: Monitored) -> None:
    said = ask(site.url(NODE))
    assert said.status == 200
    assert "default-src 'none'" in said.headers["Content-Security-Policy"]
    for words in ("node of acme", ">active<", ">quick<", ">idle<", "DeliverySucceeded", "in use"):
        site.made.until(f"it says {words}", lambda: words in ask(site.url(NODE)).body)  # noqa: B023
    assert "<script" not in said.body
    assert ">node-1<" in ask(site.url("controller")).body  # it tells of the cluster too
    assert ask(site.url(NODE, "/own.css")).headers["Content-Type"].startswith("text/css")


def test_nothing_but_reading_is_answered(site: Monitored) -> None:
    assert ask(site.url(NODE), method="POST").status == 405
    assert ask(site.url(NODE, "/metrics"), method="DELETE").status == 405
    assert ask(site.url(NODE, "/api/head")).status == 404
    head = ask(site.url(NODE, "/metrics"), method="HEAD")
    assert (head.status, head.body) == (200, "")


def test_a_drained_member_is_not_ready_and_says_so(site: Monitored) -> None:
    assert ask(site.url(NODE, "/readyz")).status == 200
    _order(site, "drain")
    site.made.until("it is not ready", lambda: ask(site.url(NODE, "/readyz")).status == 503)
    assert ask(site.url(NODE, "/readyz")).body == "draining\n"
    assert ask(site.url(NODE, "/healthz")).status == 200
    assert site.value(NODE, "mftgit_ready") == 0.0
    _order(site, "drain", "--end")
    site.made.until("it is ready", lambda: ask(site.url(NODE, "/readyz")).status == 200)


def _order(site: Monitored, *words: str) -> None:
    done = mftgit(*words, "--dir", site.made.dir(NODE), cwd=site.made.root)
    assert done.returncode == 0, done.stderr


def test_where_the_page_is_follows_the_configuration_and_a_port_in_use_refuses_the_revision(
    site: Monitored,
) -> None:
    made, document = site.made, f"members/{NODE}.yaml"
    before = (site.clone / document).read_text(encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        made.push(site.clone, {document: f"role: node\nweb: {{listen: {{port: {port}}}}}\n"})
        made.until("it is refused", lambda: made.member(NODE)["state"] == "refused")
    assert f"web: cannot listen on 127.0.0.1 port {port}" in made.member(NODE)["reason"]
    assert ask(site.url(NODE)).status == 200
    made.until_active(made.push(site.clone, {document: "role: node\n"}), NODE)
    with pytest.raises(OSError, match="refused"):
        ask(site.url(NODE))
    made.until_active(made.push(site.clone, {document: before}), NODE)
    assert ask(site.url(NODE)).status == 200


@pytest.mark.needs("chromium")
@pytest.mark.needs("chromedriver")
def test_everybody_can_use_the_page(site: Monitored, tmp_path: Path) -> None:
    with browser(tmp_path) as window:
        for member in site.pages:
            window.open(site.url(member))
            window.shows("Last events")
            check_page(window, f"own-page-{member}")
