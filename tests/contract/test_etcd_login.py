"""What etcd asks for before it takes a question: certificates, users and their tokens; a real one, on loopback."""

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from coordination import Member
from etcd_secure import PASSWORD, PREFIX, TOKEN_S, SecureEtcd, issue, secure_etcd
from ftps_server import make_certificates
from loguru import logger
from waiting import WAIT_S

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.coordinator import CoordinatorUnavailableError
from mftgit.adapters.etcd.coordinator import EtcdCoordinator
from mftgit.adapters.location_secrets import SecretsHere
from mftgit.adapters.tls import pki
from mftgit.errors import ConfigError, MftgitError
from mftgit.member.outbound.ownership.coordination import (
    AbsentCoordinator,
    Here,
    find_way,
    make,
    try_out,
)
from mftgit.model.configuration.config import Cluster
from mftgit.model.names import Epoch, MemberName, TransferName
from mftgit.model.ownership.etcd import build_etcd
from mftgit.model.ownership.standing import Handover, Standing

pytestmark = pytest.mark.needs("etcd")
T = TransferName("t")


@pytest.fixture(scope="module")
def etcd() -> Iterator[SecureEtcd]:
    with secure_etcd() as running:
        yield running


@dataclass
class Site:
    """A member's machine, with what it logs in with."""

    etcd: SecureEtcd
    folder: Path

    def __post_init__(self) -> None:
        self.secrets = self.folder / "secrets"
        self.secrets.mkdir(mode=0o700)
        self.keep(password=PASSWORD.encode())
        self.show(name=None)

    def keep(self, **files: bytes) -> None:
        for name, content in files.items():
            (self.secrets / name).touch(mode=0o600)
            (self.secrets / name).write_bytes(content)

    def show(self, *, name: str | None) -> None:
        pair = self.etcd.client(name=name)
        self.keep(key=pair.key, certificate=pair.certificate)

    @property
    def here(self) -> Here:
        return Here(
            member=MemberName("one"),
            cluster_id="c",
            shared=self.folder,
            clock=SystemClock(),
            remembered=lambda _key: Epoch(0),
        )

    def cluster(self, auth: Mapping[str, Any] | None = None, **fields: Any) -> Cluster:
        usual = {each: {"file": each} for each in ("password", "certificate")}
        value = {
            "endpoints": [self.etcd.url],
            "ca": self.etcd.authority.certificate.decode(),
            "username": "mftgit",
            "auth": usual | {"private_key": {"file": "key"}} if auth is None else auth,
            **fields,
        }
        return Cluster(name="acme", lease_ttl_s=60.0, etcd=build_etcd(value, "acme"))

    def try_out(self, cluster: Cluster) -> None:
        try_out(find_way(cluster, SecretsHere(folder=self.secrets)), self.here)

    def member(self) -> Member:
        way = find_way(self.cluster(), SecretsHere(folder=self.secrets))
        made = make(way, self.here)
        assert isinstance(made, EtcdCoordinator)
        return Member(made)


@pytest.fixture
def told_at_warning() -> Iterator[list[str]]:
    told: list[str] = []
    logger.enable("mftgit")
    sink = logger.add(told.append, level="WARNING", format="{message} {extra}")
    yield told
    logger.remove(sink)
    logger.disable("mftgit")


@pytest.fixture
def site(etcd: SecureEtcd, tmp_path: Path) -> Site:
    return Site(etcd=etcd, folder=tmp_path)


def test_a_member_logs_in_with_certificate_and_password_and_owns(
    site: Site, told_at_warning: list[str]
) -> None:
    site.try_out(site.cluster())
    one = site.member()
    assert one.take(T) is not None
    one.renew()
    one.coordinator.close(one.session, "done")
    assert any("too old" in each for each in told_at_warning)
    assert "s3cret" not in "".join(told_at_warning)


def test_a_token_that_has_ended_is_followed_by_another(site: Site) -> None:
    one = site.member()
    one.take(T)
    time.sleep(TOKEN_S + 1.5)  # noqa: TID251  etcd looks once a second
    one.renew()
    assert one.view(T).owner == "one"
    one.coordinator.close(one.session, "done")


