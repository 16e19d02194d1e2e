"""The page about HAProxy: its services are valid, and HAProxy takes its configuration."""

import re
import subprocess
from pathlib import Path

import pytest
from config_tree import tree, validator
from haproxy import PAGE
from ssh_keys import program


def _blocks(language: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.mark.needs("haproxy")
def test_haproxy_takes_what_the_page_has(tmp_path: Path) -> None:
    file = tmp_path / "haproxy.cfg"
    file.write_text("\n".join(_blocks("haproxy")), encoding="utf-8")
    done = subprocess.run(
        [program("haproxy"), "-c", "-f", str(file)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr


def test_the_services_of_the_page_are_valid_and_have_the_ports_that_haproxy_asks() -> None:
    files = {"cluster.yaml": "name: acme\n", "members/node-1.yaml": "role: node\n"}
    for each in _blocks("yaml"):
        place, _, content = each.partition("\n")
        files[place.removeprefix("# ")] = content
    assert validator().validate(tree(files)).problems == ()

    for listen, service in zip(_blocks("haproxy"), ("sftp", "web"), strict=True):
        ports = re.findall(r":(\d+) check port (\d+)", listen)
        text = files[f"services/{service}.yaml"]
        assert len(ports) == 3
        assert {port for port, _ in ports} == set(re.findall(r"listen: {port: (\d+)}", text))
        assert {health for _, health in ports} == set(re.findall(r"health: {port: (\d+)}", text))
