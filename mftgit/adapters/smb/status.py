"""What a server's answers mean: the statuses of MS-ERREF 2.3, by the errors of endpoints."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mftgit.adapters.endpoint.contract import (
    EndpointBusyError,
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    FileExistsAtEndpointError,
    FileMissingError,
    LoginError,
)
from mftgit.errors import MftgitError

NO_MORE_FILES: Final = 0x80000006
NO_SUCH_FILE: Final = 0xC000000F
END_OF_FILE: Final = 0xC0000011
ACCESS_DENIED: Final = 0xC0000022
NAME_COLLISION: Final = 0xC0000035
PATH_NOT_FOUND: Final = 0xC000003A
SHARING_VIOLATION: Final = 0xC0000043
IS_A_DIRECTORY: Final = 0xC00000BA
NOT_SUPPORTED: Final = 0xC00000BB
BAD_NETWORK_NAME: Final = 0xC00000CC
NOT_EMPTY: Final = 0xC0000101
NOT_A_DIRECTORY: Final = 0xC0000103


class BrokenAnswerError(Exception):
    """An answer is not one that a sound server gives."""


@dataclass(frozen=True, slots=True)
class _Status:
    kind: type[MftgitError]
    words: str


_OPEN: Final = "somebody else has it open"
_GONE: Final = "the server has ended the session"
_BUSY: Final = "the server is short of resources"
_STATUSES: Final[Mapping[int, _Status]] = {
    0x8000002D: _Status(EndpointRefusedError, "it is a link, or leads through one"),
    NO_SUCH_FILE: _Status(FileMissingError, "there is no such file"),
    ACCESS_DENIED: _Status(EndpointRefusedError, "access denied"),
    0xC0000033: _Status(EndpointRefusedError, "the server takes no such name"),
    0xC0000034: _Status(FileMissingError, "there is no such file or folder"),
    NAME_COLLISION: _Status(FileExistsAtEndpointError, "the name is taken"),
    0xC0000039: _Status(FileMissingError, "there is no such folder"),
    PATH_NOT_FOUND: _Status(FileMissingError, "there is no such folder"),
    0xC000003B: _Status(EndpointRefusedError, "the server takes no such path"),
    SHARING_VIOLATION: _Status(EndpointBusyError, _OPEN),
    0xC0000044: _Status(EndpointFullError, "the quota is used up"),
    0xC0000054: _Status(EndpointBusyError, "somebody else has a part of it locked"),
    0xC0000055: _Status(EndpointBusyError, "somebody else has a part of it locked"),
    0xC0000056: _Status(EndpointBusyError, "it is removed as soon as all have closed it"),
    0xC000007F: _Status(EndpointFullError, "the disk is full"),
    0xC000009A: _Status(EndpointLostError, _BUSY),
    0xC00000B5: _Status(EndpointLostError, "the server waited in vain for its storage"),
    IS_A_DIRECTORY: _Status(EndpointRefusedError, "it is a folder"),
    0xC00000C9: _Status(EndpointLostError, "the share is not there any more"),
    BAD_NETWORK_NAME: _Status(EndpointRefusedError, "there is no such share"),
    0xC00000D0: _Status(EndpointLostError, "the server takes no more connections"),
    0xC00000E9: _Status(EndpointLostError, "the server's storage fails"),
    NOT_A_DIRECTORY: _Status(FileMissingError, "it is no folder, or below something that is none"),
    0xC000011F: _Status(EndpointLostError, "the server has too many files open"),
    0xC0000121: _Status(EndpointRefusedError, "it cannot be removed: is it read-only?"),
    0xC0000128: _Status(EndpointLostError, "the server has closed the file"),
    0xC0000185: _Status(EndpointLostError, "the server's storage fails"),
    0xC0000203: _Status(EndpointLostError, _GONE),
    0xC0000205: _Status(EndpointLostError, _BUSY),
    0xC0000257: _Status(EndpointRefusedError, "it is elsewhere by DFS, which is not followed"),
    0xC000035C: _Status(EndpointLostError, _GONE),
    0xC0000466: _Status(EndpointLostError, "the server is not available now"),
    0xC0000467: _Status(EndpointLostError, "the file is not available now"),
    0xC0000480: _Status(EndpointLostError, "the share is not available now"),
} | dict.fromkeys(
    (0xC000006D, 0xC000006A, 0xC0000064), _Status(LoginError, "user or password is wrong")
) | {
    0xC000006E: _Status(LoginError, "the account is restricted"),
    0xC000006F: _Status(LoginError, "the account may not log in at this hour"),
    0xC0000070: _Status(LoginError, "the account may not log in from this machine"),
    0xC0000071: _Status(LoginError, "the password has expired"),
    0xC0000072: _Status(LoginError, "the account is disabled"),
    0xC000015B: _Status(LoginError, "the account may not log in over the network"),
    0xC0000193: _Status(LoginError, "the account has expired"),
    0xC0000224: _Status(LoginError, "the password has to be changed first"),
    0xC0000234: _Status(LoginError, "the account is locked"),
    0xC0000418: _Status(LoginError, "the server takes no NTLM"),
}  # fmt: skip


def kind_of(status: int) -> type[MftgitError]:
    """Return the error that ``status`` means; a refusal where it is not known."""
    return _STATUSES[status].kind if status in _STATUSES else EndpointRefusedError


def words_of(status: int) -> str:
    """Return what ``status`` says, for people, with its number for who looks it up."""
    known = _STATUSES.get(status)
    return f"{known.words if known else 'the server says no'} (status {status:#010x})"


def status_of(error: Any) -> int:
    """Return the status of an SMBResponseException."""
    return int(error.status)
