"""Further sessions of one connection, over which a large file is sent to a partner who is far away."""

from typing import Final

from loguru import logger
from paramiko import sftp as wire

from mftgit.adapters.sftp_conversation import Conversation
from mftgit.adapters.sftp_folder import SftpFolder
from mftgit.adapters.sftp_overlap import Exchange
from mftgit.adapters.sftp_session import Session
from mftgit.adapters.sftp_wire import StatusError
from mftgit.model.location import SftpLocation

FAR_S: Final = 0.01
"""From this round trip on one channel of OpenSSH's server carries less than a fast line: 2 MiB in each (ADR 19)."""


class Stripes:
    """Begun when they are first needed, and kept as long as the connection.

    There are none where the server is near, where it is not OpenSSH, whose processes are known to write into one file
    side by side, or where ``location.channels`` is 1.
    """

    def __init__(self, conversation: Conversation, location: SftpLocation) -> None:
        self._conversation = conversation
        self._base = location.path
        session = conversation.session
        is_far = session.round_trip_s >= FAR_S and session.is_openssh
        self._wanted = location.channels - 1 if is_far else 0
        self._begun: list[tuple[Session, SftpFolder]] = []

    def open(self, path: str) -> list[tuple[Session, bytes]]:
        """Return sessions, each with a handle of the file ``path``, which is there."""
        if self._wanted:
            self._begin()
        opening = []
        for session, folder in self._begun:
            exchange = folder.open(folder.remote(path), wire.SFTP_FLAG_WRITE)
            next(exchange)
            session.flush()
            opening.append((session, exchange))
        return [
            (session, handle)
            for session, exchange in opening
            if (handle := _opened(exchange)) is not None
        ]

    def _begin(self) -> None:
        sessions = self._conversation.further(self._wanted)
        if len(sessions) < self._wanted:
            logger.info(
                "the server lets us have fewer channels than channels says",
                server=self._conversation.server,
                channels=len(sessions) + 1,
            )
        self._wanted = 0
        self._begun = [
            (each, SftpFolder(each, base=self._base, server=self._conversation.server))
            for each in sessions
        ]


def _opened(exchange: Exchange[bytes]) -> bytes | None:
    try:
        next(exchange)
    except StopIteration as end:
        handle: bytes = end.value
        return handle
    except StatusError:
        pass
    return None
