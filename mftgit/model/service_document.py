"""A service as its document says it."""

from mftgit.model.given import Value, given
from mftgit.model.login import SecretRef
from mftgit.model.names import SecretName, ServiceName
from mftgit.model.service import Defence, Listen, ServiceLimits, SftpService, Uploads
from mftgit.model.sftp_document import build_algorithms


def build_service(name: ServiceName, value: Value) -> SftpService:
    """Return what ``services/NAME.yaml`` says, once its templates are replaced."""
    proxies = value.get("proxy_protocol", {}).get("from", ())
    return SftpService(
        name=name,
        listen=_listen(value["listen"]),
        host_keys=tuple(
            SecretRef(**given(each, file=str, secret=SecretName)) for each in value["host_keys"]
        ),
        proxies=tuple(proxies),
        **given(
            value,
            algorithms=build_algorithms,
            banner=str,
            health=_listen,
            drain_s=float,
            limits=_limits,
            defence=_defence,
            uploads=_uploads,
            processes=int,
        ),
    )


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
