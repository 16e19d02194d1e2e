"""paramiko's packets with fewer copies and fewer calls to the system, where the cipher is AES-GCM.

paramiko asks the socket for each field of a packet, and copies what is sent and received about ten times. Here many
packets come and go with one call, and what they hold is copied three times. What the packets are stays paramiko's:
RFC 4253, 6 and RFC 5647, 7. It goes by private attributes of paramiko, so `packetizer_class` gives paramiko's own
where one is gone.
"""

import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from threading import Condition
from typing import TYPE_CHECKING, Any, Final

import paramiko
from paramiko.buffered_pipe import BufferedPipe, PipeTimeout
from paramiko.common import MSG_CHANNEL_DATA
from paramiko.packet import NeedRekeyException, Packetizer

_LARGEST_PACKET_BYTES: Final = 1 << 20
_SMALL_BYTES: Final = 4 << 10
TAG_BYTES: Final = 16
"""What GCM adds to each packet (RFC 5647, 6.3)."""

_BLOCK_BYTES: Final = 16
_LEAST_PADDING_BYTES: Final = 4
_BYTE: Final = tuple(bytes((value,)) for value in range(256))
_ZEROS: Final = bytes(256)
_REKEY_BYTES: Final = 16 << 30
"""A quarter of what RFC 4344, 3.2 allows for blocks of 128 bits: 2^32 of them, as OpenSSH has it."""

_U32: Final = struct.Struct(">I")
_HEAD: Final = struct.Struct(">BI")
_NONCE: Final = struct.Struct(">4sQ")
_P: Final = "_Packetizer__"
_NEEDED: Final = (
    "aead_in", "aead_out", "block_engine_in", "block_engine_out", "closed", "compress_engine_in",
    "compress_engine_out", "iv_in", "iv_out", "need_rekey", "received_bytes",
    "remainder", "sent_bytes", "sequence_number_in", "sequence_number_out", "socket", "write_lock",
)  # fmt: skip
_MOST_NUMBER: Final = (1 << 32) - 1
_MOST_IV: Final = (1 << 64) - 1


Piece = bytes | bytearray | memoryview


class Together:
    """Messages that go out together, each in pieces, as one that `Packets` sends.

    They are not copied before they are encrypted, and go to the system in one call.
    """

    def __init__(self, *messages: tuple[Piece, ...]) -> None:
        self._messages = messages

    def messages(self) -> Iterator[tuple[Piece, ...]]:
        """Give each message."""
        yield from self._messages


class Data(Together):
    """What goes out on a channel together, ``content`` in packets of up to ``most`` bytes (RFC 4254, 5.2).

    ``first`` is a message that goes before it.
    """

    def __init__(
        self, remote_channel: int, *content: Piece, most: int, first: bytes | None = None
    ) -> None:
        super().__init__(*(() if first is None else ((first,),)))
        self._head = _HEAD.pack(MSG_CHANNEL_DATA, remote_channel)
        self._content = content
        self._most = most

    def messages(self) -> Iterator[tuple[Piece, ...]]:
        """See `Together.messages`."""
        yield from super().messages()
        packet: list[Piece] = []
        room = self._most
        for content in self._content:
            left = memoryview(content)
            while len(left) >= room:
                yield self._message(self._most, [*packet, left[:room]])
                left, packet, room = left[room:], [], self._most
            if left:
                packet.append(left)
                room -= len(left)
        if packet:
            yield self._message(self._most - room, packet)

    def _message(self, length: int, packet: list[Piece]) -> tuple[Piece, ...]:
        return self._head, _U32.pack(length), *packet


class Received(paramiko.Message):
    """Data of a channel in ``packet``, which ends at ``end``, behind the two bytes of its padding and its kind.

    It has what paramiko asks of such a message, without a copy of all of it first.
    """

    def __init__(self, packet: bytes, end: int) -> None:
        self._packet = packet
        self._end = end
        self._at = 2

    def get_int(self) -> int:
        """See paramiko; what is cut ends the connection, where paramiko puts zeros in its place."""
        start, self._at = self._at, self._at + 4
        if self._at > self._end:
            raise paramiko.SSHException("a packet that ends too early")
        number: int = _U32.unpack_from(self._packet, start)[0]
        return number

    def get_binary(self) -> bytes:
        """See `get_int`."""
        length = self.get_int()
        start, self._at = self._at, self._at + length
        if self._at > self._end:
            raise paramiko.SSHException("a packet that ends too early")
        return self._packet[start : self._at]


