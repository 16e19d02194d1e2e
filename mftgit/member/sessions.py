"""Tell the controller who is logged in here, when it asks because somebody looks."""

from collections.abc import Callable, Sequence

from mftgit.adapters.channel import ControllerRefusedError
from mftgit.member.inbound.guest import Guest, tell
from mftgit.member.watch import Watch
from mftgit.model.inbound.sessions_told import SessionsTold, tell_sessions
from mftgit.model.members.messages import NOT_FOUND


class SessionsWatch(Watch):
    """Tells once for each time that it is asked. Nothing is sent while nobody looks."""

    def __init__(
        self, send: Callable[[SessionsTold], None], sessions: Callable[[], Sequence[Guest]]
    ) -> None:
        """``send`` as `Upstream.send_sessions`, ``sessions`` as `Inbound.sessions`."""
        super().__init__(self.look, name="sessions")
        self._send = send
        self._sessions = sessions

    def look(self) -> None:
        """Tell; raises MftgitError."""
        try:
            self._send(tell_sessions([tell(each) for each in self._sessions()]))
        except ControllerRefusedError as error:
            if error.status != NOT_FOUND:  # a controller of an older version does not ask
                raise
