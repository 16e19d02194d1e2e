"""Keys and certificates: the cluster's own authority, the controller's TLS, the members' identities."""

import hashlib
import ipaddress
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mftgit.errors import ConfigError

CA_DAYS = 3650
SERVER_DAYS = 397
"""What browsers accept at most for a server (CA/Browser Forum ballot SC31)."""

_KEYS_KEPT = 4096
_NAME_LENGTH = 64  # RFC 5280, ub-common-name-length
_HAS = b"-----BEGIN CERTIFICATE-----"
_RENEW_BEFORE = timedelta(days=30)
_BACKDATED = timedelta(hours=1)  # for clocks that are a little behind


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


def make_authority(cluster: str, *, now: datetime) -> KeyPair:
    """Make the cluster's own certificate authority (ECDSA P-256)."""
    return _make_authority(f"mftgit cluster {cluster}"[:_NAME_LENGTH], now=now)


def make_successor(authority: KeyPair, *, now: datetime) -> KeyPair:
    """Make the authority that follows ``authority``, with another name, so that whoever knows both tells them apart."""
    subject = x509.load_pem_x509_certificate(authority.certificate).subject
    name = str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value).partition(" (")[0]
    since = f" ({now:%F})"
    return _make_authority(name[: _NAME_LENGTH - len(since)] + since, now=now)


def _make_authority(called: str, *, now: datetime) -> KeyPair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, called)])
    certificate = (
        _builder(name, name, key, now=now, days=CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(certificate=_pem(certificate), key=_private_pem(key))


def issue_server(authority: KeyPair, *, hosts: tuple[str, ...], now: datetime) -> KeyPair:
    """Issue a TLS server certificate for ``hosts`` (names or addresses); the chain ends with the authority."""
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    issuer_key = _load_ec(authority.key)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:_NAME_LENGTH])])
    certificate = (
        _builder(subject, issuer.subject, key, now=now, days=SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_san(host) for host in hosts]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
        .sign(issuer_key, hashes.SHA256())
    )
    return KeyPair(certificate=_pem(certificate) + authority.certificate, key=_private_pem(key))


def serves(server: KeyPair, authority: KeyPair, *, hosts: tuple[str, ...], now: datetime) -> bool:
    """Tell whether ``server`` is a pair that ``authority`` issued, for all of ``hosts``, and that holds a while yet."""
    try:
        certificate = x509.load_pem_x509_certificate(server.certificate)
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate))
        is_pair = certificate.public_key() == _load_ec(server.key).public_key()
    except (ValueError, TypeError, InvalidSignature, ConfigError):
        return False
    lasts = certificate.not_valid_after_utc - now >= _RENEW_BEFORE
    wanted = {str(_san(host).value) for host in hosts}
    return is_pair and lasts and wanted <= set(hosts_of(server.certificate))


def hosts_of(certificate: bytes) -> tuple[str, ...]:
    """Return the names and addresses that the first certificate of the PEM chain is for; none where it is none."""
    try:
        loaded = x509.load_pem_x509_certificate(certificate)
        names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return ()
    return tuple(str(each.value) for each in names)


def find_authority(key: bytes, *places: bytes) -> KeyPair:
    """Return the authority of ``key``, whose certificate is in the first of the PEM texts that has it.

    Raises:
        ConfigError: none has it, or ``key`` is none.
    """
    try:
        public = _load_ec(key).public_key()
        for place in places:
            for each in x509.load_pem_x509_certificates(place) if _HAS in place else ():
                if each.public_key() == public:
                    return KeyPair(certificate=_pem(each), key=key)
    except ValueError as error:
        raise ConfigError("the cluster authority's key or certificate cannot be read") from error
    raise ConfigError("the cluster authority's certificate is not there: restore it from a backup")


def check_authorities(pem: bytes, *, now: datetime) -> None:
    """See that each certificate in ``pem`` is that of an authority, today.

    Raises:
        ConfigError: one is not; the message names it by its fingerprint.
    """
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ConfigError(f"what stands there is not a certificate ({error})") from error
    for each in found:
        name = f"the certificate {_sha256(each)}"
        if not each.not_valid_before_utc <= now <= each.not_valid_after_utc:
            raise ConfigError(
                f"{name} holds from {each.not_valid_before_utc:%F} to {each.not_valid_after_utc:%F} only"
            )
        if not _is_authority(each):
            raise ConfigError(f"{name} is not that of an authority")


def pick(pem: bytes, wanted: str) -> bytes | None:
    """Return the certificate in ``pem`` with the fingerprint ``wanted``, None where there is none.

    Raises:
        ValueError: ``pem`` holds no certificate.
    """
    found = (each for each in x509.load_pem_x509_certificates(pem) if _sha256(each) == wanted)
    return next(map(_pem, found), None)


