"""Members that advance one at a time, from one call on files to the next, as a schedule says.

Each member is a thread that holds the baton while it goes on. The seam is the calls of the operating system: product
code runs as it is, and stands still, dies or is lied to right before or right after any of them. What is simulated so
is a process and a storage that misbehave; a machine that loses power is not, so `fsync` does nothing.
"""

import errno
import io
import os
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum, unique
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test
from loguru import logger

from mftgit.adapters.local import rename as local_rename

PATIENCE_S: Final = 60.0
"""A member that goes on for longer than this hangs."""


class Crash(BaseException):
    """The process is gone at this point: nothing after it happens."""


@unique
class Fault(Enum):
    """What happens to a member at a call."""

    FREEZE = "is frozen before"
    CRASH = "crashes before"
    LOST = "is told of an error, and it is not done:"
    UNANSWERED = "is told of an error, and it is done:"
    TWICE = "has it done twice, and is told of the second:"
    LATE = "is told of an error, and it is done later:"


@unique
class Kind(Enum):
    """What is counted until a fault."""

    ANY = "calls"
    CHANGE = "changes"
    RENAME = "renames"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Go on for so many calls, and let this happen at the last one; then stand still."""

    count: int
    kind: Kind = Kind.ANY
    fault: Fault = Fault.FREEZE


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One call, and the paths below the stage's root that it is about."""

    what: str
    path: str
    to: str | None = None

    @property
    def changes(self) -> bool:
        """Whether it is more than a look."""
        return self.what in _CHANGES

    @property
    def target(self) -> str:
        """Return what is there, or is not any more, after it."""
        return self.to or self.path

    def counts_as(self, kind: Kind) -> bool:
        """Tell whether it is one of ``kind``."""
        renames = self.what in {"rename", "link"}
        return kind is Kind.ANY or (renames if kind is Kind.RENAME else self.changes)

    def __str__(self) -> str:
        return f"{self.what} {self.path}" + (f" → {self.to}" if self.to else "")


_CHANGES: Final = {"rename", "link", "remove", "mkdir", "rmdir", "create", "write"}


class Member:
    """One process; ``life`` is what it does, and `park`s when there is nothing to do."""

    def __init__(self, stage: "Stage", name: str, life: Callable[["Member"], None]) -> None:
        self.stage = stage
        self.name = name
        self.epoch = 0
        self.is_idle = True
        self.is_over = False
        self._life = life
        self.plan: Plan | None = None
        self._is_stopping = False
        self._is_dead = False
        self._turn = threading.Lock()
        self._turn.acquire()
        self._is_inside = False
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)
        self._thread.start()

    def __str__(self) -> str:
        return f"{self.name} (epoch {self.epoch})" if self.epoch else self.name

    def go(self, plan: Plan | None = None) -> None:
        """Go on as planned, or until there is nothing to do; called by the stage's thread."""
        self.plan, self._is_stopping = plan, False
        self._turn.release()
        if not self.stage.back.acquire(timeout=PATIENCE_S):
            raise AssertionError(f"{self} hangs after:\n{self.stage.told()}")
        self.stage.check()

    def kill(self) -> None:
        """End it where it stands."""
        self._is_dead = True
        while not self.is_over:
            self._turn.release()
            self.stage.back.acquire()
        self._thread.join()

    def park(self) -> None:
        """Hand the baton back, with nothing left to do."""
        self.is_idle = True
        self._wait()
        self.is_idle = False

    def _wait(self) -> None:
        self.stage.back.release()
        self._turn.acquire()
        if self._is_dead:
            raise Crash

    def _live(self) -> None:
        _here.member = self
        self._turn.acquire()
        try:
            if not self._is_dead:
                self.is_idle = False
                self._life(self)
        except Crash:
            pass
        except BaseException:  # noqa: BLE001  the stage's thread raises it
            self.stage.wrong(f"{self} failed unexpectedly: {traceback.format_exc()}")
        self.is_over = True
        self.stage.back.release()

    def call(
        self,
        effect: Effect,
        perform: Callable[[], Any],
        *,
        half: Callable[[], Any] = lambda: None,
        far: bool = False,
    ) -> Any:
        """Carry ``effect`` out by ``perform`` when it is its turn, unless something happens.

        ``half`` is what a crash leaves of it. One that is ``far`` is carried out by somebody else, who may be late.
        """
        if self._is_inside:
            return perform()
        if self._is_dead:
            raise Crash
        if self._is_stopping:
            self.stage.tell(f"{self} {Fault.FREEZE.value} {effect}")
            return self._meet(Fault.FREEZE, effect, perform)
        plan = self.plan
        if plan is None or not effect.counts_as(plan.kind):
            return self._do(effect, perform)
        if plan.count > 1:
            self.plan = replace(plan, count=plan.count - 1)
            return self._do(effect, perform)
        self.plan, self._is_stopping = None, True  # to stand still at whatever comes next
        repeats = not far and self.stage.repeats(effect)
        fault = _fitting(plan.fault, effect, far=far, repeats=repeats)
        self.stage.tell(f"{self} {fault.value} {effect}")
        if fault is Fault.CRASH:
            half()
        return self._meet(fault, effect, perform)

    def _meet(self, fault: Fault, effect: Effect, perform: Callable[[], Any]) -> Any:
        match fault:
            case Fault.FREEZE:
                self._wait()
                self.stage.tell(f"{self} goes on")
                return self._do(effect, perform)
            case Fault.CRASH:
                self._is_dead = True
                raise Crash
            case Fault.TWICE:
                self._do(effect, perform)
                return self._do(effect, perform)
            case Fault.UNANSWERED:
                done = self._do(effect, perform)
                if effect.what == "create":
                    os.close(done) if isinstance(done, int) else done.close()
            case Fault.LATE:
                self.stage.late.append((self, effect, perform))
            case Fault.LOST:
                pass
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def _do(self, effect: Effect, perform: Callable[[], Any]) -> Any:
        self._is_inside = True
        try:
            done = perform()
            if effect.changes:
                self.stage.tell(f"{self}: {effect}")
            for watch in self.stage.watchers if effect.changes else ():
                watch(self, effect)
        except Exception as error:
            if effect.changes and not (
                effect.what == "mkdir" and isinstance(error, FileExistsError)
            ):
                self.stage.tell(f"{self}: {effect}: in vain: {error}")
            raise
        else:
            return done
        finally:
            self._is_inside = False


