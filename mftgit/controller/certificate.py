"""The controller's server certificate: by the authority whose key is here, for every name that members know."""

import threading
from collections.abc import Callable
from datetime import datetime

from loguru import logger

from mftgit.adapters.durable import write_file
from mftgit.adapters.git.store import GitStore
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.adapters.tls import pki
from mftgit.errors import MftgitError
from mftgit.model.configuration.controller_line import host_of, read_host
from mftgit.model.documents.places import CLUSTER_FILE
from mftgit.model.names import Revision

ANY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104  recognised, not bound
MAX_HOSTS = 20
"""Names that the controller had before count too, the newest ones, so that who was away finds it."""

LOOK_EVERY_S = 5.0


class ServerCertificate:
    """Sees to it that what is shown fits: at the start, before a published revision is told, and every few seconds."""

    def __init__(
        self,
        folder: StateFolder,
        bootstrap: Bootstrap,
        store: GitStore,
        *,
        now: Callable[[], datetime],
    ) -> None:
        """Make the certificate fit the configuration that is published in ``store``; raises ConfigError."""
        self._folder = folder
        self._store = store
        self._now = now
        own = (host_of(bootstrap.controller_url), bootstrap.listen[0] if bootstrap.listen else None)
        self._own = tuple(each for each in (*own, "localhost") if each is not None)
        self._published: str | None = None
        self._reload: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="certificate", daemon=True)
        try:
            tip = store.head()
            self._published = None if tip is None else self._host(tip)
        except MftgitError as error:
            logger.warning("the controller's published name is not known", reason=str(error))
        self._renew()
        self._shown = folder.read(folder.tls_certificate)

    def start(self, reload: Callable[[], None]) -> None:
        """Begin to look; ``reload`` shows the certificate that is in the folder."""
        self._reload = reload
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def published(self, revision: Revision) -> None:
        """Take the name that ``revision`` gives the controller; members are told of it after that."""
        self._published = self._host(revision)
        self.look()

    def look(self) -> None:
        """Renew what does not fit any more, and show it; raises ConfigError."""
        with self._lock:
            self._renew()
            found = self._folder.read(self._folder.tls_certificate)
            if found != self._shown:
                self._reload()
                self._shown = found

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            try:
                self.look()
            except (MftgitError, OSError) as error:
                logger.bind(reason=str(error)).error("the server certificate is not seen to")

    def _renew(self) -> None:
        hosts = (*([self._published] if self._published else []), *self._own)
        if renew_certificate(self._folder, hosts=hosts, now=self._now()):
            logger.info("the server certificate was renewed", hosts=list(hosts))

    def _host(self, revision: Revision) -> str | None:
        entry = self._store.pick(revision, (CLUSTER_FILE,)).get(CLUSTER_FILE)
        return read_host(entry.load()) if entry else None


def renew_certificate(folder: StateFolder, *, hosts: tuple[str, ...], now: datetime) -> bool:
    """Issue a server certificate where there is none that holds for ``hosts`` for a while; tell whether that was done.

    A crash between its two files leaves no pair, and that none holds.
    """
    authority = signing_authority(folder)
    wanted = tuple(each for each in dict.fromkeys(hosts) if each not in ANY_ADDRESS)
    before: tuple[str, ...] = ()
    if folder.tls_certificate.exists() and folder.tls_key.exists():
        server = pki.KeyPair(
            certificate=folder.read(folder.tls_certificate), key=folder.read(folder.tls_key)
        )
        if pki.serves(server, authority, hosts=wanted, now=now):
            return False
        before = pki.hosts_of(server.certificate)
    names = tuple(dict.fromkeys((*wanted, *before)))[:MAX_HOSTS]
    fresh = pki.issue_server(authority, hosts=names, now=now)
    folder.write_secret(folder.tls_key, fresh.key)
    write_file(folder.tls_certificate, fresh.certificate)
    return True


def signing_authority(folder: StateFolder) -> pki.KeyPair:
    """Return the authority that issues, whose certificate lies beside its key: what members take may change.

    Raises:
        ConfigError: it is not there.
    """
    key = folder.read(folder.ca_key)
    authority = pki.find_authority(key, key, folder.read(folder.ca_file))
    if authority.certificate not in key:  # made by a version that kept it in ca.pem alone
        folder.write_secret(folder.ca_key, key + authority.certificate)
    return authority


def token_authority(folder: StateFolder) -> str:
    """Return the SHA-256 of the authority by which a new member is to know the controller.

    That is the one that issues here, unless members take others only, as those of a proxy.
    """
    own, taken = signing_authority(folder).certificate, folder.read(folder.ca_file)
    return pki.fingerprint(own if pki.pick(taken, pki.fingerprint(own)) else taken)
