"""``mftgit run``: the member itself, in the foreground."""

import os
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import click
from loguru import logger

from mftgit import logs
from mftgit.adapters.age import ensure_identity
from mftgit.adapters.clock import SystemClock
from mftgit.adapters.durable import sweep_folder
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.process_lock import ProcessLock
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.cli.options import folder_argument
from mftgit.cli.rules import make_validator
from mftgit.member.app import Member
from mftgit.member.counting import Counting
from mftgit.member.intake import Parts
from mftgit.member.upstream import RemoteUpstream
from mftgit.model.configuration.config import Role


@click.command(
    epilog="""\b
Example:
  mftgit run /var/lib/mftgit
"""
)
@folder_argument
@click.option(
    "--log-level",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"]),
    default="INFO",
    show_default=True,
    help="What goes to the console; the file in DIR/logs has everything.",
)
def run(folder: StateFolder, log_level: str) -> None:
    """Run the member in DIR until SIGTERM or Ctrl-C; runs under way are finished first.

    On the controller's folder this is the controller: it hosts the repository and is a member too.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # by which orders come, as soon as it can obey
    bootstrap = folder.read_bootstrap()
    lock = ProcessLock(folder.root)
    try:
        logs.configure(level=log_level, folder=folder.logs)
        sweep_folder(folder.root)
        ensure_identity(folder.age_key)  # made by versions that knew no secrets in the repository
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # what is decrypted is in no core file
        signals = _Signals()
        signals.take(signal.SIGTERM, signal.SIGINT)
        events = EventStore(folder.events, member=bootstrap.name, now=SystemClock().now)
        try:
            role = _controller if bootstrap.role is Role.CONTROLLER else _node
            counting = Counting()
            events.tell(counting.take)
            with role(folder, bootstrap, events, counting) as member:
                signals.take(signal.SIGHUP)
                member.start()
                logger.info("running", member=bootstrap.name, role=bootstrap.role.value)
                while signals.wait() is signal.SIGHUP:
                    member.wake()
                logger.info("stopping", member=bootstrap.name)
                member.stop()
        finally:
            events.close()
        logger.info("stopped", member=bootstrap.name)
        _end_at_once_if_something_hangs()
    finally:
        lock.release()


_MAY_HANG = ("run_", "ThreadPoolExecutor-")  # runs, and what the scheduler has called


def _end_at_once_if_something_hangs() -> None:
    """End without waiting for a run, or a look for one, that hangs in a call to the system: it has no effect any more.

    Python itself waits for every thread of a pool, for as long as the slowest partner's time-out.
    """
    hanging = [each for each in threading.enumerate() if each.name.startswith(_MAY_HANG)]
    for each in hanging:
        each.join(1.0)
    if any(each.is_alive() for each in hanging):
        logger.warning("a run still hangs; it is given up", threads=len(hanging))
        logger.remove()
        os._exit(0)


@contextmanager
def _node(
    folder: StateFolder, bootstrap: Bootstrap, events: EventStore, counting: Counting
) -> Iterator[Member]:
    upstream = RemoteUpstream(folder, bootstrap, now=SystemClock().now)
    yield Member(
        Parts(
            folder=folder,
            bootstrap=bootstrap,
            upstream=upstream,
            store=upstream.store,
            validator=make_validator(),
        ),
        events,
        counting=counting,
    )


@contextmanager
def _controller(
    folder: StateFolder, bootstrap: Bootstrap, events: EventStore, counting: Counting
) -> Iterator[Member]:
    from mftgit.controller.app import Controller  # noqa: PLC0415  a fifth of the time that a node takes to start

    validator = make_validator()
    controller = Controller(folder, bootstrap, events=events, validator=validator)
    controller.start()
    try:
        yield Member(
            Parts(
                folder=folder,
                bootstrap=bootstrap,
                upstream=controller.upstream,
                store=controller.store,
                validator=validator,
            ),
            events,
            counting=counting,
            overview=controller.overview,
        )
    finally:
        controller.stop()


class _Signals:
    """Signals one by one, in the order in which they came.

    The system's own handler writes each into a pipe. One of Python's sees none that comes just before its thread begins
    to wait, and what it would set or release can be in the middle of just that.
    """

    def __init__(self) -> None:
        """Take none yet."""
        self._from, into = os.pipe()
        os.set_blocking(into, False)
        signal.set_wakeup_fd(into, warn_on_full_buffer=False)

    def take(self, *numbers: signal.Signals) -> None:
        """Take these from now on."""
        for each in numbers:
            signal.signal(each, lambda _number, _frame: None)

    def wait(self) -> signal.Signals:
        """Return the next one."""
        return signal.Signals(os.read(self._from, 1)[0])