def _fitting(fault: Fault, effect: Effect, *, far: bool, repeats: bool) -> Fault:
    """Return what can happen at ``effect``: a look that is not answered was none, and only a partner is late."""
    if fault in {Fault.FREEZE, Fault.CRASH}:
        return fault
    if not effect.changes:
        return Fault.LOST
    late_here = fault is Fault.LATE and not far
    once = not repeats or effect.what in {"create", "write"}
    return Fault.UNANSWERED if late_here or (fault is Fault.TWICE and once) else fault


class Stage:
    """Where members play: all files are below ``root``. ``watchers`` are told of each change that was made.

    ``fenced`` is which epoch has fenced off what. ``repeats`` tells what storage may do twice and answer for the second
    time, as NFS does where it sends a request again.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.back = threading.Lock()
        self.back.acquire()
        self.late: list[tuple[Member, Effect, Callable[[], Any]]] = []
        self.watchers: list[Callable[[Member, Effect], None]] = []
        self.repeats: Callable[[Effect], bool] = lambda _: True
        self.fenced: dict[str, int] = {"intents": 0, "claims": 0}
        self._members: list[Member] = []
        self._trace: list[str] = []
        self._wrong: str | None = None

    def member(self, name: str, life: Callable[[Member], None]) -> Member:
        """Begin a process, which does nothing until it is told to `go`."""
        made = Member(self, name, life)
        self._members.append(made)
        return made

    def arrive(self) -> None:
        """Let happen what was sent and has not happened yet."""
        late, self.late = self.late, []
        for member, effect, perform in late:
            self.tell(f"what {member} sent arrives: {effect}")
            try:
                perform()
            except Exception as error:  # noqa: BLE001  nobody waits for it any more
                self.tell(f"in vain: {error}")
            else:
                for watch in self.watchers:
                    watch(member, effect)
        self.check()

    def end(self) -> None:
        """End all members."""
        for member in self._members:
            member.kill()

    def tell(self, what: str) -> None:
        """Put it into the trace."""
        self._trace.append(what.replace(f"{self.root}/", "").replace(f".{os.getpid()}.new", ".new"))

    def told(self) -> str:
        """Return the trace."""
        return "\n".join(self._trace)

    def wrong(self, what: str) -> None:
        """Take note of what must not be; the first one counts."""
        self.tell(f"!!! {what}")
        self._wrong = self._wrong or what

    def check(self) -> None:
        """Raise what went wrong."""
        if self._wrong is not None:
            raise AssertionError(f"{self._wrong}\n{self.told()}")


class _Here(threading.local):
    member: Member | None = None


_here: Final = _Here()


def current() -> Member | None:
    """Return the member whose thread this is."""
    return _here.member


@contextmanager
def seam() -> Iterator[None]:
    """Put the seam in: calls of the operating system by members' threads are steps of theirs."""
    with pytest.MonkeyPatch.context() as patch:

        def put(
            where: Any,
            name: str,
            what: str,
            effect: Callable[..., tuple[Any, ...] | None] | None = None,
        ) -> None:
            real = getattr(where, name)
            patch.setattr(where, name, _stepping(real, what, effect or _of_path))

        for name, what in (
            ("unlink", "remove"),
            ("remove", "remove"),
            ("rmdir", "rmdir"),
            ("mkdir", "mkdir"),
        ):
            put(os, name, what)
        for name in ("listdir", "scandir", "stat"):
            put(os, name, name)
        for name, what in (("rename", "rename"), ("replace", "rename"), ("link", "link")):
            put(os, name, what, _of_two_paths)
        put(local_rename, "_renameat2", "rename", _of_two_folders)
        put(os, "open", "create", _of_open)
        put(os, "write", "write", lambda descriptor, *_: (descriptor, None))
        patch.setattr(io, "open", _opening(io.open))
        patch.setattr(os, "fsync", _unless_member(os.fsync))
        yield