def holds_until(pem: bytes) -> datetime | None:
    """Return until when the first certificate in ``pem`` holds, in which its key may stand; None where it has none."""
    with suppress(ValueError):
        return x509.load_pem_x509_certificate(pem).not_valid_after_utc
    return None


def fingerprint(certificate: bytes) -> str:
    """Return the SHA-256 of the first certificate of the PEM chain, in lower-case hexadecimal."""
    return _sha256(x509.load_pem_x509_certificate(certificate))


def make_identity() -> bytes:
    """Make a member's Ed25519 private key, PEM (PKCS #8)."""
    return _private_pem(ed25519.Ed25519PrivateKey.generate())


def public_identity(private: bytes) -> str:
    """Return the public half of a member's key as 64 hexadecimal digits.

    Raises:
        ConfigError: ``private`` is not an Ed25519 private key.
    """
    raw = load_identity(private).public_key().public_bytes_raw()
    return raw.hex()


def load_identity(private: bytes) -> ed25519.Ed25519PrivateKey:
    """Return a member's key.

    Raises:
        ConfigError: ``private`` is not an Ed25519 private key.
    """
    try:
        key = serialization.load_pem_private_key(private, password=None)
    except (ValueError, TypeError) as error:
        raise ConfigError("the member's key file holds no private key: join again") from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise ConfigError("the member's key is not an Ed25519 key: join again")
    return key


@lru_cache(maxsize=_KEYS_KEPT)
def load_public_identity(text: str) -> ed25519.Ed25519PublicKey:
    """Return the public key that ``public_identity`` gave ``text`` for.

    It is kept by its text: who has which key is not known here.

    Raises:
        ConfigError: ``text`` is not 64 hexadecimal digits.
    """
    try:
        return ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
    except ValueError as error:
        raise ConfigError("not an Ed25519 public key: expected 64 hexadecimal digits") from error


def identity_fingerprint(text: str) -> str:
    """Return what people compare of the public key ``text``: its SHA-256, written as OpenSSH does.

    Raises:
        ConfigError: ``text`` is not 64 hexadecimal digits.
    """
    digest = hashlib.sha256(load_public_identity(text).public_bytes_raw()).digest()
    return "SHA256:" + b64encode(digest).decode().rstrip("=")


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    *,
    now: datetime,
    days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _san(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, x509.ExtensionNotFound):
        return False


def _sha256(certificate: x509.Certificate) -> str:
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def _load_ec(key: bytes) -> ec.EllipticCurvePrivateKey:
    loaded = serialization.load_pem_private_key(key, password=None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise ConfigError("the cluster authority's key is not an elliptic-curve key")
    return loaded


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private_pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def sign_word(authority: KeyPair, word: bytes) -> str:
    """Return the signature of ``word`` by the authority's key, in hexadecimal."""
    return _load_ec(authority.key).sign(word, ec.ECDSA(hashes.SHA256())).hex()


def is_signed_by(pem: bytes, word: bytes, signature: str) -> bool:
    """Tell whether one of the authorities in ``pem`` has signed ``word``."""
    try:
        content = bytes.fromhex(signature)
        found = x509.load_pem_x509_certificates(pem) if _HAS in pem else []
    except ValueError:
        return False
    for certificate in found:
        key = certificate.public_key()
        if isinstance(key, ec.EllipticCurvePublicKey):
            with suppress(InvalidSignature):
                key.verify(content, word, ec.ECDSA(hashes.SHA256()))
                return True
    return False


def is_same_signature(one: str, other: str) -> bool:
    """Tell whether two signatures of one text by one key were made at once.

    Anybody can write a signature (r, s) as (r, -s), which is as good (SEC 1, 4.1.4); r is of the chance of its making.
    """
    try:
        first, second = (decode_dss_signature(bytes.fromhex(each)) for each in (one, other))
    except ValueError:
        return False
    return first[0] == second[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthoritySeal:
    """Signatures of the authorities in ``pem``; see `mftgit.model.members.incarnation.Seal`."""

    pem: bytes

    def is_signed(self, word: bytes, signature: str) -> bool:
        """See `Seal.is_signed`."""
        return is_signed_by(self.pem, word, signature)

    def is_same(self, one: str, other: str) -> bool:
        """See `Seal.is_same`."""
        return is_same_signature(one, other)


def certificates_of(pem: bytes) -> bytes:
    """Return the certificates of ``pem``, which may hold keys too."""
    found = x509.load_pem_x509_certificates(pem) if _HAS in pem else []
    return b"".join(map(_pem, found))
