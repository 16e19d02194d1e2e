"""One object store, asked in the operations of S3: keys out of our secrets alone, and the errors of `Endpoint`.

botocore is an extra (``pip install 'mftgit[s3]'``) and is imported when the first such location is used: it takes
40 MiB of memory.
"""

import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from mftgit.adapters.clock import Clock
from mftgit.adapters.endpoint.contract import EndpointLostError, FileMissingError, LoginError
from mftgit.adapters.location_secrets import Values, read_password
from mftgit.adapters.s3.errors import SlowDownError, meaning
from mftgit.adapters.s3.transport import Transport
from mftgit.adapters.tls.client import client_context, require_pinned
from mftgit.errors import ConfigError
from mftgit.model.locations.s3_location import Addressing, Machine, S3Location
from mftgit.model.secrets.value import SecretValue

T = TypeVar("T")

_TRIES: Final = 4
_WAIT_S: Final = 0.2  # doubled with each further try
_REPEATED: Final = frozenset(
    {
        "head_object",
        "get_object",
        "list_objects_v2",
        "list_multipart_uploads",
        "list_parts",
        "upload_part",
        "upload_part_copy",
        "abort_multipart_upload",
    }
)
"""What is asked again where the answer was lost, since it then does and tells the same."""

_ROLE_S: Final = 2.0  # in which the machine's own service answers
_ROLE_URL: Final = "http://169.254.169.254/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What a store is asked with; without keys by the role of the machine."""

    context: ssl.SSLContext
    access_key_id: str | None = None
    secret_access_key: SecretValue | None = None
    session_token: SecretValue | None = None


def prepare(location: S3Location, *, secrets_dir: Path, values: Values) -> Login:
    """Return what is needed on this machine to ask ``location``, with its secrets read.

    Raises:
        ConfigError: a secret is missing, empty, unreadable, or open to other users of this machine; botocore is not
            installed; or ``ca`` is no certificate.
    """
    if find_spec("botocore") is None:
        raise ConfigError(
            f"locations/{location.name}.yaml is of the type s3, for which this member lacks botocore: "
            "install mftgit[s3] on it"
        )
    context = client_context(
        f"locations/{location.name}.yaml", ca=location.ca, fingerprints=location.fingerprints
    )
    auth = location.auth
    if isinstance(auth, Machine):
        return Login(context=context)
    token = auth.session_token
    return Login(
        context=context,
        access_key_id=auth.access_key_id,
        secret_access_key=SecretValue(
            read_password(auth.secret_access_key, secrets_dir=secrets_dir, values=values)
        ),
        session_token=None
        if token is None
        else SecretValue(read_password(token, secrets_dir=secrets_dir, values=values)),
    )


