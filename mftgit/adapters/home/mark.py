"""The mark on a file that says who sent it, for accounts that see nothing of what they sent otherwise.

Clients such as rclone look, over another connection, whether what they have sent is there, and set its times then. That
connection may end at another process or member, so the mark is on the file: an extended attribute (xattr(7)). Storage
that has none lets only the session that sent a file know of it.
"""

import os
from contextlib import suppress
from typing import Final

from mftgit.adapters.clock import Clock
from mftgit.model.names import AccountName

_NAME: Final = "user.mftgit.sent-by"
_KNOWN_S: Final = 3600.0


def mark(descriptor: int, account: AccountName) -> None:
    """Say that ``account`` sent it, where the storage can keep that."""
    with suppress(OSError):
        os.setxattr(descriptor, _NAME, account.encode())


def is_marked(descriptor: int, account: AccountName, clock: Clock) -> bool:
    """Tell whether ``account`` sent it within the last hour."""
    try:
        marked = os.getxattr(descriptor, _NAME) == account.encode()
    except OSError:
        return False
    return marked and os.fstat(descriptor).st_ctime > clock.now().timestamp() - _KNOWN_S
