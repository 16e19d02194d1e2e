"""Take pushes in: git's receive-pack on dulwich, where nothing is kept unless the gate accepts it.

The stock handler of dulwich 1.2.21 puts objects into the repository before anybody looked at them, does not ask
whether they are whole, and reports success for refs that another push moved meanwhile.
"""

import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
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

from mftgit.adapters.git_objects import (
    BrokenHistoryError,
    StoreBusyError,
    StoreError,
    TooLargeError,
)
from mftgit.adapters.git_pack import PackError
from mftgit.adapters.git_quarantine import Quarantine
from mftgit.adapters.git_store import GitStore
from mftgit.adapters.git_upload import OneRepo
from mftgit.errors import TransientError
from mftgit.model.access import OperatorRole
from mftgit.model.limits import Limits, beyond
from mftgit.model.names import CHANGES, Revision
from mftgit.model.printable import printable
from mftgit.model.push import ATOMIC, REPEATED, Push, RefUpdate, Verdict, damaged, stale, unreadable
from mftgit.model.trust import POLICY_FILES

Gate = Callable[[Push], Verdict]
"""Decides one ref of a push; may be called by several threads at once."""

Settled = Callable[[Push, Verdict], None]
"""Told the outcome of each ref, once, after it moved or was refused; one push at a time, in the order of moving."""