def _stepping(
    real: Callable[..., Any], what: str, paths_of: Callable[..., tuple[Any, ...] | None]
) -> Callable[..., Any]:
    def call(*args: Any, **named: Any) -> Any:
        member = _here.member
        if member is None or member._is_inside:
            return real(*args, **named)
        asked = paths_of(*args, **named)
        effect = None if asked is None else _effect(what, member.stage.root, *asked)
        if effect is None:
            return real(*args, **named)
        half = (
            (lambda: real(args[0], args[1][: len(args[1]) // 2])) if what == "write" else _nothing
        )
        return member.call(effect, lambda: real(*args, **named), half=half)

    return call


def _opening(real: Callable[..., Any]) -> Callable[..., Any]:
    read, create = (_stepping(real, what, _of_path) for what in ("read", "create"))

    def call(path: Any, mode: str = "r", *args: Any, **named: Any) -> Any:
        if isinstance(path, int):  # opened already
            return real(path, mode, *args, **named)
        step = create if set(mode) & set("wxa+") else read
        return step(path, mode, *args, **named)

    return call


def _nothing() -> None:
    """Leave nothing."""


def _effect(
    what: str,
    root: Path,
    path: Any,
    folder: int | None,
    to: Any = None,
    to_folder: int | None = None,
) -> Effect | None:
    place = _place(root, path, folder)
    if place is None:
        return None
    return Effect(what=what, path=place, to=None if to is None else _place(root, to, to_folder))


def _place(root: Path, path: Any, folder: int | None) -> str | None:
    """Return the path below ``root``, None where it is not."""
    if isinstance(path, int):
        text = _folder(path)
    elif folder is not None:
        text = f"{_folder(folder)}/{os.fsdecode(path)}"
    else:
        text = os.fsdecode(path)
    below = f"{root}/"
    return text.removeprefix(below) if text.startswith(below) else None


def _folder(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115  a Path takes longer than the call


def _of_path(path: Any = ".", *_: Any, dir_fd: int | None = None, **__: Any) -> tuple[Any, ...]:
    return path, dir_fd


def _of_two_paths(
    old: Any, new: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None, **_: Any
) -> tuple[Any, ...]:
    return old, src_dir_fd, new, dst_dir_fd


def _of_two_folders(source: int, old: str, target: int, new: str) -> tuple[Any, ...]:
    return old, source, new, target


def _of_open(path: Any, flags: int, *_: Any, dir_fd: int | None = None) -> tuple[Any, ...] | None:
    """Only what may make or change a file is a step; a folder that is opened is in hand at the step after that."""
    return (path, dir_fd) if flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR) else None


def _unless_member(real: Callable[[int], None]) -> Callable[[int], None]:
    return lambda descriptor: None if _here.member is not None else real(descriptor)


def run_schedules(
    machine: type[RuleBasedStateMachine],
    schedules: int,
    *,
    steps: int,
    phases: tuple[Phase, ...] = tuple(Phase),
    derandomize: bool = True,
) -> None:
    """Try so many schedules of at most so many steps, silently, until one fails."""
    logger.disable("mftgit")
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=schedules,
                stateful_step_count=steps,
                derandomize=derandomize,
                deadline=None,
                database=None,
                phases=phases,
                suppress_health_check=list(HealthCheck),
                report_multiple_bugs=False,
            ),
        )
    finally:
        logger.enable("mftgit")
