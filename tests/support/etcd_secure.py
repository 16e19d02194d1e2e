"""One real etcd with TLS that asks for client certificates and has users; its tokens end after a few seconds."""

import base64
import ipaddress
import json
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from etcd_program import etcd_program
from ports import own_port
from quick_folder import quick_folder

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.tls import pki

PASSWORD = "s3cret öffne"
PREFIX = "/mftgit/acme"
TOKEN_S = 4
"""A token that nobody shows for so long ends; who logs in on a busy machine has to show it before."""


def issue(authority: pki.KeyPair, *, name: str | None, host: str = "127.0.0.1") -> pki.KeyPair:
    """Issue a certificate for servers and clients, with or without a CommonName."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    issuer_key = serialization.load_pem_private_key(authority.key, password=None)
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    names = [] if name is None else [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(names))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(issuer.not_valid_before_utc)
        .not_valid_after(issuer.not_valid_after_utc)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]),
            critical=not names,
        )
        .sign(issuer_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pki.KeyPair(certificate=certificate.public_bytes(pem), key=private)


@dataclass(frozen=True, kw_only=True)
class SecureEtcd:
    """It knows the users ``root`` and ``mftgit``, who may use what is below `PREFIX`."""

    port: int
    authority: pki.KeyPair
    folder: Path
    context: ssl.SSLContext = field(repr=False)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def client(self, *, name: str | None = None) -> pki.KeyPair:
        return issue(self.authority, name=name)

    def ask(self, path: str, question: Any, token: str | None = None) -> Any:
        headers = {} if token is None else {"Authorization": token}
        request = urllib.request.Request(
            f"{self.url}/v3{path}", json.dumps(question).encode(), headers
        )
        with urllib.request.urlopen(request, timeout=60.0, context=self.context) as reply:
            return json.loads(reply.read())

    def as_root(self, path: str, question: Any) -> Any:
        """Ask what only root may."""
        login = {"name": "root", "password": PASSWORD}
        return self.ask(path, question, self.ask("/auth/authenticate", login)["token"])


@contextmanager
def secure_etcd() -> Iterator[SecureEtcd]:
    """Give it, once it has its users."""
    with ExitStack() as stack:
        folder = stack.enter_context(quick_folder("etcd-"))
        port, peer = (stack.enter_context(own_port()) for _ in range(2))
        authority = pki.make_authority("etcd", now=SystemClock().now())
        server = issue(authority, name=None)
        (folder / "ca.crt").write_bytes(authority.certificate)
        for each in ("key", "certificate"):
            (folder / each).write_bytes(getattr(server, each))
        command = [
            etcd_program(),
            f"--data-dir={folder / 'data'}",
            f"--listen-client-urls=https://127.0.0.1:{port}",
            f"--advertise-client-urls=https://127.0.0.1:{port}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
            f"--cert-file={folder / 'certificate'}",
            f"--key-file={folder / 'key'}",
            f"--trusted-ca-file={folder / 'ca.crt'}",
            "--client-cert-auth",
            f"--auth-token-ttl={TOKEN_S}",
            "--logger=zap",
            "--log-outputs=stderr",
        ]
        log = folder / "log"
        with log.open("wb") as stream:
            process = subprocess.Popen(command, stdout=stream, stderr=stream)
        stack.callback(process.wait)
        stack.callback(process.kill)
        context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        mine = issue(authority, name=None)
        (folder / "mine").write_bytes(mine.key + mine.certificate)
        context.load_cert_chain(folder / "mine")
        etcd = SecureEtcd(port=port, authority=authority, folder=folder, context=context)
        for _ in range(600):
            try:
                etcd.ask("/maintenance/status", {})
                break
            except (OSError, ValueError):
                Event().wait(0.05)
        else:
            raise AssertionError(log.read_text(encoding="utf-8")[-2000:])
        _add_users(etcd)
        yield etcd


def _add_users(etcd: SecureEtcd) -> None:
    start, end = (base64.b64encode(f"{PREFIX}{last}".encode()).decode() for last in "/0")
    for name in ("root", "mftgit"):
        etcd.ask("/auth/user/add", {"name": name, "password": PASSWORD})
    etcd.ask("/auth/role/add", {"name": "root"})
    etcd.ask("/auth/role/add", {"name": "below"})
    may = {"permType": "READWRITE", "key": start, "range_end": end}
    etcd.ask("/auth/role/grant", {"name": "below", "perm": may})
    etcd.ask("/auth/user/grant", {"user": "root", "role": "root"})
    etcd.ask("/auth/user/grant", {"user": "mftgit", "role": "below"})
    etcd.ask("/auth/enable", {})
