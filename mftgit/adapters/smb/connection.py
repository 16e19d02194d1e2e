"""A connection by smbprotocol that waits for nothing without end and takes no answer that may be forged.

smbprotocol looks at a signature where an answer says that it has one. Here each answer after the login has to be
encrypted or signed as the session is (MS-SMB2 3.2.5.1.3), and to be of the command that was sent.
"""

import time
from threading import current_thread
from typing import Any, Final
from uuid import uuid4

from smbprotocol.connection import Connection, SigningAlgorithms
from smbprotocol.exceptions import SMBResponseException
from smbprotocol.header import Commands, NtStatus

from mftgit.adapters.smb.status import BrokenAnswerError
from mftgit.adapters.smb.transport import Transport

_LOOK_S: Final = 0.5  # how often somebody who waits sees whether the connection is there
_JOIN_S: Final = 2.0
_SIGNING: Final = (SigningAlgorithms.AES_GMAC, SigningAlgorithms.AES_CMAC)


class GuardedConnection(Connection):  # type: ignore[misc]  # smbprotocol has no types
    """A connection to one server; ``answer_s`` is how long each answer may take, and may be changed."""

    def __init__(self, host: str, port: int, *, connect_s: float, send_s: float) -> None:
        self._wire = Transport(host, port, connect_s=connect_s, send_s=send_s)
        self.answer_s = connect_s
        super().__init__(uuid4(), host, port, require_signing=True)

    @property
    def transport(self) -> Transport:
        """Return ours, whatever smbprotocol sets."""
        return self._wire

    @transport.setter
    def transport(self, _theirs: object) -> None:
        pass

    def open(self) -> None:
        """Connect and agree on a dialect: without HMAC-SHA256 for signatures, only SMB 3 is offered.

        Raises:
            SMBResponseException: the server takes none of them.
            OSError: it cannot be reached, or does not answer in time.
        """
        self.connect(timeout=self.answer_s, preferred_signing_algos=list(_SIGNING))

    @property
    def credits_left(self) -> int:
        """Return how many units of 64 KiB the server takes or gives now, over what is on the way."""
        with self.sequence_lock:
            return int(self.sequence_window["high"] - self.sequence_window["low"])

    def receive(
        self,
        request: Any,
        wait: bool = True,  # noqa: FBT001, FBT002  smbprotocol calls it so
        timeout: float | None = None,
        resolve_symlinks: bool = True,  # noqa: FBT001, FBT002
    ) -> Any:
        """Return the answer to ``request``; links are not followed, whoever asks for that.

        Raises:
            SMBResponseException: it is not success.
            OSError: there is none within ``answer_s``, or the connection was lost.
        """
        del wait, timeout, resolve_symlinks
        until = time.monotonic() + self.answer_s
        status = NtStatus.STATUS_PENDING
        while status == NtStatus.STATUS_PENDING:
            self._wait_for(request, until)
            with request.response_event_lock:
                if request.response is None:
                    raise ConnectionAbortedError(self._why_lost())
                status = request.response["status"].get_value()
                if status == NtStatus.STATUS_PENDING:
                    request.response_event.clear()
        self.outstanding_requests.pop(request.message["message_id"].get_value(), None)
        if status != NtStatus.STATUS_SUCCESS:
            raise SMBResponseException(request.response)
        return request.response

    def _wait_for(self, request: Any, until: float) -> None:
        while not request.response_event.wait(min(_LOOK_S, max(until - time.monotonic(), 0.0))):
            self._check_worker_running()
            if time.monotonic() >= until:
                raise TimeoutError(f"no answer within {self.answer_s:g} s")

    def _check_worker_running(self) -> None:
        if self._t_exc is not None or not self._wire.connected:
            raise ConnectionAbortedError(self._why_lost()) from self._t_exc

    def _why_lost(self) -> str:
        error = self._t_exc
        if error is None:
            return "the connection was closed"
        return (
            str(error)
            if isinstance(error, BrokenAnswerError)
            else f"an answer made no sense: {error!r}"
        )

    def verify_signature(self, header: Any, session_id: int, force: bool = False) -> None:  # noqa: FBT001, FBT002
        """See that an answer that came in plain text may be believed; raises where not, which ends the connection."""
        if not force:
            request = self.outstanding_requests[header["message_id"].get_value()]
            command = header["command"].get_value()
            if command != request.message["command"].get_value():
                raise BrokenAnswerError(f"an answer to the command {command}, which was not sent")
            session = self.session_table.get(request.session_id)
            # An answer that there will be one is not signed (MS-SMB2 3.2.5.1.3).
            if header["status"].get_value() == NtStatus.STATUS_PENDING:
                return
            if session is not None and command != Commands.SMB2_SESSION_SETUP:
                if session.encrypt_data:
                    raise BrokenAnswerError("an answer in plain text, and all are to be encrypted")
                force = True
        try:
            super().verify_signature(header, session_id, force=force)
        except Exception as error:
            raise BrokenAnswerError(f"an answer without a good signature ({error})") from error

    def _process_message_thread(self) -> None:
        try:
            super()._process_message_thread()
        except RuntimeError:
            pass  # it wakes who waits while another one sends; `_wait_for` looks by itself
        finally:
            self._wire.close()

    def disconnect(self, close: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002
        """End the connection and its thread; the server closes what was open. A second call does nothing."""
        del close, timeout
        self._wire.close()
        worker = self._t_worker
        if worker is not current_thread():
            if worker is not None:
                worker.join(_JOIN_S)
            self._wire.release()