_MAX_LINES = 1_000  # of commands in one push; half a million of them would be 4 s of CPU
_MAX_LINE_BYTES = 1_000  # of two ids and a name, which goes into events and answers
_SPOOL_BYTES = 4 << 20
_ZERO = b"0" * 40
_TOLD_BYTES = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pusher:
    """Who pushes, and what they may."""

    who: str
    role: OperatorRole


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What every push to one repository has in common.

    ``limits`` is asked once for each push, at its start, and ``damage`` where something went wrong.
    """

    store: GitStore
    gate: Gate
    settled: Settled
    limits: Callable[[], Limits]
    damage: Callable[[], str | None]
    one_at_a_time: threading.Lock = field(default_factory=threading.Lock)


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
            unpacked, verdicts = b"ok", [damaged()] * len(updates)
            pushes = [_undecided(self._pusher, update) for update in updates]
            self._tell_settled(list(zip(pushes, verdicts, strict=True)))
        self._explain(verdicts)
        yield b"unpack", unpacked
        for (_, _, name), verdict in zip(refs, verdicts, strict=True):
            yield name, b"ok" if verdict.reason is None else _line(verdict.reason)

    def _judge(self, updates: Sequence[RefUpdate]) -> tuple[bytes, Sequence[Verdict]]:
        """Return the status of the pack, and what became of each ref."""
        unpacked = b"ok"
        with self._door.store.quarantine() as quarantine:
            try:
                if any(update.new is not None for update in updates):
                    self._take(quarantine)
            except PackError as error:
                if self._door.damage() is not None:
                    raise
                unpacked = _line(str(error))
                pushes = [_undecided(self._pusher, update) for update in updates]
                verdicts = [unreadable(str(error))] * len(pushes)
                self._tell_settled(list(zip(pushes, verdicts, strict=True)))
            else:
                fresh = {each.ref for each in updates if each.new is not None}
                changes = self._door.store.names(CHANGES) | {
                    ref for ref in fresh if ref.startswith(CHANGES)
                }
                pushes = [self._push(quarantine, update, changes) for update in updates]
                verdicts = self._decide(pushes)
                verdicts = self._settle(quarantine, pushes, verdicts)
        return unpacked, verdicts

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

    def _push(self, quarantine: Quarantine, update: RefUpdate, changes: frozenset[str]) -> Push:
        """Find out what the gate needs to know of one ref."""
        if update.new is None:
            return _undecided(self._pusher, update, self._door.store.head(update.ref))
        old, new = update.old, update.new
        fault = quarantine.fault(new)
        if fault is not None and self._door.damage() is not None:
            raise BrokenHistoryError(fault)
        is_commit = fault is None and quarantine.is_commit(new)
        grows = is_commit and (old is None or quarantine.grows(old, new))
        return Push(
            who=self._pusher.who,
            role=self._pusher.role,
            update=update,
            current=self._door.store.head(update.ref),
            changes=changes,
            limits=self._limits,
            fault=fault,
            is_commit=is_commit,
            is_fast_forward=grows,
            tree=lambda: quarantine.tree(new, self._limits),
            published=lambda: quarantine.pick(old, POLICY_FILES) if old else {},
            before=lambda: self._door.store.documents(old) if old else (),
            commits=lambda: quarantine.commits(old, new) if old else iter(()),
        )

    def _decide(self, pushes: Sequence[Push]) -> list[Verdict]:
        times = Counter(push.update.ref for push in pushes)
        verdicts = [self._ask(push) if times[push.update.ref] == 1 else REPEATED for push in pushes]
        if self.has_capability(CAPABILITY_ATOMIC) and not all(v.accepted for v in verdicts):
            return [ATOMIC if verdict.accepted else verdict for verdict in verdicts]
        return verdicts

    def _ask(self, push: Push) -> Verdict:
        try:
            return self._door.gate(push)
        except StoreError as error:  # the tree is too large or broken, or the repository is
            if not isinstance(error, TooLargeError) and self._door.damage() is not None:
                raise
            return Verdict(reason="cannot be read", explanation=(str(error),))

    def _settle(
        self, quarantine: Quarantine, pushes: Sequence[Push], verdicts: Sequence[Verdict]
    ) -> list[Verdict]:
        """Move what was accepted, as far as it is still possible, and tell what became of each ref."""
        accepted = [p.update for p, v in zip(pushes, verdicts, strict=True) if v.accepted]
        atomic = self.has_capability(CAPABILITY_ATOMIC)
        groups = [accepted] if accepted and atomic else [[update] for update in accepted]
        refused: dict[str, Verdict] = {}
        quarantine.keep_only(update.new for update in accepted if update.new is not None)
        with self._door.one_at_a_time:
            for group in groups:
                refused |= self._move(quarantine, group)
            final = [
                refused.get(push.update.ref, verdict) if verdict.accepted else verdict
                for push, verdict in zip(pushes, verdicts, strict=True)
            ]
            self._tell_settled(list(zip(pushes, final, strict=True)))
        return final

    def _move(self, quarantine: Quarantine, group: Sequence[RefUpdate]) -> dict[str, Verdict]:
        """Move a group of refs, all or none but for accidents; return the verdicts of those that did not."""
        store = self._door.store
        try:
            moved = store.move(group, quarantine)
        except (StoreBusyError, StoreError) as error:
            # Some may have moved nevertheless, and that is to be told.
            logger.warning("refs were not moved as they should", error=str(error))
            moved = tuple(update for update in group if store.head(update.ref) == update.new)
            what = "busy" if isinstance(error, StoreBusyError) else "not written"
            failed = Verdict(reason=f"{what}, push again", explanation=(str(error),))
            return {update.ref: failed for update in group if update not in moved}
        return {
            update.ref: stale(update.old, store.head(update.ref))
            for update in group
            if update not in moved
        }

    def _tell_settled(self, outcomes: Sequence[tuple[Push, Verdict]]) -> None:
        for push, verdict in outcomes:
            try:
                self._door.settled(push, verdict)
            except Exception:
                logger.exception("what became of a push could not be told", ref=push.update.ref)

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


def _undecided(pusher: Pusher, update: RefUpdate, current: Revision | None = None) -> Push:
    """Return a push of which no object was looked at."""
    return Push(
        who=pusher.who,
        role=pusher.role,
        update=update,
        current=current,
        fault=None,
        is_commit=False,
        is_fast_forward=False,
        tree=dict,
        published=dict,
        before=tuple,
        commits=lambda: iter(()),
    )


def _line(text: str) -> bytes:
    return printable(" ".join(text.split())).encode()[:900]