class Store:
    """The bucket of one location. For several threads; `close` ends what they wait for."""

    def __init__(self, location: S3Location, login: Login, *, clock: Clock | None = None) -> None:
        self.name = f"bucket {location.bucket} at {urlsplit(location.url).netloc}"
        self._bucket = location.bucket
        url = urlsplit(location.url)
        if location.addressing is Addressing.VIRTUAL:
            url = url._replace(netloc=f"{location.bucket}.{url.netloc}")
        self._transport = Transport(
            name=self.name,
            url=url.geturl(),
            context=login.context,
            require=lambda line: require_pinned(
                line, location.fingerprints, server=self.name, name=location.name
            ),
            timeout_s=location.timeout_s,
            connect_s=location.connect_s,
            clock=clock,
        )
        self._client = self._telling_of_keys(lambda: _client(location, login, self._transport))

    @property
    def is_open(self) -> bool:
        """Whether it has not been closed."""
        return not self._transport.closed.is_set()

    def ask(self, operation: str, about: str, **fields: Any) -> Mapping[str, Any]:
        """Carry out ``operation``, in the words of botocore, and return its answer; ``about`` is the path at hand.

        What was surely not done, and what does no harm done twice, is asked for up to four times.

        Raises:
            LoginError: the store does not know the keys.
            EndpointLostError: it does not answer, or with what is not S3.
            MftgitError: see `s3.errors.meaning`.
        """
        call: Callable[..., Mapping[str, Any]] = getattr(self._client, operation)
        for tried in range(_TRIES):
            try:
                return self._ask_once(call, about, fields)
            except EndpointLostError as error:
                again = isinstance(error, SlowDownError) or operation in _REPEATED
                if not again or tried == _TRIES - 1:
                    raise
            if self._transport.closed.wait(_WAIT_S * 2**tried):
                raise EndpointLostError(f"{self.name}: the connection was closed")
        raise AssertionError

    def _ask_once(
        self, call: Callable[..., Mapping[str, Any]], about: str, fields: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  an extra

        try:
            with self._transport.telling():
                return self._telling_of_keys(lambda: call(Bucket=self._bucket, **fields))
        except ClientError as error:
            raise meaning(error.response, f"{self.name}: {about!r}") from error
        except BotoCoreError as error:
            said = str(error)[:300]
            raise EndpointLostError(f"{self.name} answers with what is not S3: {said}") from error

    def _telling_of_keys(self, call: Callable[[], T]) -> T:
        """Tell that the machine has no role, where it is to log in by that."""
        from botocore.exceptions import (  # noqa: PLC0415  an extra
            CredentialRetrievalError,
            MetadataRetrievalError,
            NoCredentialsError,
        )

        try:
            return call()
        except (NoCredentialsError, CredentialRetrievalError, MetadataRetrievalError) as error:
            raise LoginError(
                f"{self.name}: this machine has no role to log in with: "
                "have its cloud give it one, or name keys in auth"
            ) from error

    def is_there(self, key: str, about: str) -> bool:
        """Tell whether there is an object of this key."""
        try:
            self.ask("head_object", about, Key=key)
        except FileMissingError:
            return False
        return True

    def reading(self) -> Any:
        """Turn what goes wrong while an object is read into `EndpointLostError`."""
        return self._transport.telling()

    def close(self) -> None:
        """End all connections, whoever waits for them."""
        self._transport.close()


@cache
def _descriptions() -> Any:
    """Return what reads botocore's descriptions of services, once for all clients: it takes a tenth of a second."""
    import botocore.loaders  # noqa: PLC0415  an extra

    return botocore.loaders.Loader(
        extra_search_paths=[botocore.loaders.Loader.BUILTIN_DATA_PATH],
        include_default_search_paths=False,  # one of them is in the home folder
    )


def _client(location: S3Location, login: Login, transport: Transport) -> Any:
    """Return a client that knows nothing of this machine's environment and of files in its home folder."""
    import botocore.config  # noqa: PLC0415  an extra
    import botocore.configprovider  # noqa: PLC0415
    import botocore.session  # noqa: PLC0415

    session = botocore.session.Session()
    session.register_component("data_loader", _descriptions())
    variables = botocore.configprovider.BOTOCORE_DEFAUT_SESSION_VARIABLES
    settings = {name: default for name, (_, _, default, _) in variables.items()}
    settings |= {"config_file": os.devnull, "credentials_file": os.devnull}
    session.register_component(
        "config_store",
        botocore.configprovider.ConfigValueStore(
            {
                name: botocore.configprovider.ConstantProvider(value)
                for name, value in settings.items()
            }
        ),
    )
    client = session.create_client(
        "s3",
        region_name=location.region,
        endpoint_url=location.url,
        config=botocore.config.Config(
            signature_version="s3v4",
            retries={"total_max_attempts": 1, "mode": "standard"},
            s3={"addressing_style": location.addressing.value, "payload_signing_enabled": True},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            ignore_configured_endpoint_urls=True,
        ),
        **_credentials(session, login),
    )
    client.meta.events.register("before-send.s3", transport.send)
    return client


def _credentials(session: Any, login: Login) -> dict[str, Any]:
    from botocore.credentials import (  # noqa: PLC0415  an extra
        CredentialResolver,
        InstanceMetadataProvider,
    )
    from botocore.httpsession import URLLib3Session  # noqa: PLC0415
    from botocore.utils import InstanceMetadataFetcher  # noqa: PLC0415

    if login.secret_access_key is None:
        fetcher = InstanceMetadataFetcher(
            timeout=_ROLE_S, base_url=_ROLE_URL, env={}, config={"ec2_metadata_v1_disabled": True}
        )
        # It asks by the proxies of the environment otherwise, in plain text, for what a proxy could use and change.
        fetcher._session = URLLib3Session(timeout=_ROLE_S)  # noqa: SLF001  botocore has no other word for it
        role = InstanceMetadataProvider(iam_role_fetcher=fetcher)
        session.register_component("credential_provider", CredentialResolver([role]))
        return {}
    token = login.session_token
    return {
        "aws_access_key_id": login.access_key_id,
        "aws_secret_access_key": login.secret_access_key.reveal(),
        "aws_session_token": None if token is None else token.reveal(),
    }
