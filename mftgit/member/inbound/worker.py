"""A process that serves the clients of one service: ``python -m mftgit.member.inbound.worker DESCRIPTOR SERVICE SLOT``.

It knows only what its member tells it over its control line, and ends at once when that does, however that came.
The words after the descriptor are for people who look at processes.
"""

import logging
import os
import queue
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from loguru import logger

from mftgit.adapters.child_process import open_line
from mftgit.adapters.clock import SystemClock
from mftgit.adapters.control_line import ControlLine, LineEndedError
from mftgit.adapters.listening import Acceptor
from mftgit.member.inbound.asking import Asking
from mftgit.member.inbound.login import Logins, Passwords
from mftgit.member.inbound.speaking import make_greeting
from mftgit.member.inbound.sweeping import Sweeping
from mftgit.member.inbound.visits import Servant, Visits
from mftgit.model.inbound.messages import (
    MAX_ORDER_BYTES,
    Configure,
    EndConnections,
    Noted,
    Order,
    Serves,
    Sweep,
    Swept,
    Traffic,
    Verdict,
    parse_order,
)

if TYPE_CHECKING:
    from loguru import Message

_TELL_EVERY_S: Final = 2.0
_MOST_TOLD: Final = 8000
_SHORT_BYTES: Final = 4096
"""An order of so many bytes is understood at once; a verdict has fewer."""


class Serving:
    """One process, from its first order on. One thread calls each of `obey`, `carry_out` and `tell`."""

    def __init__(self, line: ControlLine, asking: Asking) -> None:
        """Serve nobody yet."""
        self._line = line
        self._asking = asking
        self._clock = SystemClock()
        self._passwords = Passwords()
        self._visits = Visits(asking, self._clock)
        self._sweeping = Sweeping(self._clock)
        self._acceptor = Acceptor(self._visits.meet, lambda: asking.courtesy_s)
        self._orders: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def obey(self) -> None:
        """Hear what the member says, until the line ends; raises LineEndedError.

        Nothing here waits for the member, which may wait for us to hear its verdicts.
        """
        while True:
            content = self._line.receive()
            order = parse_order(content) if len(content) <= _SHORT_BYTES else None
            if isinstance(order, Verdict):
                self._asking.answer(order)
            else:
                self._orders.put(content)

    def carry_out(self) -> None:
        """Do as the member says, one order after the other; raises LineEndedError."""
        self._asking.tell(Serves(number=0, accepting=False))
        while True:
            self._carry_out(parse_order(self._orders.get()))

    def tell(self) -> None:
        """Tell now and then what connections do, and that this process lives; raises LineEndedError."""
        pause = threading.Event()
        while not pause.wait(_TELL_EVERY_S):
            self._visits.tell_traffic()
            self._asking.tell(Traffic(usages=()))

    def _carry_out(self, order: Order) -> None:
        match order:
            case Verdict():
                self._asking.answer(order)
            case Configure():
                self._configure(order)
            case EndConnections():
                self._visits.end(order.connections, order.why, idle=order.idle)
            case Sweep():
                self._begin_sweep(order)

    def _begin_sweep(self, order: Sweep) -> None:
        servant = self._visits.servant
        if servant is not None:
            self._sweeping.begin(servant.serving, self._tell_swept, left=order.left)

    def _tell_swept(self, removed: int) -> None:
        with suppress(LineEndedError):  # the process ends
            self._asking.tell(Swept(removed=removed))

    def _configure(self, order: Configure) -> None:
        self._visits.partners.go_by(order.serving)
        self._visits.servant = self._servant(order)
        self._asking.others = order.others
        self._acceptor.take_from(self._line.take_socket() if order.listens else None)
        self._asking.tell(Serves(number=order.number, accepting=order.listens))

    def _servant(self, order: Configure) -> Servant:
        before, serving = self._visits.servant, order.serving
        if before is not None and before.serving == serving:
            return Servant(
                number=order.number,
                serving=serving,
                greet=before.greet,
                logins=before.logins,
            )
        return Servant(
            number=order.number,
            serving=serving,
            greet=make_greeting(serving, self._clock),
            logins=Logins(
                serving, clock=self._clock, passwords=self._passwords, codes=self._asking
            ),
        )


def main() -> None:
    """Serve until the control line ends."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)  # the member says when
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    line = open_line(int(sys.argv[1]), most_bytes=MAX_ORDER_BYTES)
    asking = Asking(line)
    _log_to(asking)
    serving = Serving(line, asking)
    for work in (serving.tell, serving.carry_out):
        threading.Thread(target=_end_after, args=(work,), name=work.__name__, daemon=True).start()
    _end_after(serving.obey)


def _end_after(work: Callable[[], None]) -> None:
    """End the process when ``work`` does, without waiting for anybody."""
    status = 1
    try:
        work()
    except LineEndedError:
        status = 0
    except BaseException:  # noqa: BLE001  its member starts another one
        logger.opt(exception=True).critical("a process of a service ends by a fault of its own")
    finally:
        os._exit(status)


def _log_to(asking: Asking) -> None:
    """Send log lines to the member."""

    def sink(message: "Message") -> None:
        record = message.record
        fields = {str(key): str(value)[:_MOST_TOLD] for key, value in record["extra"].items()}
        if (error := record["exception"]) is not None:
            trace = traceback.format_exception(error.type, error.value, error.traceback)
            fields["trace"] = "".join(trace)[-_MOST_TOLD:]
        with suppress(LineEndedError):
            asking.tell(
                Noted(
                    level=record["level"].name,
                    message=record["message"][:_MOST_TOLD],
                    fields=fields,
                )
            )

    logger.enable("mftgit")
    logger.remove()
    logger.add(sink, level="INFO", format="{message}", backtrace=False, diagnose=False)
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # what outsiders do is told by us


if __name__ == "__main__":
    main()
