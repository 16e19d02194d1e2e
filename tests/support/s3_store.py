"""A real object store on loopback: moto's server in a process of its own, with TLS."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from importlib.util import find_spec
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.s3.client import Store, prepare
from mftgit.model.locations.login import SecretRef
from mftgit.model.locations.s3_location import Addressing, S3Keys, S3Location
from mftgit.model.names import LocationName

SECRET = "a secret of the store's"  # what a file of the secrets folder holds
BUCKET = "exchange"
CARELESS = "careless"  # a bucket that takes no notice of If-None-Match


@dataclass(frozen=True, kw_only=True)
class S3Store:
    """A running store with two empty buckets, and the folder with the secret for it."""

    url: str
    ca: str
    secrets_dir: Path

    @cached_property
    def behind(self) -> Store:
        """The store, for a look behind an endpoint."""
        return self.store()

    def location(self, **options: Any) -> S3Location:
        """Return a location of the bucket that works, but for what is asked otherwise."""
        fields: dict[str, Any] = {
            "name": LocationName("bucket"),
            "bucket": BUCKET,
            "endpoint": self.url,
            "addressing": Addressing.PATH,
            "ca": self.ca,
            "auth": S3Keys(access_key_id="AKIATEST", secret_access_key=SecretRef(file="s3")),
            "timeout_s": 60.0,
        }
        return S3Location(**(fields | options))

    def store(self, location: S3Location | None = None) -> Store:
        """Return a way to look behind an endpoint: the operations of S3."""
        asked = location or self.location()
        return Store(asked, prepare(asked, secrets_dir=self.secrets_dir, values={}))


def make_certificate(folder: Path) -> Path:
    """Return the file with a certificate of 127.0.0.1 that it signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "store")])
    now = SystemClock().now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "store.pem"
    file.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return file


def authority_of(certificate: Path) -> str:
    """Return the certificate alone."""
    text = certificate.read_text(encoding="ascii")
    return text[: text.index("-----BEGIN PRIVATE")]


def make_secrets(folder: Path) -> Path:
    """Return a folder with the secret for the store."""
    secrets_dir = folder / "secrets"
    secrets_dir.mkdir(mode=0o700)
    (secrets_dir / "s3").touch(mode=0o600)
    (secrets_dir / "s3").write_text(SECRET, encoding="utf-8")
    return secrets_dir


@contextmanager
def running_s3(folder: Path) -> Iterator[S3Store]:
    """Give a store that runs for the time of the block; without moto the test is skipped, but for CI."""
    if find_spec("moto") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "install the extra test: it has moto"
        )
    certificate = make_certificate(folder)
    with (
        (folder / "store.log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("s3_server.py")), str(certificate)],
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "MOTO_S3_DEFAULT_MAX_KEYS": "5"},  # keys of a page
        ) as process,
    ):
        try:
            assert process.stdout is not None
            port = json.loads(process.stdout.readline())
            made = S3Store(
                url=f"https://127.0.0.1:{port}",
                ca=authority_of(certificate),
                secrets_dir=make_secrets(folder),
            )
            for bucket in (BUCKET, CARELESS):
                with closing(made.store(made.location(bucket=bucket))) as store:
                    store.ask("create_bucket", bucket)
            with closing(made.behind):
                yield made
        finally:
            process.kill()
