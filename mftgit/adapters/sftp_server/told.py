"""What a home and its files say, in the words of SFTP, and the other way round."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from mftgit.adapters.home.contract import Attributes, HomeError, Refusal, Traits
from mftgit.model.sftp import answer as sftp_answer
from mftgit.model.sftp import asked as sftp_asked
from mftgit.model.sftp.answer import Told
from mftgit.model.sftp.fields import Status, Wanted

_CODES: Final = {
    Refusal.MISSING: Status.NO_SUCH_FILE,
    Refusal.NOT_FOLDER: Status.NO_SUCH_FILE,  # OpenSSH says the same of ENOTDIR
    Refusal.DENIED: Status.PERMISSION_DENIED,
    Refusal.UNSUPPORTED: Status.OP_UNSUPPORTED,
}
"""Version 3 has no words for the other ones than FAILURE."""

Pieces = tuple[bytes | bytearray, ...]
"""An answer, in pieces that follow each other."""

Gives = TypeVar("Gives")
Do = Callable[[Any], Gives]
"""What does one kind of request."""


def ok(asked: sftp_asked.Request) -> Pieces:
    """Say that it is done."""
    return (sftp_answer.status(asked.number, Status.OK),)


def refusal(asked: sftp_asked.Request, error: HomeError) -> Pieces:
    """Say why it is not done."""
    code = _CODES.get(error.refusal, Status.FAILURE)
    return (sftp_answer.status(asked.number, code, str(error)),)


def told(found: Attributes) -> Told:
    """Return what is told of a file."""
    return Told(
        size_bytes=found.size_bytes,
        mode=found.mode,
        atime_s=found.atime_s,
        mtime_s=found.mtime_s,
    )


def traits(wanted: Wanted) -> Traits:
    """Return what a client wants of a new file."""
    return Traits(
        size_bytes=wanted.size_bytes,
        mode=wanted.mode,
        atime_s=wanted.atime_s,
        mtime_s=wanted.mtime_s,
    )


def changes(wanted: Wanted) -> Traits:
    """Return what a client wants of a file that is there; raises HomeError where it is another owner only."""
    found = traits(wanted)
    if wanted.owners and found == Traits():
        raise HomeError(Refusal.DENIED, "owner and group are not changed here")
    return found
