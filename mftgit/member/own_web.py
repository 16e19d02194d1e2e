"""Where a member tells of itself by HTTP: as its document says, from one revision to the next."""

from collections.abc import Mapping
from typing import Final

from loguru import logger

from mftgit.adapters.plain_http import Bounds, PlainHttp, Spot
from mftgit.errors import ConfigError
from mftgit.member.inbound.sockets import Sockets
from mftgit.model.configuration.config import Generation
from mftgit.model.inbound.service import Listen

_BOUNDS: Final = Bounds(head_bytes=16 << 10, within_s=20.0)  # browsers send long heads


class OwnWeb:
    """The one server for it. One thread prepares, applies and tries again."""

    def __init__(self, spots: Mapping[str, Spot]) -> None:
        """Answer by ``spots``; it listens nowhere yet."""
        self._spots = spots
        self._sockets = Sockets()
        self._wanted: Listen | None = None
        self._running: tuple[Listen, PlainHttp] | None = None
        self._failing: str | None = None

    def prepare(self, generation: Generation, *, fresh: bool) -> None:
        """See that it can listen as ``generation`` says; what runs is not touched.

        What has run before on this member is no reason to refuse: it is tried again later.

        Raises:
            ConfigError: it cannot, and ``fresh`` says that this was never run here.
        """
        self._sockets.take_back()
        wanted = _place(generation)
        if wanted is None:
            return
        try:
            self._sockets.try_out(wanted)
        except ConfigError as error:
            if fresh:
                raise ConfigError(f"web: {error}") from error

    def apply(self, generation: Generation) -> None:
        """Listen as ``generation`` says, and nowhere else."""
        self._wanted = _place(generation)
        self._serve()

    def try_again(self) -> None:
        """Listen where it could not before; take back what was prepared and never applied."""
        self._serve()

    def stop(self) -> None:
        """Listen nowhere from now on."""
        self._wanted = None
        self._serve()

    def _serve(self) -> None:
        wanted, running = self._wanted, self._running
        if running is not None and running[0] != wanted:
            running[1].stop()
            self._running = running = None
            self._sockets.keep(())
        if wanted is None or running is not None:
            self._sockets.take_back()
            return
        try:
            listening = self._sockets.get(wanted)
        except ConfigError as error:
            self._tell(str(error))
            return
        self._tell(None)
        self._sockets.keep((wanted,))
        server = PlainHttp(listening, self._spots, bounds=_BOUNDS, name="own-web")
        self._running = wanted, server
        server.start()

    def _tell(self, why: str | None) -> None:
        if why is not None and why != self._failing:
            logger.bind(error=why).error("the member's own page is not there; it is tried again")
        self._failing = why


def _place(generation: Generation) -> Listen | None:
    web = generation.member.web
    return None if web is None else web.listen
