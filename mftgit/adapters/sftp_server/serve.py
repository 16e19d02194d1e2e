"""An SFTP session of a client: its requests are read, done and answered in their order, until it ends."""

from collections.abc import Callable, Iterator
from typing import Protocol

from loguru import logger

from mftgit.adapters.clock import Clock
from mftgit.adapters.home.contract import Home, HomeError
from mftgit.adapters.hosting import Answering, Download, Tally, TellUpload
from mftgit.adapters.sftp_server.requests import Requests
from mftgit.adapters.sftp_server.told import Pieces
from mftgit.adapters.ssh_server.awaited import Awaited
from mftgit.adapters.ssh_server.stream import Answer, Answers
from mftgit.model.names import AccountName
from mftgit.model.sftp import answer as sftp_answer
from mftgit.model.sftp.asked import Close, Init, Request
from mftgit.model.sftp.extension import ADVERTISED
from mftgit.model.sftp.frames import Frames
from mftgit.model.sftp.request import decode


class Attended(Protocol):
    """What a client sends, and what goes back to it."""

    def attend(self, answers: Answers) -> None:
        """See `mftgit.adapters.ssh_server.stream.ServedStream.attend`."""


def serve(
    stream: Attended,
    home: Home,
    *,
    account: AccountName,
    downloaded: Callable[[Download], None],
    tell_upload: TellUpload | None = None,
    tally: Tally,
    answering: Answering,
    clock: Clock,
    work: Callable[[], None],
) -> str:
    """Serve ``account`` out of ``home``, which is closed in the end; return why it ended.

    An upload that the client did not close gets no visible name, however the session ends. Without ``tell_upload``
    each is told by the home, which is waited for. ``answering`` is entered while what is open is closed. ``work`` is
    called while an answer takes long.
    """
    home.while_working(work)
    requests = Requests(
        home,
        account=account,
        downloaded=downloaded,
        tell_upload=tell_upload,
        tally=tally,
        clock=clock,
        work=work,
    )
    try:
        stream.attend(_Session(requests, tally, answering).answers)
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

    def __init__(self, requests: Requests, tally: Tally, answering: Answering) -> None:
        self._requests = requests
        self._tally = tally
        self._answering = answering
        self._frames = Frames()
        self._begun = False

    def answers(self, arrived: bytes) -> Iterator[Answer | Awaited | None]:
        """See `Answers`; raises ValueError where what has come cannot be understood."""
        self._tally.received_bytes += len(arrived)
        for packet in self._frames.feed(arrived):
            asked = decode(packet)
            if isinstance(asked, Init):
                yield self._counted(self._begin(asked))
            elif not self._begun:
                raise ValueError("a request came before the version was agreed on")
            elif isinstance(asked, Close):
                with self._answering:
                    yield from self._done(asked)
            else:
                yield from self._done(asked)

    def _done(self, asked: Request) -> Iterator[Answer | Awaited | None]:
        at_once = self._requests.answer_at_once(asked)
        if at_once is None:
            yield None
            yield self._counted(self._requests.answer(asked))
        elif isinstance(at_once, Awaited):
            yield at_once
            yield self._counted(at_once.answer)
        else:
            yield self._counted(at_once)

    def _counted(self, answer: Answer) -> Answer:
        self._tally.sent_bytes += sum(map(len, answer))
        return answer

    def _begin(self, asked: Init) -> Pieces:
        if self._begun or asked.version < sftp_answer.VERSION:
            raise ValueError(f"version {asked.version} was asked for; it is 3, and said once")
        self._begun = True
        return (sftp_answer.version(ADVERTISED),)
