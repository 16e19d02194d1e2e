"""A service says what its document says, and of the rest what holds by default."""

from yaml import safe_load

from mftgit.model.inbound.service import (
    Defence,
    HttpsService,
    Listen,
    ServiceLimits,
    SftpService,
    Uploads,
)
from mftgit.model.inbound.service_document import build_service
from mftgit.model.keys.algorithms import Algorithms
from mftgit.model.locations.login import SecretRef
from mftgit.model.names import SecretName, ServiceName

NAME = ServiceName("sftp")


def test_a_service_says_everything_itself() -> None:
    text = """
type: sftp
listen: {address: 10.0.0.1, port: 2022}
host_keys: [{secret: one}, {file: two}]
algorithms: {ciphers: [aes256-ctr]}
banner: Hello
proxy_protocol: {from: [10.0.0.0/28]}
health: {port: 2080}
drain_s: 1
limits: {connections: 2, per_source: 3, unauthenticated: 4, login_s: 5, attempts: 6, idle_s: 70}
defence: {failures: 8, within_s: 9, ban_s: 10, delay_s: 11, exempt: [10.0.0.0/8]}
uploads: {stalled_s: 120, flush: false}
processes: 3
"""
    service = build_service(NAME, safe_load(text))
    assert service == SftpService(
        name=NAME,
        listen=Listen(address="10.0.0.1", port=2022),
        host_keys=(SecretRef(secret=SecretName("one")), SecretRef(file="two")),
        algorithms=Algorithms(ciphers=("aes256-ctr",)),
        banner="Hello",
        proxies=("10.0.0.0/28",),
        health=Listen(port=2080),
        drain_s=1.0,
        limits=ServiceLimits(
            connections=2, per_source=3, unauthenticated=4, login_s=5.0, attempts=6, idle_s=70.0
        ),
        defence=Defence(failures=8, within_s=9.0, ban_s=10.0, delay_s=11.0, exempt=("10.0.0.0/8",)),
        uploads=Uploads(stalled_s=120.0, flush=False),
        processes=3,
    )
    assert list(service.secrets()) == [("/host_keys/0/secret", "one")]


def test_what_a_service_leaves_out_is_as_the_types_have_it() -> None:
    text = "type: sftp\nlisten: {port: 22}\nhost_keys: [{file: k}]"
    assert build_service(NAME, safe_load(text)) == SftpService(
        name=NAME, listen=Listen(port=22), host_keys=(SecretRef(file="k"),)
    )


def test_a_service_of_https_says_where_its_certificate_is() -> None:
    text = "type: https\nlisten: {port: 443}\ncertificate: {secret: web}\nsession_s: 60\ndrain_s: 1"
    service = build_service(NAME, safe_load(text))
    assert service == HttpsService(
        name=NAME,
        listen=Listen(port=443),
        certificate=SecretRef(secret=SecretName("web")),
        session_s=60.0,
        drain_s=1.0,
    )
    assert list(service.secrets()) == [("/certificate/secret", "web")]
    by_file = build_service(NAME, safe_load(text.replace("secret: web", "file: web.pem")))
    assert list(by_file.secrets()) == []
