"""The commands of the page about etcd, run but for places and ports: three servers, by which a member owns."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml
from config_tree import tree, validator
from coordination import Member
from etcd_program import etcd_program
from ports import own_port
from quick_folder import quick_folder
from waiting import WAIT_S

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.etcd.coordinator import EtcdCoordinator
from mftgit.adapters.location_secrets import SecretsHere
from mftgit.member.outbound.ownership.coordination import Here, find_way, make, try_out
from mftgit.model.configuration.config import Cluster
from mftgit.model.names import Epoch, MemberName, TransferName
from mftgit.model.ownership.etcd import build_etcd

PAGE = (Path(__file__).parents[2] / "docs/how-to/etcd.md").read_text(encoding="utf-8")
NAMES = ("etcd-1", "etcd-2", "etcd-3")


def _commands(holding: str) -> str:
    """Return the one block of commands of the page that has these words."""
    found = [
        each
        for each in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
        if holding in each
    ]
    assert len(found) == 1, holding
    return str(found[0])


def _run(commands: str, folder: Path) -> None:
    done = subprocess.run(
        ["bash", "-e", "-c", commands],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def _server(name: str, folder: Path, ports: dict[str, tuple[int, int]]) -> list[str]:
    """Return the words of the page's command for a server whose files are in ``folder``, on loopback."""
    text = _commands("etcd --name=").replace("/etc/etcd", str(folder))
    text = text.replace("/var/lib/etcd", str(folder / "data")).replace("\\\n", " ")
    text = re.sub(r"(--(?:name|[a-z-]*advertise[a-z-]*)=\S*)etcd-1", rf"\1{name}", text)
    mine = ports[name]
    text = text.replace("0.0.0.0:2379", f"127.0.0.1:{mine[0]}").replace(
        "0.0.0.0:2380", f"127.0.0.1:{mine[1]}"
    )
    for each, (client, peer) in ports.items():
        text = text.replace(f"{each}.example.org:2379", f"localhost:{client}")
        text = text.replace(f"{each}.example.org:2380", f"localhost:{peer}")
    return [etcd_program(), *text.split()[1:], "--logger=zap", "--log-outputs=stderr"]


@contextmanager
def _servers() -> Iterator[tuple[Path, dict[str, tuple[int, int]]]]:
    with ExitStack() as stack:
        top = stack.enter_context(quick_folder("etcd-"))
        ports = {
            each: (stack.enter_context(own_port()), stack.enter_context(own_port()))
            for each in NAMES
        }
        _run(_commands("-keyout ca.key"), top)
        _run(_commands("-keyout etcd.key"), top)
        logs = []
        for name in NAMES:
            folder = top / name
            folder.mkdir()
            for each in ("ca.crt", "ca.key"):
                (folder / each).write_bytes((top / each).read_bytes())
            _run(_commands("-keyout server.key").replace("etcd-1.example.org", "localhost"), folder)
            logs.append(stack.enter_context((folder / "log").open("wb")))
            process = subprocess.Popen(
                _server(name, folder, ports), cwd=folder, stdout=logs[-1], stderr=logs[-1]
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield top, ports


@pytest.mark.needs("etcd")
@pytest.mark.needs("etcdctl")
@pytest.mark.needs("openssl")
def test_the_commands_make_three_servers_and_a_user_by_whom_members_own() -> None:
    with _servers() as (top, ports):
        url = f"https://localhost:{ports['etcd-1'][0]}"
        users = _commands("etcdctl auth enable").replace("https://etcd-1.example.org:2379", url)
        settings, _, rest = users.partition("\n")
        wait = "until etcdctl endpoint health; do sleep 0.1; done\n"
        _run(f"{settings}\n{wait}{rest}", top)

        secrets = top / "secrets"
        secrets.mkdir(mode=0o700)
        for name, file in (
            ("etcd.key", "etcd.key"),
            ("etcd.crt", "etcd.crt"),
            ("etcd-password", "etcd-password"),
        ):
            (secrets / name).touch(mode=0o600)
            (secrets / name).write_bytes((top / file).read_bytes())
        urls = [f"https://localhost:{client}" for client, _ in ports.values()]
        way = find_way(_cluster(urls, top / "ca.crt"), SecretsHere(folder=secrets))
        here = Here(
            member=MemberName("one"),
            cluster_id="c",
            shared=top,
            clock=SystemClock(),
            remembered=lambda _key: Epoch(0),
        )
        try_out(way, here)
        coordinator = make(way, here)
        assert isinstance(coordinator, EtcdCoordinator)
        one = Member(coordinator)
        assert one.take(TransferName("t")) is not None
        one.renew()
        one.coordinator.close(one.session, "done")


def test_the_configuration_of_the_page_is_valid() -> None:
    files = {"cluster.yaml": _configuration(), "members/node-1.yaml": "role: node\n"}
    files["secrets/etcd-password.yaml"] = "ciphertext: x\n"
    problems = validator().validate(tree(files)).problems
    assert {each.file for each in problems} <= {"secrets/etcd-password.yaml"}, problems


def _configuration() -> str:
    found = re.findall(r"^```yaml\n# cluster.yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert PAGE.count("```yaml") == len(found) == 1
    return str(found[0])


def _cluster(urls: list[str], authority: Path) -> Cluster:
    """Return what the page's configuration means, with these servers, and the password in a file."""
    said = yaml.safe_load(_configuration())
    value = said["coordinator"]["etcd"]
    value |= {"endpoints": urls, "ca": authority.read_text(encoding="utf-8")}
    value["auth"]["password"] = {"file": value["auth"]["password"]["secret"]}
    return Cluster(name=said["name"], lease_ttl_s=60.0, etcd=build_etcd(value, said["name"]))
