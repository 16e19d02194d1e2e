"""Requests of an SFTP client, answered one by one out of an account's home."""

from collections.abc import Callable, Mapping
from typing import Final

from mftgit.adapters.clock import Clock
from mftgit.adapters.home.contract import Home, HomeError
from mftgit.adapters.hosting import Download, Tally, TellUpload
from mftgit.adapters.sftp_server.files import MOST_DATA_BYTES, FileRequests
from mftgit.adapters.sftp_server.handles import MOST_HANDLES, Handles
from mftgit.adapters.sftp_server.paths import PathRequests
from mftgit.adapters.sftp_server.told import Do, Pieces, refusal
from mftgit.adapters.ssh_server.awaited import Awaited
from mftgit.model.names import AccountName
from mftgit.model.sftp import answer as sftp_answer
from mftgit.model.sftp import asked as sftp_asked
from mftgit.model.sftp.fields import Status
from mftgit.model.sftp.frames import MOST_PACKET_BYTES

_Table = Mapping[type[sftp_asked.Request], Do[Pieces | Awaited | None]]


class Requests:
    """One session of ``account``; used by one thread."""

    def __init__(
        self,
        home: Home,
        *,
        account: AccountName,
        downloaded: Callable[[Download], None],
        tell_upload: TellUpload | None = None,
        tally: Tally,
        clock: Clock,
        work: Callable[[], None],
    ) -> None:
        self._home = home
        self._handles = Handles()
        files = FileRequests(
            home,
            self._handles,
            downloaded=downloaded,
            tell_upload=tell_upload,
            tally=tally,
            clock=clock,
            work=work,
        )
        paths = PathRequests(home, self._handles, account=account, clock=clock)
        self._answers = {**_OF_NO_FILE, **files.answers(), **paths.answers()}
        self._at_once: _Table = {**_OF_NO_FILE, **paths.at_once()}
        self._near_at_once: _Table = {**files.near_at_once(), **paths.near_at_once()}

    def answer(self, asked: sftp_asked.Request) -> Pieces:
        """Do what is asked, and return the answer."""
        try:
            return self._answers[type(asked)](asked)
        except HomeError as error:
            return refusal(asked, error)

    def answer_at_once(self, asked: sftp_asked.Request) -> Pieces | Awaited | None:
        """Do what is asked, where it cannot take long, and return the answer; None where it may take long."""
        try:
            do = self._at_once.get(type(asked), _later)
            if do is _later and self._home.is_near:
                do = self._near_at_once.get(type(asked), _later)
            return do(asked)
        except HomeError as error:
            return refusal(asked, error)

    def close(self) -> None:
        """Abandon what is open."""
        self._handles.abandon()


def _later(_asked: sftp_asked.Request) -> None:
    """Leave it to who has time."""


def _malformed(asked: sftp_asked.Malformed) -> Pieces:
    return (sftp_answer.status(asked.number, Status.BAD_MESSAGE, asked.why),)


def _unsupported(asked: sftp_asked.Unsupported) -> Pieces:
    return (sftp_answer.status(asked.number, Status.OP_UNSUPPORTED, asked.why),)


def _limits(asked: sftp_asked.Limits) -> Pieces:
    answer = sftp_answer.limits(
        asked.number,
        packet_bytes=MOST_PACKET_BYTES,
        data_bytes=MOST_DATA_BYTES,
        handles=MOST_HANDLES,
    )
    return (answer,)


_OF_NO_FILE: Final[Mapping[type[sftp_asked.Request], Do[Pieces]]] = {
    sftp_asked.Malformed: _malformed,
    sftp_asked.Unsupported: _unsupported,
    sftp_asked.Limits: _limits,
}
