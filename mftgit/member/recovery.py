"""Keep the newest recovery bundle: what a lost controller is made anew from, which nobody here can open."""

import json
from collections.abc import Callable

from mftgit.adapters.channel import ControllerRefusedError
from mftgit.adapters.durable import write_file
from mftgit.adapters.state_folder import StateFolder
from mftgit.errors import MftgitError
from mftgit.member.watch import Watch
from mftgit.model.members.messages import NOT_FOUND
from mftgit.model.members.recovery import KeptBundle, parse_kept


class RecoveryWatch(Watch):
    """Asks for a newer one after each hint."""

    def __init__(self, ask: Callable[[int], KeptBundle | None], folder: StateFolder) -> None:
        """``ask`` as `Upstream.recovery`."""
        super().__init__(self.look, name="recovery")
        self._ask = ask
        self._folder = folder

    def look(self) -> None:
        """Take the newest one, if there is one; an older one never takes a newer one's place. Raises MftgitError."""
        kept = read_kept(self._folder)
        number = kept.number if kept else 0
        try:
            newest = self._ask(number)
        except ControllerRefusedError as error:
            if error.status != NOT_FOUND:
                raise
            return  # a controller of an older version has none
        if newest is not None and newest.number > number:
            try:
                write_file(self._folder.recovery, json.dumps(newest.as_json()).encode(), mode=0o600)
            except OSError as error:
                raise MftgitError(f"{self._folder.recovery}: {error.strerror}") from error


def read_kept(folder: StateFolder) -> KeptBundle | None:
    """Return what is kept in ``folder``; what is damaged is fetched anew."""
    try:
        return parse_kept(json.loads(folder.recovery.read_bytes()))
    except (OSError, ValueError):
        return None