class Packets(Packetizer):
    """See the module. One thread reads; any may write.

    ``before_waiting`` is called by the one that reads, when it has handed over all that has come.
    """

    REKEY_BYTES = _REKEY_BYTES
    largest_bytes = _LARGEST_PACKET_BYTES
    receive_bytes = 256 << 10

    if TYPE_CHECKING:  # what paramiko's types do not tell
        _initial_kex_done: bool
        _check_keepalive: Callable[[], None]
        _trigger_rekey: Callable[[], None]
        _Packetizer__aead_in: bool
        _Packetizer__aead_out: bool
        _Packetizer__block_engine_in: Any
        _Packetizer__block_engine_out: Any
        _Packetizer__closed: bool
        _Packetizer__compress_engine_in: Any
        _Packetizer__compress_engine_out: Any
        _Packetizer__iv_in: bytes
        _Packetizer__iv_out: bytes
        _Packetizer__need_rekey: bool
        _Packetizer__received_bytes: int
        _Packetizer__remainder: bytes
        _Packetizer__sent_bytes: int
        _Packetizer__sequence_number_in: int
        _Packetizer__sequence_number_out: int
        _Packetizer__socket: socket.socket
        _Packetizer__write_lock: AbstractContextManager[object]

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._buffer = bytearray()
        self._at = 0
        self.before_waiting: Callable[[], None] = _nothing

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:  # noqa: FBT001, FBT002  paramiko's signature
        """See paramiko; what came with it is kept for the next call. A packet's length is the other side's to say."""
        if not 0 <= n <= self.largest_bytes:
            raise paramiko.SSHException(f"packet of {n} bytes")
        self._need(n, check_rekey=check_rekey)
        start, self._at = self._at, self._at + n
        return bytes(memoryview(self._buffer)[start : self._at])

    def read_message(self) -> tuple[int, paramiko.Message]:
        """See paramiko."""
        if not self._Packetizer__aead_in or self._Packetizer__compress_engine_in is not None:
            read: tuple[int, paramiko.Message] = super().read_message()
            return read
        self._need(4, check_rekey=True)
        header = bytes(self._buffer[self._at : self._at + 4])
        (size,) = _U32.unpack(header)
        if not _BLOCK_BYTES <= size <= self.largest_bytes or size % _BLOCK_BYTES:
            raise paramiko.SSHException(f"packet of {size} bytes")
        whole = 4 + size + TAG_BYTES
        self._need(whole)
        start, self._at = self._at + 4, self._at + whole
        iv = self._Packetizer__iv_in
        with memoryview(self._buffer) as buffer, buffer[start : self._at] as sealed:
            plain = self._Packetizer__block_engine_in.decrypt(iv, sealed, header)
        self._Packetizer__iv_in = _following(iv)
        padding = plain[0]
        if not _LEAST_PADDING_BYTES <= padding <= size - 2:
            raise paramiko.SSHException(f"padding of {padding} bytes in a packet of {size}")
        kind, end = plain[1], size - padding
        if kind == MSG_CHANNEL_DATA:
            message: paramiko.Message = Received(plain, end)
        else:
            message = paramiko.Message(plain[2:end])
        message.seqno = number = self._Packetizer__sequence_number_in
        self._Packetizer__sequence_number_in = self._after(number)
        self._Packetizer__received_bytes = under_key = self._Packetizer__received_bytes + whole
        if under_key >= self.REKEY_BYTES:
            self._ask_for_keys(under_key)
        return kind, message

    def send_message(self, data: Any) -> None:
        """See paramiko; ``data`` may be `Together`."""
        together = isinstance(data, Together)
        if self._Packetizer__aead_out and self._Packetizer__compress_engine_out is None:
            messages = data.messages() if together else ((data.asbytes(),),)
            with self._Packetizer__write_lock:
                sealed = self._seal(messages)
                self.write_all(memoryview(sealed))
                self._Packetizer__sent_bytes = under_key = self._Packetizer__sent_bytes + len(
                    sealed
                )
                if under_key >= self.REKEY_BYTES:
                    self._ask_for_keys(under_key)
        elif together:
            for message in data.messages():
                super().send_message(paramiko.Message(b"".join(message)))
        else:
            super().send_message(data)

    def _seal(self, messages: Iterable[tuple[Piece, ...]]) -> bytearray:
        """Return the packets of ``messages``, encrypted (RFC 4253, 6; RFC 5647, 7)."""
        encrypt_into, iv = self._Packetizer__block_engine_out.encrypt_into, self._Packetizer__iv_out
        number = self._Packetizer__sequence_number_out
        framed = [(pieces, *_lengths(pieces)) for pieces in messages]
        sealed = bytearray(sum(4 + length + TAG_BYTES for _, length, _ in framed))
        at = 0
        with memoryview(sealed) as room:
            for pieces, length, padding in framed:
                header = length.to_bytes(4, "big")
                end = at + 4 + length + TAG_BYTES
                room[at : at + 4] = header
                # Zeros, as paramiko has it for CTR: what pads is encrypted, and no nonce comes twice.
                plain = b"".join((_BYTE[padding], *pieces, _ZEROS[:padding]))
                with room[at + 4 : end] as place:
                    encrypt_into(iv, plain, header, place)
                at, iv, number = end, _following(iv), self._after(number)
        self._Packetizer__iv_out, self._Packetizer__sequence_number_out = iv, number
        return sealed

    def _need(self, n: int, *, check_rekey: bool = False) -> None:
        """Have ``n`` bytes in the buffer; errors and pauses are those of `Packetizer.read_all`."""
        if remainder := self._Packetizer__remainder:  # what came with the line of the version
            self._buffer += remainder
            self._Packetizer__remainder = b""
        if len(self._buffer) - self._at >= n:
            return
        del self._buffer[: self._at]
        self._at = 0
        while len(self._buffer) < n:
            if self.handshake_timed_out():
                raise EOFError
            self.before_waiting()
            if len(self._buffer) >= n:
                return  # more has come while something was sent
            piece = self._piece()
            if piece is None:
                if check_rekey and not self._buffer and self._Packetizer__need_rekey:
                    raise NeedRekeyException
                self._check_keepalive()
            self._buffer += piece or b""

    @property
    def ahead_bytes(self) -> int:
        """How much has been read that was not asked for yet."""
        return len(self._buffer) - self._at

    def read_ahead(self) -> None:
        """Read what has come; by the thread that reads, while it sends."""
        self._buffer += self._piece() or b""

    def _piece(self) -> bytes | None:
        """Return what the socket has; None where it has nothing for as long as it waits."""
        try:
            piece: bytes = self._Packetizer__socket.recv(self.receive_bytes)
        except TimeoutError:
            if self._Packetizer__closed:
                raise EOFError from None
            return None
        except OSError:
            if self._Packetizer__closed:
                raise EOFError from None
            raise
        if not piece:
            raise EOFError
        return piece

    def _after(self, number: int) -> int:
        """Return the number of the packet after that with ``number`` (RFC 4253, 6.4)."""
        if number < _MOST_NUMBER:
            return number + 1
        if not self._initial_kex_done:
            raise paramiko.SSHException("sequence number rolled over during the first key exchange")
        return 0

    def _ask_for_keys(self, under_key: int) -> None:
        """Ask for other keys after ``under_key`` bytes; end where the other side gives none."""
        if under_key >= 2 * self.REKEY_BYTES:
            raise paramiko.SSHException("the other side does not answer the wish for new keys")
        if not self._Packetizer__need_rekey:
            self._trigger_rekey()


