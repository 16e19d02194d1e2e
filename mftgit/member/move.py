"""Reach the controller as the configuration says: tried on the side, and gone over to only where it works.

A kill between any two steps leaves one of these, and in each the member gets in. What is tried is the address U and
the authorities A; before, they were u and a:

| bootstrap.json | ca.pem | the member gets in by |
|---|---|---|
| u | a | the old line: the trial changes nothing |
| u | a and A | the old line |
| U | a and A | the new line, which was tried |
| U | A | the new line |

Only the last one is at rest; from the others the next trial goes on. The trial is part of what a revision has to show
(`mftgit.member.probes`); a member goes over once that is confirmed, and tries again at each look if it could not.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime

from loguru import logger

from mftgit.adapters.channel import Channel, ControllerRefusedError
from mftgit.adapters.durable import write_file
from mftgit.adapters.proof import Prover
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.adapters.tls import pki
from mftgit.errors import ConfigError, MftgitError, TransientError
from mftgit.member.followed import ReplacedError, require_followed
from mftgit.member.told import Told
from mftgit.model.configuration.config import Generation
from mftgit.model.configuration.controller_line import ControllerLine, fingerprints, together
from mftgit.model.events.event import EventName
from mftgit.model.members.incarnation import Shown
from mftgit.model.members.messages import NOT_PROVED, Head, LineStatus
from mftgit.model.names import Revision


class MoveFailedError(TransientError):
    """The controller is not reached as the configuration says; the line before stays in use."""


class Move:
    """Takes a member over to another line."""

    def __init__(
        self,
        folder: StateFolder,
        *,
        now: Callable[[], datetime],
        moved: Callable[[Bootstrap], None],
        told: Told,
        is_behind: Callable[[Revision], bool],
        shown: Callable[[], Shown] = Shown,
    ) -> None:
        """Change the line of ``folder``; ``moved`` takes the running member over, and ``told`` writes it down.

        ``is_behind`` tells whether this member has a revision behind it, ``shown`` which controller it followed last.
        """
        self._folder = folder
        self._now = now
        self._moved = moved
        self._told = told
        self._is_behind = is_behind
        self._shown = shown
        self._read: tuple[int, ...] = ()
        self._status: LineStatus | None = None
        self._failed: str | None = None

    @property
    def status(self) -> LineStatus | None:
        """Return by which line the member goes; None where its folder does not say."""
        changed = self._changed()
        if (
            self._status is None or changed != self._read
        ):  # an administrator may have written another one
            try:
                url, pem = self._present()
            except ConfigError:
                return None
            self._status, self._read = LineStatus(url=url, ca=fingerprints(pem)), changed
        return self._status

    def _changed(self) -> tuple[int, ...]:
        try:
            places = (self._folder.bootstrap_file, self._folder.ca_file)
            return tuple(place.stat().st_mtime_ns for place in places)
        except OSError:
            return ()

    def wanted(self, line: ControllerLine) -> bool:
        """Tell whether ``line`` says something else than what is in use; raises ConfigError."""
        url, pem = self._present()
        return line.url not in {None, url} or bool(
            line.ca and set(line.ca) != set(fingerprints(pem))
        )

    def try_out(self, line: ControllerLine, *, seq: int) -> None:
        """Ask for the head by ``line`` with this member's own proof; ``seq`` is that of a head seen before.

        That number alone tells no old copy of the controller: one that is started has the present time's.

        Raises:
            ConfigError: what ``line`` calls an authority is none.
            MoveFailedError: no answer, not over a trusted connection, or not of this cluster as it is.
        """
        url, pem = self._following(line)
        try:
            if line.ca:
                pki.check_authorities(pem.encode(), now=self._now())
            head = self._head(url, pem)
        except (ControllerRefusedError, TransientError) as error:
            raise MoveFailedError(str(error)) from error
        if head is not None:
            self._require_followed(url, head)
        if head is None or head.seq < seq or self._is_behind(head.oid):
            raise MoveFailedError(
                f"{url}: who answers there is behind this cluster's controller: an old copy of it, perhaps"
            )

    def _require_followed(self, url: str, head: Head) -> None:
        cluster_id = self._folder.read_bootstrap().cluster_id
        ca_pem = self._folder.ca_file.read_bytes()
        try:
            require_followed(self._shown(), head.shown, cluster_id=cluster_id, ca_pem=ca_pem)
        except ReplacedError as error:
            raise MoveFailedError(f"{url}: {error}") from error

    def adopt(self, line: ControllerLine) -> None:
        """Go over to ``line``, which was tried; raises MftgitError, and then the table above says what is in use."""
        before, pem = self._present()
        url, following = self._following(line)
        bootstrap = replace(self._folder.read_bootstrap(), controller_url=url)
        try:
            if url != before:
                self._trust(together(pem, following))
                self._folder.write_bootstrap(bootstrap)
            self._trust(following)
        except OSError as error:
            raise MftgitError(
                f"{self._folder.root}: cannot be written: {error.strerror}: the controller is reached as before"
            ) from error
        self._status = LineStatus(url=url, ca=fingerprints(following))
        self._moved(bootstrap)
        self._told(EventName.CONTROLLER_MOVED, facts=self._status.as_json())

    def follow(self, generation: Generation | None, *, seq: int) -> None:
        """Go over to the line of what runs; where that does not work now, the one before stays in use."""
        if generation is None:
            return
        try:
            self.go_over(generation.cluster.controller, seq=seq)
        except MftgitError as error:
            if str(error) != self._failed:
                logger.warning("the controller is reached as before", error=str(error))
            self._failed = str(error)
        else:
            self._failed = None

    def go_over(self, line: ControllerLine, *, seq: int) -> bool:
        """Try ``line`` and adopt it, where it is another one; tell whether it was. Raises as both."""
        if not self.wanted(line):
            return False
        self.try_out(line, seq=seq)
        self.adopt(line)
        return True

    def _present(self) -> tuple[str, str]:
        pem = self._folder.read(self._folder.ca_file).decode(errors="replace")
        return self._folder.read_bootstrap().controller_url, pem

    def _following(self, line: ControllerLine) -> tuple[str, str]:
        url, pem = self._present()
        return line.url or url, together(line.ca_pem, "") if line.ca else pem

    def _trust(self, pem: str) -> None:
        if self._folder.ca_file.read_bytes() != pem.encode():
            write_file(self._folder.ca_file, pem.encode())

    def _head(self, url: str, pem: str) -> Head | None:
        own = self._folder.read_bootstrap()
        key = self._folder.read(self._folder.member_key)
        prover = Prover(member=own.name, cluster_id=own.cluster_id, key=key, now=self._now)
        with closing(Channel(url, ca_file=pem.encode(), headers=prover.headers)) as channel:
            try:
                return channel.head(None, self._shown())
            except ControllerRefusedError as error:
                if error.status != NOT_PROVED or channel.is_member(own.name, prover.public_key):
                    raise
                raise MoveFailedError(
                    f"{error}: who answers there does not know this member, so that it is not this cluster's controller"
                ) from error
