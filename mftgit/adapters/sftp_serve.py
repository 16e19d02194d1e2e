"""An SFTP session of a client: its requests are read, done and answered in their order, until it ends.

Answers are held back while further requests are there, so that many go out together. What a client can make this
keep is one packet, the answers of one round, and what its window lets it send ahead.
"""

from collections.abc import Callable
from typing import Final

from loguru import logger

from mftgit.adapters.clock import Clock
from mftgit.adapters.home import Home
from mftgit.adapters.sftp_serve_requests import Download, Pieces, Requests, Tally
from mftgit.adapters.sftp_stream import Stream
from mftgit.model import sftp_answer
from mftgit.model.names import AccountName
from mftgit.model.sftp_asked import Init
from mftgit.model.sftp_extension import ADVERTISED
from mftgit.model.sftp_frames import Frames
from mftgit.model.sftp_request import decode

_TOGETHER_BYTES: Final = 64 << 10
_TOGETHER: Final = 32
_SEND_S: Final = 60.0
"""How long a client may take nothing of what it asked for."""


def serve(
    stream: Stream,
    home: Home,
    *,
    account: AccountName,
    downloaded: Callable[[Download], None],
    tally: Tally,
    clock: Clock,
    idle_s: float,
) -> str:
    """Serve ``account`` out of ``home``, which is closed in the end; return why it ended.

    An upload that the client did not close gets no visible name, however the session ends. ``idle_s`` is how long the
    client may ask for nothing.
    """
    requests = Requests(home, account=account, downloaded=downloaded, tally=tally, clock=clock)
    session = _Session(stream, requests, tally, idle_s)
    try:
        why = session.run()
    finally:
        requests.close()
        home.close()
    logger.debug("{account}: an SFTP session has ended: {why}", account=account, why=why)
    return why


class _Session:
    """The stream's side of a session."""

    def __init__(self, stream: Stream, requests: Requests, tally: Tally, idle_s: float) -> None:
        self._stream = stream
        self._requests = requests
        self._tally = tally
        self._idle_s = idle_s
        self._frames = Frames()
        self._begun = False
        self._held: list[bytes] = []
        self._held_bytes = 0

    def run(self) -> str:
        """Go on until the end, and return why that came."""
        try:
            while arrived := self._receive():
                self._tally.received_bytes += len(arrived)
                for packet in self._frames.feed(arrived):
                    self._hold(self._answer(packet))
                if not self._stream.is_ready():
                    self._send()
        except ValueError as error:
            return f"the client does not speak SFTP: {error}"
        except TimeoutError:
            return "the client asked for nothing, or took nothing, for too long"
        except (OSError, EOFError) as error:
            return f"the connection was lost: {str(error) or 'it was closed'}"
        return "the client has ended it"

    def _receive(self) -> bytes:
        self._stream.wait_at_most(self._idle_s)
        return self._stream.receive()

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

    def _hold(self, answer: Pieces) -> None:
        self._held += answer
        self._held_bytes += sum(map(len, answer))
        if self._held_bytes >= _TOGETHER_BYTES or len(self._held) >= _TOGETHER:
            self._send()

    def _send(self) -> None:
        if not self._held:
            return
        together, self._held = self._held, []
        self._tally.sent_bytes += self._held_bytes
        self._held_bytes = 0
        self._stream.wait_at_most(_SEND_S)
        self._stream.send(b"".join(together))