def _lengths(pieces: tuple[Piece, ...]) -> tuple[int, int]:
    """Return how long the packet of ``pieces`` is, and how much of that pads (RFC 4253, 6)."""
    content = sum(map(len, pieces)) + 1
    padding = _BLOCK_BYTES - content % _BLOCK_BYTES
    if padding < _LEAST_PADDING_BYTES:
        padding += _BLOCK_BYTES
    return content + padding, padding


def _following(iv: bytes) -> bytes:
    """Return the nonce after ``iv`` (RFC 5647, 7.1)."""
    fixed, count = _NONCE.unpack(iv)
    return _NONCE.pack(fixed, count + 1 & _MOST_IV)


def _nothing() -> None:
    """Do nothing."""


class Chunks(BufferedPipe):  # type: ignore[type-arg]
    """What a channel has received, in the pieces in which it came, without a copy."""

    def __init__(self) -> None:
        super().__init__()
        self._chunks: deque[bytes] = deque()
        self._changed = Condition()
        self._ended = False

    def feed(self, data: bytes) -> None:
        """See paramiko; small pieces are put together, for each would take many times its size."""
        with self._changed:
            if self._chunks and len(self._chunks[-1]) + len(data) <= _SMALL_BYTES:
                self._chunks[-1] += data
            else:
                self._chunks.append(data)
            self._changed.notify()

    def read_ready(self) -> bool:
        """See paramiko."""
        return bool(self._chunks)

    def read(self, nbytes: int, timeout: float | None = None) -> bytes:
        """See paramiko; it gives one piece, however many bytes that has."""
        del nbytes
        with self._changed:
            if not self._changed.wait_for(lambda: self._chunks or self._ended, timeout):
                raise PipeTimeout
            return self._chunks.popleft() if self._chunks else b""

    def close(self) -> None:
        """See paramiko."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes."""
        return self._ended

    def __len__(self) -> int:
        return sum(map(len, self._chunks))


def packetizer_class() -> type[Packetizer]:
    """Return the class that a transport is to use: `Packets`, or paramiko's own where that has become another."""
    names = vars(Packetizer(None))  # type: ignore[arg-type]
    return Packets if all(_P + name in names for name in _NEEDED) else Packetizer
