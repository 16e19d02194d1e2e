"""A service as its document says it."""

from mftgit.model.documents.given import Value, given
from mftgit.model.inbound.service import (
    AnyService,
    Defence,
    HttpsService,
    Listen,
    ServiceLimits,
    SftpService,
    Uploads,
)
from mftgit.model.locations.login import SecretRef
from mftgit.model.locations.sftp import build_algorithms
from mftgit.model.names import SecretName, ServiceName


def build_service(name: ServiceName, value: Value) -> AnyService:
    """Return what ``services/NAME.yaml`` says, once its templates are replaced."""
    common = {
        "name": name,
        "listen": _listen(value["listen"]),
        "proxies": tuple(value.get("proxy_protocol", {}).get("from", ())),
        **given(
            value,
            health=_listen,
            drain_s=float,
            limits=_limits,
            defence=_defence,
            uploads=_uploads,
            processes=int,
        ),
    }
    if value["type"] == HttpsService.KIND:
        return HttpsService(
            **common, certificate=_secret(value["certificate"]), **given(value, session_s=float)
        )
    return SftpService(
        **common,
        host_keys=tuple(map(_secret, value["host_keys"])),
        **given(value, algorithms=build_algorithms, banner=str),
    )


def _secret(value: Value) -> SecretRef:
    return SecretRef(**given(value, file=str, secret=SecretName))


def _listen(value: Value) -> Listen:
    return Listen(port=value["port"], **given(value, address=str))


def _limits(value: Value) -> ServiceLimits:
    return ServiceLimits(
        **given(
            value,
            connections=int,
            per_source=int,
            unauthenticated=int,
            login_s=float,
            attempts=int,
            idle_s=float,
        )
    )


def _defence(value: Value) -> Defence:
    return Defence(
        **given(value, failures=int, within_s=float, ban_s=float, delay_s=float, exempt=tuple)
    )


def _uploads(value: Value) -> Uploads:
    return Uploads(**given(value, stalled_s=float, flush=bool))
