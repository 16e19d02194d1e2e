"""What a client sends on a channel, answered by the thread that reads the connection, when it has read all there is.

No other thread has to be woken for a request, and while one is done nothing more is read: what a client sends ahead
stays with the system. Nothing waits for the client here. What its window has no room for, or what comes while keys
are exchanged, is kept until that thread comes by again, and further requests are not looked at before it is gone.
"""

import itertools
import struct
from collections import deque
from collections.abc import Callable, Iterator
from threading import Event, Lock
from typing import Any, Final

import paramiko
from paramiko.common import MSG_CHANNEL_WINDOW_ADJUST

from mftgit.adapters.ssh.packets import Chunks, Data, Piece, Together
from mftgit.adapters.ssh.stream import FRAME_BYTES, ChannelStream
from mftgit.adapters.ssh_server.awaited import Awaited
from mftgit.adapters.ssh_server.packets import ServerPackets

Answer = tuple[Piece, ...]
Answers = Callable[[bytes], Iterator[Answer | Awaited | None]]
"""Gives the answers to what a client has sent, in pieces; it gets the next part after the last of them.

None stands before an answer that may take long: it is worked out when the next one is asked for. So does one that is
`Awaited`, which is asked for once it was given.
"""

_NOTHING: Final[Answer] = ()

_TOGETHER_BYTES: Final = 64 << 10
_TOGETHER: Final = 128
_TURN: Final = 64
_TURN_BYTES: Final = 256 << 10
"""So many answers, or so much, are given before it is another connection's turn."""

_WINDOW_PART: Final = 4
"""When so much of a window was used up, the client is told that it may go on (RFC 4254, 5.2)."""


class _Arrived(Chunks):
    """What a channel has received; ``ended`` is called when there will be no more."""

    def __init__(self, ended: Callable[[], None]) -> None:
        super().__init__()
        self._call = ended

    def close(self) -> None:
        """See paramiko, which has the channel locked."""
        super().close()
        self._call()


class ServedStream(ChannelStream):
    """A client's channel, which can be read as any other one, or attended to. Nothing may have come on it yet."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._arrived = channel.in_buffer = _Arrived(self._end_if_closed)
        super().__init__(channel)
        transport: Any = channel.get_transport()
        self._may_send: Event = transport.clear_to_send
        self._packets: ServerPackets = transport.packetizer
        window: Any = channel
        window.in_window_threshold = window.in_window_size // _WINDOW_PART
        self._use_window: Callable[[int], int] = window._check_add_window  # noqa: SLF001  paramiko has no other way
        self._answers: Answers | None = None
        self._current: Iterator[Answer | Awaited | None] = iter(())
        self._awaited: Awaited | None = None
        self._held: deque[Piece] = deque()
        self._held_bytes = 0
        self._given_bytes = 0
        self._due_bytes = 0
        self._is_asked = False
        self._at_work = Lock()
        self._is_over = False
        self._takes_time = False
        self._may_wait = True
        self._called = Event()
        self._call: Callable[[], None] = self._called.set
        self._error: Exception | None = None

    def begin_rounds(self, call: Callable[[], None]) -> None:
        """Have what takes time done by the thread of the session: the one that reads has others to serve.

        ``call`` has that one come by.
        """
        self._may_wait = False
        self._call = call

    def attend(self, answers: Answers) -> None:
        """Have what the client sends answered, and wait until it or the connection ends that.

        Raises:
            Exception: what ``answers`` raised; that ends it, too.
        """
        self._answers = answers
        self._called.set()  # for what came before
        self._end_if_closed()
        while not self._is_over:
            self._called.wait()
            self._called.clear()
            self._work_patiently()
        with self._at_work:  # whoever still is
            self._answers = None
        if self._error is not None:
            raise self._error

    def go_on(self) -> None:
        """Do what can be done now; called whenever all has been read that has come."""
        self._is_asked = True
        # A second thread does not wait for the one that is at work, which looks again.
        while self._is_asked and self._at_work.acquire(blocking=False):
            try:
                self._is_asked = False
                self._work(patiently=self._may_wait)
            finally:
                self._at_work.release()

    def _work_patiently(self) -> None:
        """Do what takes time, and all that has come meanwhile."""
        self._is_asked = True
        while self._is_asked and not self._is_over:
            with self._at_work:
                self._is_asked = False
                self._work(patiently=True)

    def _work(self, *, patiently: bool) -> None:
        if self._answers is None or self._is_over:
            return
        try:
            if self._takes_time and not patiently:
                return
            if self._awaited is not None and not self._awaited.is_given(self._call):
                return
            self._awaited = None
            self._takes_time = False
            self._given_bytes = 0
            for number in itertools.count():
                if not patiently and (number == _TURN or self._given_bytes >= _TURN_BYTES):
                    self._call()
                    return
                if not self._answer(patiently=patiently):
                    return
        except Exception as error:  # noqa: BLE001  it is raised where the session is waited for
            self._error = error
            self._end()

    def _answer(self, *, patiently: bool) -> bool:
        """Answer one request, or take what has come; tell whether there may be more to do now."""
        full = self._held_bytes >= _TOGETHER_BYTES or len(self._held) >= _TOGETHER
        if full and not self._send_held():
            return False
        answer = next(self._current, _NOTHING)
        if answer is None:
            if not patiently:
                self._takes_time = True
                self._called.set()
                self._send_held()
            return patiently
        if isinstance(answer, Awaited):
            if answer.is_given(self._call):
                return True
            self._awaited = answer
            self._send_held()
            return False
        if answer:
            self._held += answer
            size = sum(map(len, answer))
            self._held_bytes += size
            self._given_bytes += size
        elif self._arrived.read_ready():
            arrived = self._arrived.read(1)
            self._due_bytes += self._use_window(len(arrived))
            self._current = self._answers(arrived) if self._answers else iter(())
        else:
            if self._send_held() and self._arrived.has_ended:
                self._end()
            return False
        return True

    def _end(self) -> None:
        self._is_over = True
        self._called.set()

    def _send_held(self) -> bool:
        """Send what is held, as far as the client has room for it; tell whether nothing is left."""
        if not self._may_send.is_set() or self._packets.is_full:
            return not self._held
        more = self._window_message()
        size = self._take_room(self._held_bytes) if self._held else 0
        if size:
            content = self._taken(size)
            most = self._channel.out_max_packet_size - FRAME_BYTES
            self._send(Data(self._channel.remote_chanid, *content, most=most, first=more))
        elif more is not None:
            self._send(Together((more,)))
        return not self._held

    def _window_message(self) -> bytes | None:
        """Return what lets the client go on, once it is time for that."""
        if not self._due_bytes:
            return None
        due, self._due_bytes = self._due_bytes, 0
        return struct.pack(">BII", MSG_CHANNEL_WINDOW_ADJUST, self._channel.remote_chanid, due)

    def _take_room(self, wanted: int) -> int:
        """Take up to ``wanted`` bytes of what the client's window has now."""
        channel = self._channel
        with channel.lock:
            size = 0 if channel.closed else min(wanted, channel.out_window_size)
            channel.out_window_size -= size
        return size

    def _taken(self, size: int) -> list[Piece]:
        """Take the first ``size`` bytes from what is held."""
        self._held_bytes -= size
        content: list[Piece] = []
        while size:
            piece = self._held.popleft()
            if len(piece) > size:
                view = memoryview(piece)
                self._held.appendleft(view[size:])
                piece = view[:size]
            content.append(piece)
            size -= len(piece)
        return content

    def _end_if_closed(self) -> None:
        """End what is waited for where the connection was lost."""
        if self._channel.closed:
            self._end()
