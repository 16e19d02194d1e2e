"""Take pushes in: git's receive-pack on dulwich, where nothing is kept unless the gate accepts it.

The stock handler of dulwich 1.2.21 puts objects into the repository before anybody looked at them, does not ask
whether they are whole, and reports success for refs that another push moved meanwhile.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, cast

from dulwich.errors import GitProtocolError
from dulwich.objects import ObjectID
from dulwich.protocol import (
    CAPABILITY_ATOMIC,
    CAPABILITY_SIDE_BAND_64K,
    SIDE_BAND_CHANNEL_PROGRESS,
    ReceivableProtocol,
)
from dulwich.refs import Ref
from dulwich.repo import Repo
from dulwich.server import ReceivePackHandler
from loguru import logger

from mftgit.adapters.git.admission import Admission, Door, Pusher
from mftgit.adapters.git.pack import PackError
from mftgit.adapters.git.quarantine import Quarantine
from mftgit.adapters.git.upload import OneRepo
from mftgit.errors import TransientError
from mftgit.model.names import Revision
from mftgit.model.printable import printable
from mftgit.model.revisions.limits import beyond
from mftgit.model.revisions.push import RefUpdate, Verdict, asked_to_merge, damaged, unreadable

_MAX_LINES = 1_000  # of commands in one push; half a million of them would be 4 s of CPU
_MAX_LINE_BYTES = 1_000  # of two ids and a name, which goes into events and answers
_SPOOL_BYTES = 4 << 20
_ZERO = b"0" * 40
_TOLD_BYTES = 60_000


class PushWire(ReceivableProtocol):
    """The conversation of a push: bounded, and without what a shallow clone tells about itself.

    dulwich takes a ``shallow`` line for a malformed command. It can be left out: whether the objects suffice is
    found by looking at them.
    """

    def __init__(self, read: Callable[[int], bytes], write: Callable[[bytes], int]) -> None:
        super().__init__(read, write)
        self._lines = 0

    def read_pkt_line(self) -> bytes | None:
        """Return the next line that is a command, or None at the end of the commands."""
        while True:
            self._lines += 1
            if self._lines > _MAX_LINES:
                raise GitProtocolError(f"a push of more than {_MAX_LINES} commands")
            line = super().read_pkt_line()
            if line is not None and len(line.partition(b"\0")[0]) > _MAX_LINE_BYTES:
                raise GitProtocolError(f"a command of more than {_MAX_LINE_BYTES} bytes")
            if line is None or not line.startswith(b"shallow "):
                return line


class GuardedReceivePack(ReceivePackHandler):
    """One push by ``pusher``, or the advertisement before it."""

    def __init__(
        self,
        repo: Repo,
        proto: ReceivableProtocol,
        door: Door,
        *,
        pusher: Pusher,
        advertise: bool,
    ) -> None:
        super().__init__(OneRepo(repo), ["/"], proto, stateless_rpc=True, advertise_refs=advertise)
        self._door = door
        self._limits = door.limits()
        self._pusher = pusher
        self._wire = proto

    def _on_pre_receive(self, client_refs: object) -> None:
        """Run no hook: none is installed, and there are no objects to look at yet."""

    def _on_post_receive(self, client_refs: object) -> None:
        """Run no hook: what moved is told through ``settled``."""

    def _apply_pack(
        self, refs: list[tuple[ObjectID, ObjectID, Ref]]
    ) -> Iterator[tuple[bytes, bytes]]:
        """Give the status of the pack, then that of each ref, as the base class reports them."""
        updates = [_update(*command) for command in refs]
        try:
            unpacked, verdicts = self._judge(updates)
        except (TransientError, OSError):
            raise
        except Exception:
            if self._door.damage() is None:
                raise
            logger.opt(exception=True).warning("a push failed at a damaged repository")
            unpacked, verdicts = b"ok", self._admission().refuse(updates, damaged())
        self._explain(verdicts)
        yield b"unpack", unpacked
        for (_, _, name), verdict in zip(refs, verdicts, strict=True):
            yield name, b"ok" if verdict.reason is None else _line(verdict.reason)

    def _judge(self, updates: Sequence[RefUpdate]) -> tuple[bytes, Sequence[Verdict]]:
        """Return the status of the pack, and what became of each ref."""
        with self._door.store.quarantine() as quarantine:
            try:
                if any(update.new is not None for update in updates):
                    self._take(quarantine)
            except PackError as error:
                if self._door.damage() is not None:
                    raise
                return _line(str(error)), self._admission().refuse(updates, unreadable(str(error)))
            asked, merge = asked_to_merge(updates), self._door.merge
            if asked is None or merge is None:
                return b"ok", self._admission().admit(quarantine, updates)
        return b"ok", [merge(*asked, self._pusher)]  # what came along is not kept

    def _admission(self) -> Admission:
        atomic = self.has_capability(CAPABILITY_ATOMIC)
        return Admission(self._door, self._pusher, limits=self._limits, atomic=atomic)

    def _take(self, quarantine: Quarantine) -> None:
        limits, size_bytes = self._limits, 0
        with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as spool:
            while chunk := self._wire.recv(1 << 16):
                size_bytes += len(chunk)
                if size_bytes <= limits.max_pack_bytes:
                    spool.write(chunk)
            if size_bytes > limits.max_pack_bytes:
                raise PackError(beyond("max_pack_bytes", limits, size_bytes))
            quarantine.take(cast("BinaryIO", spool), limits)

    def _explain(self, verdicts: Sequence[Verdict]) -> None:
        """Write the explanations to the pusher's terminal, where git puts ``remote:`` before each line."""
        if not self.has_capability(CAPABILITY_SIDE_BAND_64K):
            return
        for verdict in verdicts:
            for text in verdict.explanation:
                line = printable(text, keep="\n").encode() + b"\n"
                for start in range(0, len(line), _TOLD_BYTES):
                    part = line[start : start + _TOLD_BYTES]
                    self.proto.write_sideband(SIDE_BAND_CHANNEL_PROGRESS, part)


def _update(old: ObjectID, new: ObjectID, name: Ref) -> RefUpdate:
    return RefUpdate(
        ref=name.decode("utf-8", "surrogateescape"),
        old=None if old == _ZERO else Revision(old.decode()),
        new=None if new == _ZERO else Revision(new.decode()),
    )


def _line(text: str) -> bytes:
    return printable(" ".join(text.split())).encode()[:900]
