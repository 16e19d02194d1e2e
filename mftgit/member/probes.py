"""What a revision has to show before it is confirmed, and what is asked for it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from mftgit.adapters.channel import check_listener
from mftgit.adapters.command import run_command
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.errors import MftgitError
from mftgit.member.confirm import Probe, Time
from mftgit.member.inbound.service import Inbound
from mftgit.member.move import Move
from mftgit.member.outbound.service import Outbound
from mftgit.member.upstream import Upstream
from mftgit.model.configuration.config import Generation
from mftgit.model.configuration.controller_line import ControllerLine
from mftgit.model.names import Revision

_BEFORE_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """The probes of one member."""

    folder: StateFolder
    bootstrap: Bootstrap
    upstream: Upstream
    outbound: Outbound
    inbound: Inbound
    move: Move

    def of(
        self,
        revision: Revision | None,
        generation: Generation | None,
        *,
        seq: int | None,
        time: Time,
    ) -> dict[str, Probe]:
        """Return what the revision has to show that runs; nothing where none does.

        ``seq`` is the head's that it was attempted under; without one the line in use is asked, and not its own.
        ``time`` is what they have for it. Storage that does not answer right after the swap did not do so before it:
        that is no fault of the revision, and is left out.
        """
        if revision is None or generation is None:
            return {}
        probes: dict[str, Probe] = {
            "scheduler": self.outbound.check_scheduler,
            "controller": partial(self._reach_controller, generation.cluster.controller, seq=seq),
        }
        if generation.transfers and _answers(self.outbound.check_storage):
            probes["storage"] = self.outbound.check_storage
        if generation.services:
            probes["services"] = self.inbound.check
        if listen := self.bootstrap.listen:
            probes["listener"] = lambda: check_listener(listen, ca_file=self.folder.ca_key)
        if (command := generation.cluster.confirm_command) is not None:
            facts = {"MFTGIT_MEMBER": self.bootstrap.name, "MFTGIT_REVISION": revision}
            probes["command"] = lambda: run_command(
                self.folder.commands, command, facts=facts, left_s=lambda: time.left_s
            )
        return probes

    def _reach_controller(self, line: ControllerLine, *, seq: int | None) -> None:
        if seq is not None and self.move.wanted(line):
            self.move.try_out(line, seq=seq)
        else:
            self.upstream.head(None)


def _answers(probe: Callable[[], None]) -> bool:
    """Tell whether ``probe`` passes within a moment; one that hangs is left to itself."""
    passed = threading.Event()

    def ask() -> None:
        try:
            probe()
        except MftgitError:
            return
        passed.set()

    thread = threading.Thread(target=ask, name="probe-before", daemon=True)
    thread.start()
    thread.join(_BEFORE_S)
    return passed.is_set()
