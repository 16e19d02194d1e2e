"""An SFTP session of a client: its requests are read, done and answered in their order, until it ends."""

from collections.abc import Callable, Iterator
from typing import Protocol

from loguru import logger

from mftgit.adapters.clock import Clock
from mftgit.adapters.home import Home, HomeError
from mftgit.adapters.hosting import Download, Tally
from mftgit.adapters.sftp_serve_requests import Pieces, Requests
from mftgit.adapters.sftp_serve_stream import Answers
from mftgit.model import sftp_answer
from mftgit.model.names import AccountName
from mftgit.model.sftp_asked import Init
from mftgit.model.sftp_extension import ADVERTISED
from mftgit.model.sftp_frames import Frames
from mftgit.model.sftp_request import decode


class Attended(Protocol):
    """What a client sends, and what goes back to it."""

    def attend(self, answers: Answers) -> None:
        """See `mftgit.adapters.sftp_serve_stream.ServedStream.attend`."""


def serve(
    stream: Attended,
    home: Home,
    *,
    account: AccountName,
    downloaded: Callable[[Download], None],
    tally: Tally,
    clock: Clock,
    work: Callable[[], None],
) -> str:
    """Serve ``account`` out of ``home``, which is closed in the end; return why it ended.

    An upload that the client did not close gets no visible name, however the session ends. ``work`` is called while
    an answer takes long.
    """
    requests = Requests(
        home, account=account, downloaded=downloaded, tally=tally, clock=clock, work=work
    )
    try:
        stream.attend(_Session(requests, tally).answers)
        why = "the client left"
    except ValueError as error:
        why = f"the client does not speak SFTP: {error}"
    finally:
        requests.close()
        try:
            home.close()
        except HomeError as error:
            logger.warning(
                "{account}: not all was left in order: {why}", account=account, why=error
            )
    logger.debug("{account}: an SFTP session has ended: {why}", account=account, why=why)
    return why


class _Session:
    """What has been agreed on with a client, and what has come of its next packet."""

    def __init__(self, requests: Requests, tally: Tally) -> None:
        self._requests = requests
        self._tally = tally
        self._frames = Frames()
        self._begun = False

    def answers(self, arrived: bytes) -> Iterator[Pieces]:
        """Give the answers to what has come; raises ValueError where that cannot be understood."""
        self._tally.received_bytes += len(arrived)
        for packet in self._frames.feed(arrived):
            answer = self._answer(packet)
            self._tally.sent_bytes += sum(map(len, answer))
            yield answer

    def _answer(self, packet: memoryview) -> Pieces:
        asked = decode(packet)
        if not isinstance(asked, Init):
            if not self._begun:
                raise ValueError("a request came before the version was agreed on")
            return self._requests.answer(asked)
        if self._begun or asked.version < sftp_answer.VERSION:
            raise ValueError(f"version {asked.version} was asked for; it is 3, and said once")
        self._begun = True
        return (sftp_answer.version(ADVERTISED),)
