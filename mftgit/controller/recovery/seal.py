"""Seal what a lost controller is made anew from, and hand it to every member to keep."""

import json
import threading
import zlib
from collections.abc import Callable

from loguru import logger

from mftgit.adapters import age
from mftgit.adapters.clock import Clock, rfc3339
from mftgit.adapters.durable import write_file
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.registry.registry import Registry
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.errors import ConfigError, MftgitError
from mftgit.model.members.recovery import (
    CARRIED_FILES,
    MAX_SEALED_BYTES,
    Bundle,
    KeptBundle,
    format_bundle,
    parse_kept,
)

LOOK_EVERY_S = 5.0
AGAIN_S = 86_400.0
"""A bundle is made anew after so long also where nothing changed: it tells how far events and heads were counted."""


def recipients(folder: StateFolder) -> tuple[str, ...]:
    """Return the public keys that bundles are sealed for; none where no recovery key was made."""
    try:
        lines = folder.recovery_recipients.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder.recovery_recipients}: cannot be read: {error}") from error
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def is_recoverable(folder: StateFolder) -> bool:
    """Tell whether there is a recovery key; a damaged list of its public halves is as none."""
    try:
        return bool(recipients(folder))
    except ConfigError:
        return False


class Recovery:
    """One thread that looks whether another bundle is due."""

    def __init__(
        self,
        folder: StateFolder,
        bootstrap: Bootstrap,
        registry: Registry,
        events: EventStore,
        *,
        clock: Clock,
        renewed: Callable[[], None],
    ) -> None:
        """Call ``renewed`` when members have something new to keep."""
        self._folder = folder
        self._bootstrap = bootstrap
        self._registry = registry
        self._events = events
        self._clock = clock
        self._renewed = renewed
        self._made: tuple[object, ...] | None = None
        self._made_s = 0.0
        self._newest: KeptBundle | None = _kept(folder)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recovery", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        if not recipients(self._folder):
            logger.warning(
                "there is no recovery key: a lost controller cannot be made anew from a member without every member "
                "joining again; make one: mftgit controller recovery-key --new"
            )
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def after(self, number: int) -> KeptBundle | None:
        """Return the newest bundle, where its number is above ``number``."""
        newest = self._newest
        return newest if newest is not None and newest.number > number else None

    def _run(self) -> None:
        failed = ""
        while not self._stopping.is_set():
            try:
                self.look()
                failed = ""
            except (MftgitError, OSError) as error:
                if str(error) != failed:
                    logger.bind(reason=str(error)).error("no recovery bundle could be made")
                failed = str(error)
            self._stopping.wait(LOOK_EVERY_S)

    def look(self) -> None:
        """Make another bundle where that is due."""
        sealed_for = recipients(self._folder)
        if not sealed_for:
            return
        bundle, now_s = self._bundle(), self._clock.boottime()
        content = (sealed_for, *bundle.content())
        if content == self._made and now_s - self._made_s < AGAIN_S:
            return
        sealed = age.encrypt(zlib.compress(format_bundle(bundle)), sealed_for)
        if len(sealed) > MAX_SEALED_BYTES:
            raise ConfigError(f"it would have {len(sealed)} bytes: members keep {MAX_SEALED_BYTES}")
        before = self._newest.number if self._newest else 0
        number = max(before + 1, int(self._clock.now().timestamp() * 1000))
        newest = KeptBundle(number=number, sealed=sealed)
        write_file(self._folder.recovery, json.dumps(newest.as_json()).encode(), mode=0o600)
        self._newest, self._made, self._made_s = newest, content, now_s
        self._renewed()

    def _bundle(self) -> Bundle:
        own, head = self._bootstrap, self._registry.head()
        places = {name: self._folder.root / name for name in CARRIED_FILES}
        return Bundle(
            cluster_id=own.cluster_id,
            name=own.name,
            url=own.controller_url,
            listen=own.listen or ("127.0.0.1", 8443),
            made_at=rfc3339(self._clock.now()),
            seq=head.seq if head else 0,
            incarnation=head.incarnation if head else 0,
            last_event=self._events.last_seq(own.name),
            files={name: path.read_text("utf-8") for name, path in places.items() if path.exists()},
            records=self._registry.carried(),
        )


def _kept(folder: StateFolder) -> KeptBundle | None:
    """Return the bundle that was made last; one that is damaged is made anew."""
    try:
        return parse_kept(json.loads(folder.recovery.read_bytes()))
    except (OSError, ValueError):
        return None
