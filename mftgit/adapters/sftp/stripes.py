"""Further sessions of one connection: for a large file to a partner who is far away, and for many small ones."""

from loguru import logger
from paramiko import sftp as wire

from mftgit.adapters.sftp.conversation import Conversation
from mftgit.adapters.sftp.folder import SftpFolder
from mftgit.adapters.sftp.overlap import Exchange
from mftgit.adapters.sftp.session import Session
from mftgit.adapters.sftp.wire import StatusError


class FurtherSessions:
    """Begun when they are first needed, and kept as long as the connection."""

    def __init__(self, conversation: Conversation, *, base: str) -> None:
        self._conversation = conversation
        self._base = base
        self._begun: list[tuple[Session, SftpFolder]] = []
        self._is_refused = False

    def up_to(self, count: int) -> list[tuple[Session, SftpFolder]]:
        """Return so many, each with its view of the location's folder; fewer where the server lets us not."""
        missing = count - len(self._begun)
        if missing > 0 and not self._is_refused:
            self._begin(missing)
        return self._begun[:count]

    def _begin(self, missing: int) -> None:
        server = self._conversation.server
        sessions = self._conversation.further(missing)
        for session in sessions:
            session.extensions &= self._conversation.session.extensions
            self._begun.append((session, SftpFolder(session, base=self._base, server=server)))
        if len(sessions) < missing:
            self._is_refused = True
            logger.info(
                "the connection has fewer channels than wanted",
                server=server,
                channels=len(self._begun) + 1,
            )


class Stripes:
    """The sessions over which one large file is sent.

    There are none where the server is near, where it is not OpenSSH, whose processes are known to write into one file
    side by side, or where ``channels``, with the first one, is 1.
    """

    def __init__(self, first: Session, further: FurtherSessions, *, channels: int) -> None:
        self._further = further
        self._wanted = channels - 1 if first.is_far else 0

    def open(self, path: str) -> list[tuple[Session, bytes]]:
        """Return sessions, each with a handle of the file ``path``, which is there."""
        opening = []
        for session, folder in self._further.up_to(self._wanted):
            exchange = folder.open(folder.remote(path), wire.SFTP_FLAG_WRITE)
            next(exchange)
            session.flush()
            opening.append((session, exchange))
        return [
            (session, handle)
            for session, exchange in opening
            if (handle := _opened(exchange)) is not None
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
