"""From a location to a share: its password, the dialect, the login by NTLM, the share."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from smbprotocol import Dialects
from smbprotocol.exceptions import (
    SMBAuthenticationError,
    SMBException,
    SMBResponseException,
)
from smbprotocol.session import Session
from smbprotocol.tree import TreeConnect

from mftgit.adapters.endpoint.contract import EndpointLostError, EndpointRefusedError, LoginError
from mftgit.adapters.location_secrets import Values, name_of, read_password
from mftgit.adapters.smb.connection import GuardedConnection
from mftgit.adapters.smb.share import Share
from mftgit.adapters.smb.status import (
    ACCESS_DENIED,
    BAD_NETWORK_NAME,
    NOT_SUPPORTED,
    kind_of,
    status_of,
    words_of,
)
from mftgit.errors import MftgitError
from mftgit.model.locations.smb import SmbLocation
from mftgit.model.secrets.value import SecretValue

STAGES: Final = ("read secrets", "connect", "log in", "open the share")
"""What is done one after the other until files can be asked for. Connecting includes the dialect."""

_SAFE: Final = (Dialects.SMB_3_0_0, Dialects.SMB_3_0_2, Dialects.SMB_3_1_1)


def server_of(location: SmbLocation) -> str:
    """Return what messages call the server of ``location``."""
    return f"{location.host}:{location.port}"


def prepare(location: SmbLocation, *, secrets_dir: Path, values: Values) -> SecretValue:
    """Return the password of ``location``.

    Raises:
        ConfigError: it is missing, empty, unreadable, or open to other users of this machine.
    """
    return SecretValue(read_password(location.password, secrets_dir=secrets_dir, values=values))


def open_share(
    location: SmbLocation,
    *,
    secrets_dir: Path,
    values: Values,
    passed: Callable[[str], None],
) -> Share:
    """Connect to ``location``, log in and open its share; ``passed`` is told of each of `STAGES`.

    Raises:
        ConfigError: the password is missing, empty, unreadable, or open to other users of this machine.
        LoginError: the server does not take user and password, or takes us for a guest.
        EndpointRefusedError: the server has no SMB 3, no encryption where that is asked for, or no such share for us.
        EndpointLostError: it cannot be reached or does not answer in time.
    """
    password = prepare(location, secrets_dir=secrets_dir, values=values)
    passed(STAGES[0])
    connection = GuardedConnection(
        location.host, location.port, connect_s=location.connect_s, send_s=location.timeout_s
    )
    try:
        _agree(connection, location)
        passed(STAGES[1])
        session = _log_in(connection, location, password)
        passed(STAGES[2])
        share = _open(connection, session, location)
    except BaseException:
        connection.disconnect()
        raise
    connection.answer_s = location.timeout_s
    passed(STAGES[3])
    return share


def _agree(connection: GuardedConnection, location: SmbLocation) -> None:
    server = server_of(location)
    old = f"{server} speaks no SMB 3, and nothing older is safe: let it be switched on there"
    with _telling(server, {NOT_SUPPORTED: EndpointRefusedError(old)}):
        connection.open()
    if connection.dialect not in _SAFE:
        raise EndpointRefusedError(old)
    if location.encrypt and not connection.supports_encryption:
        raise EndpointRefusedError(
            f"{server} has no encryption: let it be switched on there, or have encrypt: false in "
            f"locations/{location.name}.yaml where nobody on the way may read along"
        )


def _log_in(connection: GuardedConnection, location: SmbLocation, password: SecretValue) -> Session:
    user = (
        location.username if location.domain is None else f"{location.domain}\\{location.username}"
    )
    session = Session(
        connection,
        user,
        password.reveal(),
        require_encryption=location.encrypt,
        auth_protocol="ntlm",
    )
    with _telling(server_of(location)):
        try:
            session.connect()
        except SMBResponseException as error:
            if kind_of(status_of(error)) is EndpointLostError:
                raise
            raise _not_in(location, words_of(status_of(error))) from error
        except SMBAuthenticationError as error:
            raise _not_in(location, str(error)) from error
        except SMBException as error:
            if session.session_id is not None:
                raise
            raise _not_in(location, "it takes us in as a guest") from error
        finally:
            session.password = None
    return session


def _not_in(location: SmbLocation, why: str) -> LoginError:
    return LoginError(
        f"{server_of(location)} does not let {location.username!r} in: {why}: check username and domain of "
        f"locations/{location.name}.yaml and the password in {name_of(location.password)}"
    )


def _open(connection: GuardedConnection, session: Session, location: SmbLocation) -> Share:
    server, share = server_of(location), location.share
    tree = TreeConnect(session, f"\\\\{location.host}\\{share}")
    refused = {
        BAD_NETWORK_NAME: EndpointRefusedError(f"{server} has no share {share!r}"),
        ACCESS_DENIED: EndpointRefusedError(
            f"{server} does not let {location.username!r} use the share {share!r}: "
            "let the user be given the right there, or have encrypt: true where the share wants that"
        ),
    }
    with _telling(server, refused):
        tree.connect(require_secure_negotiate=True)
    if tree.is_dfs_share:
        raise EndpointRefusedError(
            f"{server}: the share {share!r} leads elsewhere by DFS, which is not followed: "
            "name the server and the share that have the files"
        )
    return Share(connection, session, tree, server=server)


@contextmanager
def _telling(server: str, refused: Mapping[int, MftgitError] | None = None) -> Iterator[None]:
    """Turn what the library raises into the errors of endpoints; ``refused`` says what statuses mean here."""
    try:
        yield
    except MftgitError:
        raise
    except SMBResponseException as error:
        status = status_of(error)
        known = (refused or {}).get(status)
        raise known or kind_of(status)(f"{server}: {words_of(status)}") from error
    except Exception as error:  # whatever the answer of a server makes the library raise
        raise EndpointLostError(f"{server} cannot be reached by SMB 3: {error}") from error