def test_a_change_of_etcd_s_users_ends_no_session(site: Site) -> None:
    one = site.member()
    one.take(T)
    one.renew()
    site.etcd.as_root("/auth/user/add", {"name": f"u{time.monotonic_ns()}", "password": "p"})
    one.renew()
    assert one.view(T).owner == "one"
    one.coordinator.close(one.session, "done")


def test_whatever_etcd_refuses_is_told(site: Site) -> None:
    other = make_certificates().ca
    wrong: dict[str, Cluster] = {
        "its certificate is not taken": site.cluster(ca=other),
        "Hostname mismatch": site.cluster(
            endpoints=[site.etcd.url.replace("127.0.0.1", "localhost")]
        ),
        "permission denied": site.cluster(prefix="/elsewhere"),
        "invalid user ID or password": site.cluster(username="nobody"),
        "etcdserver: ": site.cluster(
            username=None,
            auth={"private_key": {"file": "key"}, "certificate": {"file": "certificate"}},
        ),
        "secrets/missing": site.cluster(auth={"password": {"file": "missing"}}),
    }
    for told, cluster in wrong.items():
        with pytest.raises(ConfigError, match=told) as raised:
            site.try_out(cluster)
        assert PASSWORD not in str(raised.value)


def test_a_certificate_that_is_renewed_on_the_machine_is_shown_without_a_restart(
    site: Site,
) -> None:
    good = {name: (site.secrets / name).read_bytes() for name in ("key", "certificate")}
    other = issue(pki.make_authority("other", now=SystemClock().now()), name=None)
    site.keep(key=other.key, certificate=other.certificate)
    made = make(find_way(site.cluster(), SecretsHere(folder=site.secrets)), site.here)
    with pytest.raises(CoordinatorUnavailableError):
        made.look()
    site.keep(**good)
    until = time.monotonic() + WAIT_S
    while True:
        try:
            made.look()
            break
        except CoordinatorUnavailableError:
            assert time.monotonic() < until
        time.sleep(0.2)  # noqa: TID251  a test


def test_a_secret_that_comes_after_the_member_has_started_lets_it_own(site: Site) -> None:
    (site.secrets / "password").unlink()
    made = make(find_way(site.cluster(), SecretsHere(folder=site.secrets)), site.here)
    with pytest.raises(CoordinatorUnavailableError, match="password"):
        made.open(Standing())
    site.keep(password=PASSWORD.encode())
    one = Member(made)
    assert one.take(T) is not None
    one.renew()
    one.coordinator.tell(one.session, Standing(draining=True))
    epoch = one.view(T).epoch
    one.coordinator.give_back(one.session, {T: Handover(epoch=epoch)})
    one.coordinator.close(one.session, "done")


def test_who_shows_no_certificate_is_not_let_in(site: Site) -> None:
    """The server says so, or hangs up first: TLS 1.3 asks for it when the client has begun to speak."""
    with pytest.raises(MftgitError, match=r"does not take our certificate|SSLEOF|Reset|BrokenPipe"):
        site.try_out(site.cluster(auth={"password": {"file": "password"}}))


def test_a_certificate_with_a_common_name_is_refused_where_etcd_has_users(site: Site) -> None:
    site.show(name="mftgit")
    with pytest.raises(ConfigError, match="CommonName"):
        site.try_out(site.cluster())


def test_a_member_without_the_library_is_told_what_to_install(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "etcd3gw", None)
    with pytest.raises(ConfigError, match=r"install mftgit\[etcd\]"):
        site.try_out(site.cluster())


def test_where_a_secret_is_missing_or_other_it_is_another_way(site: Site) -> None:
    secrets = SecretsHere(folder=site.secrets)
    first = find_way(site.cluster(), secrets)
    assert find_way(site.cluster(), secrets) == first
    site.show(name=None)
    second = find_way(site.cluster(), secrets)
    assert second != first
    (site.secrets / "password").unlink()
    third = find_way(site.cluster(), secrets)
    assert third != second
    assert isinstance(make(third, site.here), AbsentCoordinator)
    assert PASSWORD not in repr((first, second, third))
    assert PREFIX in repr(first)
